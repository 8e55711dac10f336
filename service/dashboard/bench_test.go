package dashboard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What an attempt costs beside the same request through a bare net/http client,
// in plain text and over TLS. The server, which is of this process, is in all of
// them.
func BenchmarkAttempt(b *testing.B) {
	page := `[` + strings.Repeat(`{"serial":"Q2XX-XXXX-XXXX","name":"a switch","tags":["a","b"]},`, 100) + `{}]`
	for name, start := range map[string]func(http.Handler) *httptest.Server{"plain": httptest.NewServer, "TLS": httptest.NewTLSServer} {
		s := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, page)
		}))
		b.Cleanup(s.Close)
		b.Run("attempt/"+name, func(b *testing.B) {
			c := client(b, s.URL+"/api/v1", trust(s))
			r := get("/organizations/1/devices")
			b.ReportAllocs()
			for b.Loop() {
				if a := attempt(b, c, r); a.Status != 200 || len(a.Body) != len(page) {
					b.Fatal(a)
				}
			}
		})
		b.Run("net-http/"+name, func(b *testing.B) {
			c := s.Client()
			b.ReportAllocs()
			for b.Loop() {
				resp, err := c.Get(s.URL + "/api/v1/organizations/1/devices")
				if err != nil {
					b.Fatal(err)
				}
				if body, _ := io.ReadAll(resp.Body); len(body) != len(page) {
					b.Fatal(len(body))
				}
				_ = resp.Body.Close()
			}
		})
	}
}

func BenchmarkMessages(b *testing.B) {
	body := []byte(`{"errors":["VLANs are not enabled for this network","Name has already been taken"]}`)
	b.ReportAllocs()
	for b.Loop() {
		messages(body, nil)
	}
}
