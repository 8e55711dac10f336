// Package admin is the operator's port: health and metrics for probes and
// Prometheus, profiles, and over gRPC on the same port what only reads of
// BrokerService, with reflection, channelz and health. It has no authentication of its
// own: it belongs on loopback, or behind a network policy.
package admin

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"google.golang.org/grpc"
	grpcadmin "google.golang.org/grpc/admin"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/merakibroker/merakibroker/service/identity"
)

const (
	// maxRequestHeaders bounds how long the headers of a request may take to arrive.
	maxRequestHeaders = 10 * time.Second
	// maxIdle bounds how long a connection is kept on which nothing is asked: there is
	// room for few, and probes need some.
	maxIdle = 2 * time.Minute
)

// A Config is what a Server is made of. All of it but Ready is required.
type Config struct {
	// Metrics answers Prometheus.
	Metrics http.Handler
	// Health is the health service that callers of the gRPC port are answered by.
	Health healthpb.HealthServer
	// NotTaken names the files that have changed and are not in use; nil for none ever.
	NotTaken func() []string
	// Ready says why calls should not come here yet, beside draining; nil for no such
	// reason ever.
	Ready func() error
	// Page is what an operator sees in a browser; nil for none.
	Page http.Handler
	// Options are those of the gRPC server.
	Options []grpc.ServerOption
	// Register registers what is served over gRPC beside reflection, channelz and health.
	Register func(grpc.ServiceRegistrar)
	Log      *slog.Logger
}

// A Server answers on the operator's port.
type Server struct {
	health       healthpb.HealthServer
	whyNot       func() error
	notTaken     func() []string
	http         *http.Server
	grpc         *grpc.Server
	stopChannelz func()
}

// New makes a Server. Nothing listens yet.
func New(c Config) *Server {
	s := &Server{health: c.Health, whyNot: c.Ready, notTaken: c.NotTaken, grpc: grpc.NewServer(c.Options...)}
	var err error
	if s.stopChannelz, err = grpcadmin.Register(s.grpc); err != nil {
		c.Log.Warn("channelz is not served", "error", err)
		s.stopChannelz = func() {}
	}
	c.Register(s.grpc)
	healthpb.RegisterHealthServer(s.grpc, probes{c.Health, s.grpc})
	reflection.Register(s.grpc)

	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", s.ready)
	inside := func(pattern string, h http.Handler) { mux.Handle(pattern, refusePages(h)) }
	inside("GET /metrics", c.Metrics)
	if c.Page != nil {
		inside("/{$}", c.Page)
		inside("/page/", c.Page)
	}
	inside("GET /debug/pprof/", http.HandlerFunc(pprof.Index))
	inside("GET /debug/pprof/profile", http.HandlerFunc(pprof.Profile))
	inside("GET /debug/pprof/symbol", http.HandlerFunc(pprof.Symbol))
	inside("GET /debug/pprof/trace", http.HandlerFunc(pprof.Trace))
	// gRPC needs HTTP/2, without TLS as all of this port.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
				s.grpc.ServeHTTP(w, r)
				return
			}
			mux.ServeHTTP(w, r)
		}),
		Protocols: &protocols, ReadHeaderTimeout: maxRequestHeaders, IdleTimeout: maxIdle,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// refusePages keeps what the port shows from pages of other sites.
func refusePages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := identity.ForeignName(r); f != nil {
			http.Error(w, f.Detail, http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Serve answers on l until Shutdown or Close.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Shutdown finishes the requests that are on their way, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close ends at once what Shutdown has left, or a Server that never served.
func (s *Server) Close() {
	s.stopChannelz()
	s.grpc.Stop()
	_ = s.http.Close()
}

// ready says whether calls should come here. Neither the shared store nor the
// Dashboard has a say: without the one the broker is degraded and still right,
// without the other no replica is better than this one. Nor has a file that was not
// taken: it is named, for whoever looks. Without keys to check tokens
// with, others may be: those that had them before the issuer was gone.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	answer, err := s.health.Check(r.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if s.whyNot != nil {
		if err := s.whyNot(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("ok\n"))
	if s.notTaken != nil {
		for _, files := range s.notTaken() {
			fmt.Fprintf(w, "%s: the file has changed and was not taken, what was read before is in use; the log says why\n", files)
		}
	}
}
