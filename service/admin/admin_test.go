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
