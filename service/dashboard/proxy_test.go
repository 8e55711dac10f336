package dashboard

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A proxy is asked instead of the host.
func TestProxy(t *testing.T) {
	t.Parallel()
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "http://dashboard.example/api/v1/a" || r.Host != "dashboard.example" {
			t.Errorf("the proxy was asked for %s of %s", r.RequestURI, r.Host)
		}
	})
	proxy, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, "http://dashboard.example/api/v1", func(c *Config) { c.Proxy, c.PlainHTTP = http.ProxyURL(proxy), true })
	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
}

// Through a proxy that is asked for a tunnel, what the tunnel took is no part of
// the request: an attempt that got no further has sent nothing.
func TestTunnel(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/abort" {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	for name, status := range map[string]int{"open": 200, "refused": 407} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", over TLS ", secure), func(t *testing.T) {
				t.Parallel()
				proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodConnect || r.Header.Get("Authorization") != "" {
						t.Errorf("the proxy was asked to %s, with %v", r.Method, r.Header)
					}
					w.WriteHeader(status)
					if status == 200 {
						tunnel(t, w, s.Listener.Addr().String())
					}
				}))
				start := proxy.Start
				if secure {
					start = proxy.StartTLS
				}
				start()
				t.Cleanup(proxy.Close)
				to, err := url.Parse(proxy.URL)
				if err != nil {
					t.Fatal(err)
				}
				c := client(t, "https://example.com/api/v1", trust(s), func(c *Config) { c.Proxy = http.ProxyURL(to) })
				if status != 200 {
					expect(t, attempt(t, c, post("/a", "{}")), fault.NotSent, 0, false)
					return
				}
				for range 3 {
					expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
				}
				expect(t, attempt(t, c, post("/abort", "{}")), fault.Reset, 0, true)
			})
		}
	}
}

// tunnel carries bytes both ways until either end is over.
func tunnel(t *testing.T, w http.ResponseWriter, address string) {
	in, read, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	out, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	go func() { _, _ = io.Copy(out, read); _ = out.Close() }()
	_, _ = io.Copy(in, out)
	_ = in.Close()
}
