package service_test

import (
	"context"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestDrainEndsWhatLastsForEver: streams that their clients keep open, and calls that
// never send their request, end when the drain begins, as UNAVAILABLE: there is
// another replica to go on at. Stop returns long before its time.
func TestDrainEndsWhatLastsForEver(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(context.Context, *grpc.ClientConn) (func() error, error){
		"Health.Watch": func(ctx context.Context, conn *grpc.ClientConn) (func() error, error) {
			stream, err := healthpb.NewHealthClient(conn).Watch(ctx, new(healthpb.HealthCheckRequest))
			return func() error { _, err := stream.Recv(); return err }, err
		},
		"WatchBudgets": func(ctx context.Context, conn *grpc.ClientConn) (func() error, error) {
			stream, err := brokerv1.NewBrokerServiceClient(conn).WatchBudgets(ctx, new(brokerv1.WatchBudgetsRequest))
			return func() error { _, err := stream.Recv(); return err }, err
		},
		"reflection": func(ctx context.Context, conn *grpc.ClientConn) (func() error, error) {
			stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
			if err == nil {
				err = stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}})
			}
			return func() error { _, err := stream.Recv(); return err }, err
		},
		"a call without a request": func(ctx context.Context, conn *grpc.ClientConn) (func() error, error) {
			stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, getOrganization)
			return func() error { return stream.RecvMsg(new(healthpb.HealthCheckResponse)) }, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
			conn := dialPlain(t, h.address)
			receive, err := open(t.Context(), conn)
			if err == nil {
				// A call after it has been answered: so the stream has arrived.
				_, err = healthpb.NewHealthClient(conn).Check(t.Context(), new(healthpb.HealthCheckRequest))
			}
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h.server.Stop(ctx, 0)
			if ctx.Err() != nil {
				t.Error("the drain has taken all of its time")
			}
			for err == nil {
				err = receive()
			}
			if status.Code(err) != codes.Unavailable {
				t.Errorf("the stream ended with %v", err)
			}
		})
	}
}

// TestDrainDoesNotWaitForWhatNobodyReads: a stream of pages, and an answer, whose
// client has no room for them.
func TestDrainDoesNotWaitForWhatNobodyReads(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, Organizations: 1, NetworksPerOrganization: 3000, DevicesPerNetwork: 1}})
	asked := func() int {
		return h.sandbox.Organization(h.sandbox.OrganizationID(0)).Operations["getOrganizationNetworks"].Arrived
	}
	raw := newRawClient(t, h.address)
	go raw.drainFrames(func(http2.Frame) {}) // frames, but it gives no room for more
	for i, name := range []string{"StreamOrganizationNetworks", "GetOrganizationNetworks"} {
		stream, err := raw.begin("/meraki.organizations.v1.OrganizationsService/" + name)
		if err == nil {
			err = raw.send(stream, h.request(t, "getOrganizationNetworks", map[string]any{"organization_id": h.sandbox.OrganizationID(0), "per_page": 1000 - int64(i)}))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for asked() < 2 && t.Context().Err() == nil {
		if _, err := h.call(t.Context(), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	h.server.Stop(ctx, 0)
	if ctx.Err() != nil {
		t.Error("the drain has taken all of its time")
	}
}

// TestDrainDoesNotWaitForStreamsThatNobodyReads: what a handler has to say to a client
// that has no room for it is not waited for any longer than an answer is.
func TestDrainDoesNotWaitForStreamsThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T, *harness, *rawClient) error{
		"reflection": func(_ *testing.T, _ *harness, raw *rawClient) error {
			stream, err := raw.begin("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
			for range 200 {
				if err == nil {
					err = raw.sendMore(stream, &reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}})
				}
			}
			return err
		},
		"a list of writes": func(t *testing.T, h *harness, raw *rawClient) error {
			in := &brokerv1.ApplyWritesRequest{Writes: h.portWrites(t, 150, func(int) bool { return true })}
			stream, err := raw.begin(brokerv1.BatchService_ApplyWrites_FullMethodName)
			if err == nil {
				err = raw.send(stream, in)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
			const window = 1 << 10 // of a stream; no more is given
			raw := newRawClient(t, h.address, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
			full := make(chan struct{})
			go func() {
				room := window
				raw.drainFrames(func(f http2.Frame) {
					if d, ok := f.(*http2.DataFrame); ok {
						if room -= len(d.Data()); room == 0 {
							close(full)
						}
					}
				})
			}()
			if err := open(t, h, raw); err != nil {
				t.Fatal(err)
			}
			<-full
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			h.server.Stop(ctx, 0)
			if ctx.Err() != nil {
				t.Error("the drain has taken all of its time")
			}
		})
	}
}
