package service_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
)

// A transcript takes what many write.
type transcript struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *transcript) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// TestKeyComesBackNowhere: an upstream gives back the Authorization header wherever
// it can. No caller, log line or record may show the key then.
func TestKeyComesBackNowhere(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef0123456789abcdef01234567"
	var said transcript
	h := build(t, plan{
		broker: fast, environ: map[string]string{"TEST_KEY": key},
		server: func(c *service.Config) {
			c.Log = slog.New(slog.NewJSONHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))
		},
		upstream: func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				sent := r.Header.Get("Authorization")
				w.Header().Set("X-Request-Id", "id:"+strings.ToUpper(sent))
				w.Header().Set("Retry-After", sent)
				kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
				switch kind {
				case "302":
					w.Header().Set("Location", "https://evil.example/"+key)
					w.WriteHeader(302)
				case "200":
					_, _ = io.WriteString(w, "<title>"+sent+"</title>")
				case "201":
					w.WriteHeader(201)
					_, _ = io.WriteString(w, `{"name": "`+sent+`", "`+key+`": 1}`)
				case "malformed":
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n"+sent+"\r\n\r\n")
					_ = c.Close()
				default:
					code := 0
					_, _ = fmt.Sscan(kind, &code)
					w.WriteHeader(max(code, 400))
					_, _ = io.WriteString(w, `{"errors": ["`+sent+` is no key", {"`+sent+`": "x"}], "stack": "`+sent+`"}`)
				}
			})
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	show := func(name string, answer any, err error, header, trailer metadata.MD) {
		t.Helper()
		shown := fmt.Sprint(answer, err, status.Convert(err).Details(), header, trailer)
		// In binary trailers text stands as it is.
		if at := strings.Index(strings.ToLower(shown), key[:12]); at >= 0 {
			t.Errorf("%s: the caller is shown %q", name, shown[max(0, at-60):min(len(shown), at+60)])
		}
	}
	bodies := map[string][]byte{"GET": nil, "POST": []byte("{}")}
	for _, kind := range []string{"400", "401", "403", "404", "409", "422", "501", "302", "200", "201", "malformed"} {
		for method, body := range bodies {
			short, stop := context.WithTimeout(ctx, time.Second)
			var header, trailer metadata.MD
			answer, err := h.own.Call(short, &brokerv1.CallRequest{Method: method, Path: "/organizations/1/" + kind, Body: body}, grpc.Header(&header), grpc.Trailer(&trailer))
			stop()
			show(method+" "+kind, answer, err, header, trailer)
		}
	}
	var header, trailer metadata.MD
	answer, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": "400"}, grpc.Header(&header), grpc.Trailer(&trailer))
	show("a typed call", answer, err, header, trailer)
	record, err := h.own.ListAttempts(ctx, &brokerv1.ListAttemptsRequest{})
	if err != nil || len(record.GetItems()) < 10 {
		t.Fatalf("%d attempts on record (%v)", len(record.GetItems()), err)
	}
	show("the record", record, nil, nil, nil)
	drift, err := h.own.ListDrift(ctx, &brokerv1.ListDriftRequest{})
	show("the drift", drift, err, nil, nil)
	if log := said.String(); !strings.Contains(log, "[redacted]") || strings.Contains(strings.ToLower(log), key[:12]) {
		t.Errorf("the log shows the key, or nothing of the answers:\n%s", log)
	}
}
