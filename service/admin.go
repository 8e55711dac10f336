package service

import (
	"net/http"
	"net/http/pprof"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/admin"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Admin is what the operator's port answers: health and metrics for probes and
// Prometheus, profiles, and over gRPC on the same port (cleartext HTTP/2)
// reflection, channelz and health. It has no authentication of its own: it
// belongs on loopback, or behind a network policy.
func (s *Server) Admin() (http.Handler, func()) {
	g := grpc.NewServer()
	stop, err := admin.Register(g)
	if err != nil {
		s.log.Warn("channelz is not served", "error", err)
		stop = func() {}
	}
	s.RegisterReflection(g)
	healthpb.RegisterHealthServer(g, s.health)

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			g.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
	return handler, func() { stop(); g.Stop() }
}

// ready says whether calls should come here. Neither the shared store nor the
// Dashboard has a say: without the one the broker is degraded and still right,
// without the other no replica is better than this one.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answer, err := s.health.Check(r.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
