//go:build mesh

package mesh

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	devicesv1 "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
	organizationsv1 "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	brokerID   = "spiffe://mesh.example/ns/merakibroker/sa/merakibroker"
	ordersID   = "spiffe://mesh.example/ns/shop/sa/orders"
	strangerID = "spiffe://mesh.example/ns/shop/sa/stranger"
	adminID    = "spiffe://mesh.example/ns/netops/sa/admin"
)

// A street is one replica, its Dashboard, and those who call it.
type street struct {
	dashboard *sandbox.Sandbox
	replica   *replica
	authority *authority
}

func newStreet(t *testing.T) *street {
	t.Helper()
	t.Setenv("MERAKI_DASHBOARD_API_KEY", "the-sandbox-takes-any")
	a := newAuthority(t)
	s, upstream := dashboard(t, sandbox.Options{LimitsOff: true})
	return &street{dashboard: s, replica: newReplica(t, upstream, a.workload(t, brokerID)), authority: a}
}

// call is one cheap call.
func call(ctx context.Context, conn grpc.ClientConnInterface) error {
	_, err := organizationsv1.NewOrganizationsServiceClient(conn).GetOrganizations(ctx, &organizationsv1.GetOrganizationsRequest{})
	return err
}

func reason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func TestIdentity(t *testing.T) {
	s := newStreet(t)
	orders := outbound(t, s.authority.workload(t, ordersID), []int{s.replica.inbound}, nil)
	stranger := s.authority.workload(t, strangerID)
	strangers := outbound(t, stranger, []int{s.replica.inbound}, nil)
	direct, err := grpc.NewClient(at(s.replica.inbound), grpc.WithTransportCredentials(credentials.NewTLS(stranger.tls())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = direct.Close() })
	forged := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, "x-forwarded-client-cert", "By="+brokerID+";Hash=00;URI="+adminID, "l5d-client-id", adminID)
	}

	t.Run("arrives", func(t *testing.T) {
		for _, ctx := range []context.Context{within(t, 10*time.Second), forged(within(t, 10*time.Second))} {
			if err := call(ctx, orders); err != nil {
				t.Fatal(err)
			}
			record, err := brokerv1.NewBrokerServiceClient(orders).ListAttempts(within(t, 10*time.Second), &brokerv1.ListAttemptsRequest{PageSize: 1})
			if err != nil {
				t.Fatal(err)
			}
			if len(record.GetItems()) != 1 || record.GetItems()[0].GetCaller() != ordersID {
				t.Errorf("the broker recorded %v, not one attempt of %s", record.GetItems(), ordersID)
			}
		}
	})

	before := s.dashboard.Stats().Total.Arrived
	refused := func(conn grpc.ClientConnInterface, ctx context.Context) func(*testing.T) {
		return func(t *testing.T) {
			err := call(ctx, conn)
			if status.Code(err) != codes.PermissionDenied || reason(err) != "CALLER_NOT_ALLOWED" || !strings.Contains(err.Error(), strangerID) {
				t.Errorf("got %v (%s)", err, reason(err))
			}
		}
	}
	t.Run("without a rule is refused", refused(strangers, within(t, 10*time.Second)))
	t.Run("forged through the sidecar is refused", refused(strangers, forged(within(t, 10*time.Second))))
	t.Run("forged past the sidecar is refused", refused(direct, forged(within(t, 10*time.Second))))
	if after := s.dashboard.Stats().Total.Arrived; after != before {
		t.Errorf("%d requests left for callers that were refused", after-before)
	}

	for name, w := range map[string]*workload{
		"of another trust domain is refused": s.authority.workload(t, "spiffe://other.example/ns/shop/sa/orders"),
		"of another authority is refused":    newAuthority(t).workload(t, ordersID),
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := grpc.NewClient(at(s.replica.inbound), grpc.WithTransportCredentials(credentials.NewTLS(w.tls())))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := call(within(t, 10*time.Second), conn); status.Code(err) != codes.Unavailable || reason(err) != "" {
				t.Errorf("got %v; the connection should not have come about", err)
			}
		})
	}
}

// TestFailuresPassWhole: what the broker says about a failure reaches the caller
// through two Envoys as it left.
func TestFailuresPassWhole(t *testing.T) {
	s := newStreet(t)
	conn := outbound(t, s.authority.workload(t, ordersID), []int{s.replica.inbound}, nil)
	organizations := organizationsv1.NewOrganizationsServiceClient(conn)
	all, err := organizations.GetOrganizations(within(t, 10*time.Second), &organizationsv1.GetOrganizationsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	id := all.GetItems()[0].Id
	tests := []struct {
		http   int
		body   string
		code   codes.Code
		reason string
	}{
		{400, "errors", codes.InvalidArgument, "BAD_REQUEST"},
		{400, "errors-object", codes.InvalidArgument, "BAD_REQUEST"},
		{403, "errors", codes.PermissionDenied, "FORBIDDEN"},
		{404, "errors", codes.NotFound, "NOT_FOUND"},
		{409, "errors", codes.Aborted, "CONFLICT"},
		{429, "errors", codes.ResourceExhausted, "DASHBOARD_RATE_LIMITED"},
		{500, "errors", codes.Internal, "DASHBOARD_ERROR"},
		{502, "html", codes.Unavailable, "DASHBOARD_UNREACHABLE"},
		{503, "html", codes.Unavailable, "DASHBOARD_UNREACHABLE"},
	}
	for _, tt := range tests {
		t.Run(tt.reason+" "+tt.body, func(t *testing.T) {
			s.fail(t, sandbox.Fault{Kind: sandbox.FaultStatus, Status: tt.http, Body: tt.body, RetryAfter: "1"})
			_, err := organizations.GetOrganizationDevices(within(t, 4*time.Second), &organizationsv1.GetOrganizationDevicesRequest{
				OrganizationId: id, PerPage: proto.Int64(int64(tt.http)),
			})
			if status.Code(err) != tt.code || reason(err) != tt.reason {
				t.Fatalf("got %v (%s), not %v (%s)", err, reason(err), tt.code, tt.reason)
			}
			d := dashboardError(err)
			if d.GetHttpStatus() != int32(tt.http) || d.GetOperation() != "getOrganizationDevices" || len(d.GetAttempts()) == 0 {
				t.Errorf("the details are not whole: %v", d)
			}
			if tt.body != "html" && len(d.GetMessages()) == 0 {
				t.Errorf("the Dashboard's words are gone: %v", d)
			}
		})
	}
}

// fail makes every answer to getOrganizationDevices and updateDevice the fault,
// until the test ends.
func (s *street) fail(t *testing.T, f sandbox.Fault) {
	t.Helper()
	for _, operation := range []string{"getOrganizationDevices", "updateDevice", "createOrganizationNetwork"} {
		if err := s.dashboard.AddScript(sandbox.Script{Operation: operation, Times: -1, Faults: []sandbox.Fault{f}}); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.dashboard.ClearFaults)
}

func dashboardError(err error) *brokerv1.DashboardError {
	for _, d := range status.Convert(err).Details() {
		if d, ok := d.(*brokerv1.DashboardError); ok {
			return d
		}
	}
	return nil
}

// eager makes a sidecar repeat whatever fails, three times.
func eager(t *testing.T) func(string) string {
	return func(config string) string {
		return replace(t, config, "retry_on: connect-failure,refused-stream,retriable-headers",
			"retry_on: unavailable,resource-exhausted,cancelled,deadline-exceeded,internal,5xx,gateway-error,reset", 1)
	}
}

// TestEagerMeshDoesNotMultiply: an Envoy told to repeat every failure makes no
// request at the Dashboard that the broker did not decide on.
func TestEagerMeshDoesNotMultiply(t *testing.T) {
	s := newStreet(t)
	self := s.authority.workload(t, ordersID)
	conn := outbound(t, self, []int{s.replica.inbound}, eager(t))
	organizations := organizationsv1.NewOrganizationsServiceClient(conn)
	all, err := organizations.GetOrganizations(within(t, 10*time.Second), &organizationsv1.GetOrganizationsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	organization := all.GetItems()[0].Id
	page, err := organizations.GetOrganizationDevices(within(t, 10*time.Second), &organizationsv1.GetOrganizationDevicesRequest{OrganizationId: organization})
	if err != nil {
		t.Fatal(err)
	}
	serial := page.GetItems()[0].Serial
	devices := devicesv1.NewDevicesServiceClient(conn)
	if _, err := devices.GetDevice(within(t, 10*time.Second), &devicesv1.GetDeviceRequest{Serial: serial}); err != nil {
		t.Fatal(err) // now the broker knows the owner, and what follows is no look-up
	}
	rpcs := map[string]func(context.Context) error{
		"read": func(ctx context.Context) error {
			_, err := organizations.GetOrganizationDevices(ctx, &organizationsv1.GetOrganizationDevicesRequest{OrganizationId: organization})
			return err
		},
		"write": func(ctx context.Context) error {
			_, err := devices.UpdateDevice(ctx, &devicesv1.UpdateDeviceRequest{Serial: serial, Name: proto.String("x")})
			return err
		},
		"stream": func(ctx context.Context) error {
			stream, err := organizations.StreamOrganizationDevices(ctx, &organizationsv1.GetOrganizationDevicesRequest{OrganizationId: organization})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
	faults := map[string]sandbox.Fault{
		"429":   {Kind: sandbox.FaultStatus, Status: 429, RetryAfter: "1"},
		"500":   {Kind: sandbox.FaultStatus, Status: 500},
		"502":   {Kind: sandbox.FaultStatus, Status: 502, Body: "html"},
		"504":   {Kind: sandbox.FaultStatus, Status: 504, Body: "html"},
		"reset": {Kind: sandbox.FaultReset},
	}
	for rpc, do := range rpcs {
		for name, fault := range faults {
			t.Run(rpc+" "+name, func(t *testing.T) {
				s.fail(t, fault)
				before := s.dashboard.Stats().Total.Arrived
				err := do(within(t, 3*time.Second))
				arrived := s.dashboard.Stats().Total.Arrived - before
				told := len(dashboardError(err).GetAttempts())
				if err == nil || told == 0 {
					t.Fatalf("got %v, with %d attempts", err, told)
				}
				if arrived != told {
					t.Errorf("%d requests arrived; the one call that failed (%v) tells of %d", arrived, status.Code(err), told)
				}
			})
		}
	}

	// The same sidecar does repeat what comes without the broker's word.
	t.Run("control", func(t *testing.T) {
		var calls atomic.Int64
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(s.authority.workload(t, brokerID).tls())),
			grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
				name, _ := grpc.MethodFromServerStream(stream)
				if strings.HasPrefix(name, "/grpc.health.") {
					return stream.SendMsg(&healthpb.HealthCheckResponse{Status: healthpb.HealthCheckResponse_SERVING})
				}
				calls.Add(1)
				return status.Error(codes.Unavailable, "no word about repeating")
			}))
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		other := outbound(t, self, []int{l.Addr().(*net.TCPAddr).Port}, eager(t))
		if err := call(within(t, 10*time.Second), other); status.Code(err) != codes.Unavailable {
			t.Fatal(err)
		}
		if n := calls.Load(); n != 4 {
			t.Errorf("the call arrived %d times, not once and three times more", n)
		}
	})
}

// TestShippedAgreesWithItself: both sidecars and the broker's policy name the
// same trust domain, and no retry that would multiply is shipped.
func TestShippedAgreesWithItself(t *testing.T) {
	out := shipped(t, "outbound.yaml")
	if !strings.Contains(out, brokerID) || !strings.Contains(shipped(t, "inbound.yaml"), "spiffe://mesh.example/") {
		t.Error("the trust domains differ")
	}
	_, on, _ := strings.Cut(out, "retry_on: ")
	on, _, _ = strings.Cut(on, "\n")
	for _, condition := range strings.Split(on, ",") {
		if !slices.Contains([]string{"connect-failure", "refused-stream", "retriable-headers"}, condition) {
			t.Errorf("repeats on %s", condition)
		}
	}
}
