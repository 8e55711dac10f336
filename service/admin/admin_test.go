package admin

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// TestReady: calls should come here while the server serves and knows its callers.
func TestReady(t *testing.T) {
	var why error
	var notTaken []string
	probes := health.NewServer()
	s := New(Config{
		Metrics: http.NotFoundHandler(), Health: probes, Ready: func() error { return why }, NotTaken: func() []string { return notTaken },
		Register: func(grpc.ServiceRegistrar) {}, Log: slog.New(slog.DiscardHandler),
	})
	defer s.Close()
	ready := func() (int, string) {
		w := httptest.NewRecorder()
		s.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	if code, text := ready(); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	notTaken = []string{"static tokens"}
	if code, text := ready(); code != 200 || !strings.HasPrefix(text, "ok\nstatic tokens: the file has changed and was not taken") {
		t.Errorf("with a file that was not taken: %d %s", code, text)
	}
	why = errors.New("no key to check tokens with")
	if code, text := ready(); code != 503 || text != "no key to check tokens with\n" {
		t.Errorf("without keys: %d %s", code, text)
	}
	why = nil
	probes.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if code, _ := ready(); code != 503 {
		t.Errorf("draining: %d", code)
	}
}

// TestOtherSitesReadNothing: a page that has pointed its name to this machine reads neither
// the page, nor metrics, nor profiles. Probes are answered: they tell nothing.
func TestOtherSitesReadNothing(t *testing.T) {
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	s := New(Config{Metrics: ok, Page: ok, Health: health.NewServer(), Register: func(grpc.ServiceRegistrar) {}, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	server := httptest.NewServer(s.http.Handler)
	defer server.Close()
	for _, host := range []string{"evil.example:9090", "localhost:9090", ""} {
		for _, path := range []string{"/", "/page/spenders.json", "/metrics", "/debug/pprof/", "/debug/pprof/symbol", "/livez", "/readyz"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("Accept-Language", "en")
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := http.StatusOK
			if host == "evil.example:9090" && !strings.HasSuffix(path, "z") {
				want = http.StatusForbidden
			}
			if resp.StatusCode != want {
				t.Errorf("%s for %q: %d, want %d", path, host, resp.StatusCode, want)
			}
		}
	}
}

// one is a listener in memory that has one connection.
type one chan net.Conn

func (o one) Accept() (net.Conn, error) {
	if c, ok := <-o; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (o one) Close() error   { return nil }
func (o one) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// TestIdleConnectionsEnd: the port has few connections, and who asks nothing for minutes
// keeps none of them.
func TestIdleConnectionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		s := New(Config{Metrics: ok, Health: health.NewServer(), Register: func(grpc.ServiceRegistrar) {}, Log: slog.New(slog.DiscardHandler)})
		here, there := net.Pipe()
		l := make(one, 1)
		l <- there
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Serve(l) }()
		go func() { _, _ = io.WriteString(here, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") }()
		from := bufio.NewReader(here)
		resp, err := http.ReadResponse(from, nil)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if err := here.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := from.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("after an hour without a request: %v", err)
		}
		close(l)
		s.Close()
		<-done
		_ = here.Close()
	})
}
