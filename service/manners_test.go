package service_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	channelz "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestServerSaysItsLimits: clients that listen never meet them.
func TestServerSaysItsLimits(t *testing.T) {
	t.Parallel()
	h := build(t, plan{})
	raw := newRawClient(t, h.address)
	said := make(map[http2.SettingID]uint32)
	raw.drainFrames(func(f http2.Frame) {
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			_ = s.ForeachSetting(func(s http2.Setting) error { said[s.ID] = s.Val; return nil })
			_ = raw.conn.Close()
		}
	})
	for id, want := range map[http2.SettingID]uint32{http2.SettingMaxConcurrentStreams: 4000, http2.SettingMaxHeaderListSize: 80 << 10} {
		if said[id] != want {
			t.Errorf("the server says %v %d, want %d", id, said[id], want)
		}
	}
}

// TestStreamsOverTheLimit: what a connection may not have is refused in a way that
// tells the client that nothing was done.
func TestStreamsOverTheLimit(t *testing.T) {
	t.Parallel()
	h := build(t, plan{})
	raw := newRawClient(t, h.address)
	const most = 4000
	go func() {
		for range most + 1 {
			if _, err := raw.begin(getOrganization); err != nil {
				return
			}
		}
	}()
	refused := uint32(0)
	raw.drainFrames(func(f http2.Frame) {
		if r, ok := f.(*http2.RSTStreamFrame); ok {
			refused = r.StreamID
			if r.ErrCode != http2.ErrCodeRefusedStream {
				t.Errorf("stream %d is reset with %v", r.StreamID, r.ErrCode)
			}
			_ = raw.conn.Close()
		}
	})
	if refused != 2*most+1 {
		t.Errorf("stream %d was refused", refused)
	}
}

// dialPlain connects without TLS.
func dialPlain(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestOnlyTheAdminPortTells: channelz and profiles are the operator's, and so is
// reflection behind a mesh, of what that port serves; callers find health and the RPCs.
func TestOnlyTheAdminPortTells(t *testing.T) {
	t.Parallel()
	h := build(t, plan{server: func(c *service.Config) { c.Reflect = false }})
	port := operatorPort(t, h)

	reflects := func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return err
		}
		if err := stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		_, err = stream.Recv()
		return err
	}
	tells := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := channelz.NewChannelzClient(conn).GetServers(ctx, &channelz.GetServersRequest{})
		return err
	}
	healthy := func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{Service: "meraki.organizations.v1.OrganizationsService"})
		return err
	}
	callers, operators := dialPlain(t, h.address), dialPlain(t, port)
	for _, row := range []struct {
		what       string
		ask        func(context.Context, *grpc.ClientConn) error
		main, here codes.Code
	}{
		{"reflection", reflects, codes.Unimplemented, codes.OK},
		{"channelz", tells, codes.Unimplemented, codes.OK},
		{"health of what callers use", healthy, codes.OK, codes.NotFound},
	} {
		for conn, want := range map[*grpc.ClientConn]codes.Code{callers: row.main, operators: row.here} {
			ctx, cancel := context.WithCancel(t.Context())
			if err := row.ask(ctx, conn); status.Code(err) != want {
				t.Errorf("%s at %s: %v, want %v", row.what, conn.Target(), err, want)
			}
			cancel()
		}
	}
	get := func(path string, want int) {
		t.Helper()
		answer, err := http.Get("http://" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, answer.StatusCode, want)
		}
	}
	for path, want := range map[string]int{"/debug/pprof/": 200, "/metrics": 200, "/readyz": 200, "/livez": 200, "/debug/pprof/cmdline": 404, "/": 404} {
		get(path, want)
	}
	h.server.Serving(false)
	get("/readyz", http.StatusServiceUnavailable)
}

// TestStreamThatMeetsTheDrain has sent pages, so nobody may begin it anew without
// knowing; it is told so, and can go on from its last page.
func TestStreamThatMeetsTheDrain(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, Organizations: 1, NetworksPerOrganization: 2000, DevicesPerNetwork: 1}})
	stream, next := h.pages(t.Context(), t, h.sandbox.OrganizationID(0))
	for range 2 {
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	h.broker.Drain()
	var err error
	for err == nil {
		_, err = next()
	}
	trailer := stream.Trailer()
	if status.Code(err) != codes.Unavailable || trailer.Get("meraki-reason")[0] != "DRAINING" {
		t.Fatalf("%v, %v", err, trailer)
	}
	if got := trailer.Get("grpc-retry-pushback-ms"); len(got) != 1 || got[0] != "-1" {
		t.Errorf("the pushback is %v", got)
	}
	if got := status.Convert(err).Message(); !strings.Contains(got, "pages have been sent") {
		t.Errorf("it says %q", got)
	}
}
