package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
