package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

// serveTLS runs a real gRPC server on loopback that lets in clients of a's and
// says in a header who it takes the caller for.
func serveTLS(t *testing.T, a *authority, r *Resolver) (addr string) {
	t.Helper()
	server, _ := a.issue(time.Now().Add(time.Hour))
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	config := &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13}
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			c, err := r.Resolve(ctx)
			if err != nil {
				return nil, status.Error(codes.Unauthenticated, fault.As(err).Detail)
			}
			_ = grpc.SetHeader(ctx, metadata.Pairs("caller", c.ID, "source", c.Source.String()))
			return handler(With(ctx, c), req)
		}))
	healthpb.RegisterHealthServer(s, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

// A real handshake, real metadata: who comes in as whom.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	a, foreign := newAuthority(t), newAuthority(t)
	hour := time.Now().Add(time.Hour)
	r := newResolver(t, Config{PeerCertificate: true, ForwardedClientCert: &ProxyConfig{Trusted: []string{gateway}}}, Wiring{})
	addr := serveTLS(t, a, r)
	cert := func(a *authority, end time.Time, uris ...string) *tls.Certificate {
		c, _ := a.issue(end, uris...)
		return &c
	}
	header := []string{headerForwarded, "Hash=1;URI=" + forged}
	cases := []struct {
		name string
		cert *tls.Certificate
		md   []string
		want string // the caller and where the name is from
		code codes.Code
		says string
	}{
		{"a certificate", cert(a, hour, orders), nil, orders + " peer certificate", codes.OK, ""},
		{"a forged header beside it", cert(a, hour, orders), header, orders + " peer certificate", codes.OK, ""},
		{"a trusted gateway", cert(a, hour, gateway), header, forged + " x-forwarded-client-cert", codes.OK, ""},
		{"two URIs", cert(a, hour, orders, gateway), header, "", codes.Unauthenticated, "names 2 URIs"},
		{"no URI", cert(a, hour), header, "", codes.Unauthenticated, "names no URI"},
		{"no certificate, forged header", nil, header, "", codes.Unauthenticated, "names no caller"},
		{"expired", cert(a, time.Now().Add(-time.Minute), orders), nil, "", codes.Unavailable, ""},
		{"foreign", cert(foreign, hour, orders), nil, "", codes.Unavailable, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			pool := x509.NewCertPool()
			pool.AddCert(a.cert)
			config := &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
			if c.cert != nil {
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.cert, nil }
			}
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(t.Context(), c.md...), time.Minute)
			defer cancel()
			var got metadata.MD
			_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&got))
			if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.says) {
				t.Fatalf("error %v, want %v that says %q", err, c.code, c.says)
			}
			if who := strings.Join(append(got["caller"], got["source"]...), " "); who != c.want {
				t.Errorf("the server saw %q, want %q", who, c.want)
			}
		})
	}
}
