package raw

import (
	"bufio"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const healthMethod = "/grpc.health.v1.Health/Check"

// TestGRPC calls a server of the library many times at once, and hears of the
// failures.
func TestGRPC(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	go func() { _ = server.Serve(l) }()
	defer server.Stop()
	way, err := DialGRPC(l.Addr().String(), healthMethod, 2, "x-some", "thing")
	if err != nil {
		t.Fatal(err)
	}
	const n = 500
	results := make(chan error, n)
	for range n {
		way.Send(nil, func(err error) { results <- err })
	}
	for range n {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	way.Send([]byte{0x0a, 1, 'x'}, func(err error) { results <- err }) // a service that there is not
	if err := <-results; err == nil || !strings.Contains(err.Error(), `"5"`) {
		t.Errorf("%v, want status 5", err)
	}
	way.Close()
	way.Send(nil, func(err error) { results <- err })
	if err := <-results; err == nil {
		t.Error("a closed connection answers")
	}
}

// TestHTTP asks a server of the library, in plain text and over TLS.
func TestHTTP(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(http.Handler) *httptest.Server{"plain text": httptest.NewServer, "TLS": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/no" {
					w.WriteHeader(http.StatusNotFound)
				}
				_, _ = w.Write([]byte("hello"))
			}))
			defer server.Close()
			var secure *tls.Config
			if server.TLS != nil {
				secure = server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				secure.ServerName = "127.0.0.1"
			}
			way := NewHTTP(server.Listener.Addr().String(), secure)
			defer way.Close()
			results := make(chan error, 1)
			for _, row := range []struct {
				path string
				ok   bool
			}{{"/", true}, {"/no", false}, {"/", true}} {
				way.Send([]byte("GET "+row.path+" HTTP/1.1\r\nHost: x\r\n\r\n"), func(err error) { results <- err })
				if err := <-results; (err == nil) != row.ok {
					t.Errorf("%s: %v", row.path, err)
				}
			}
		})
	}
}

// TestHeadersSayTheSame: the later block means what the first does, however often it
// comes, and is shorter.
func TestHeadersSayTheSame(t *testing.T) {
	t.Parallel()
	first, later := headers("host", "/a/B", []string{"k", "v"})
	d := hpack.NewDecoder(4096, nil)
	for _, block := range [][]byte{first, later, later} {
		fields, err := d.DecodeFull(block)
		if err != nil || len(fields) != 7 || fields[2].Value != "/a/B" || fields[6].Value != "v" {
			t.Errorf("%v, %v", fields, err)
		}
	}
	if len(later) >= len(first) {
		t.Errorf("%d bytes after %d", len(later), len(first))
	}
}

// FuzzAnswer: whatever a server sends, reading it ends.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1\r\n", "", "HTTP/1.1 x00 OK\r\nContent-Length: -1\r\n\r\n",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if status, err := answer(bufio.NewReader(strings.NewReader(s))); err == nil && !strings.Contains(s, "\n") {
			t.Errorf("%q is taken for an answer %d", s, status)
		}
	})
}
