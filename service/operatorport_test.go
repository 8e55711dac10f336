package service_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/admin"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/identity"
)

// operatorPort serves the operator's port of a harness, and gives its address.
func operatorPort(t *testing.T, h *harness) string {
	t.Helper()
	operator := admin.New(admin.Config{
		Metrics: h.server.Metrics().Handler(), Health: h.server.Health(), Log: discard(),
		Options: h.server.OperatorOptions(), Register: h.server.RegisterOperator,
	})
	t.Cleanup(operator.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = operator.Serve(l) }()
	return l.Addr().String()
}

// guarded is a broker whose rules and keys know one caller, who may read one section.
func guarded(t *testing.T) *harness {
	return build(t, plan{
		access: identity.Config{LinkerdClientID: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}},
		rules:  identity.Rules{{Name: "shop", Callers: []string{"shop.default"}, Operations: []identity.Grant{{Section: "organizations", Verbs: []string{"read"}}}, Organizations: []string{"*"}}},
		keys:   &credential.Config{Keys: []credential.KeyConfig{{Name: "shop", Env: "TEST_KEY", Callers: []string{"shop.default"}}}},
	})
}

// TestOperatorReads: the operator's port reads all that the broker knows, whatever the
// rules and the keys say of callers.
func TestOperatorReads(t *testing.T) {
	t.Parallel()
	h := guarded(t)
	conn := dialPlain(t, operatorPort(t, h))
	own := brokerv1.NewBrokerServiceClient(conn)
	organization := h.sandbox.OrganizationID(0)
	// What a header says of the caller does not count here.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "l5d-client-id", "nobody.default")
	if _, err := own.CompareTelemetry(ctx, &brokerv1.CompareTelemetryRequest{OrganizationId: organization}); err != nil {
		t.Errorf("CompareTelemetry: %v", err)
	}
	attempts, err := own.ListAttempts(ctx, &brokerv1.ListAttemptsRequest{})
	if err != nil || len(attempts.GetItems()) != 1 || attempts.GetItems()[0].GetCaller() != "operator" {
		t.Errorf("ListAttempts: %v %v", attempts, err)
	}
	budget, err := own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: organization})
	if err != nil || budget.GetAttempts() != 1 {
		t.Errorf("GetBudget: %v %v", budget, err)
	}
	health, err := own.GetUpstreamHealth(ctx, &brokerv1.GetUpstreamHealthRequest{})
	if err != nil || len(health.GetOverall()) == 0 {
		t.Errorf("GetUpstreamHealth: %v %v", health, err)
	}
	if _, err := own.ListDrift(ctx, &brokerv1.ListDriftRequest{}); err != nil {
		t.Errorf("ListDrift: %v", err)
	}
	for method, path := range map[string]string{"PUT": "/organizations/" + organization, "DELETE": "/networks/N_1"} {
		if _, err := own.ExplainCall(ctx, &brokerv1.ExplainCallRequest{Method: method, Path: path}); err != nil {
			t.Errorf("ExplainCall of %s %s: %v", method, path, err)
		}
	}
	_, err = own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: "no such"})
	if status.Code(err) != codes.InvalidArgument || watchReason(err) != "BAD_REQUEST" {
		t.Errorf("a wrong request: %v", err)
	}
}

// TestOperatorDoesNotWrite: what calls the Dashboard for somebody is refused on the
// operator's port, and the refusal says where to go.
func TestOperatorDoesNotWrite(t *testing.T) {
	t.Parallel()
	h := build(t, plan{})
	conn := dialPlain(t, operatorPort(t, h))
	for rpc, want := range map[string]struct {
		code   codes.Code
		reason string
	}{
		brokerv1.BrokerService_Call_FullMethodName:                             {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		"/meraki.organizations.v1.OrganizationsService/GetOrganizations":       {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		"/meraki.organizations.v1.OrganizationsService/DeleteOrganization":     {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		brokerv1.BatchService_ApplyWrites_FullMethodName:                       {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		brokerv1.WatchService_Watch_FullMethodName:                             {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		"/meraki.organizations.v1.OrganizationsService/StreamOrganizationsNot": {codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS"},
		"/no.such.Service/Method":                                              {codes.Unimplemented, "UNKNOWN_SERVICE"},
	} {
		err := conn.Invoke(t.Context(), rpc, &emptypb.Empty{}, &emptypb.Empty{})
		if status.Code(err) != want.code || watchReason(err) != want.reason {
			t.Errorf("%s: %v, want %v %s", rpc, err, want.code, want.reason)
		}
		if want.code == codes.PermissionDenied && !strings.Contains(status.Convert(err).Message(), "listen in the configuration") {
			t.Errorf("%s does not say where to go: %v", rpc, err)
		}
	}
	if n := h.sandbox.Stats().Total.Arrived; n != 0 {
		t.Errorf("%d requests reached the Dashboard", n)
	}
}

// TestOperatorPortNamesWhatItServes: reflection and health know what is served there,
// and nothing else.
func TestOperatorPortNamesWhatItServes(t *testing.T) {
	t.Parallel()
	h := build(t, plan{})
	conn := dialPlain(t, operatorPort(t, h))
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	if !slices.Contains(names, "meraki.broker.v1.BrokerService") {
		t.Errorf("reflection does not name BrokerService: %v", names)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "meraki.") && name != "meraki.broker.v1.BrokerService" {
			t.Errorf("reflection names %s, which is not served", name)
		}
	}
	list, err := healthpb.NewHealthClient(conn).List(t.Context(), &healthpb.HealthListRequest{})
	if err != nil || len(list.GetStatuses()) < 2 {
		t.Fatalf("%v %v", list, err)
	}
	for name := range list.GetStatuses() {
		if name != "" && !slices.Contains(names, name) {
			t.Errorf("health names %s, which is not served", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: "meraki.organizations.v1.OrganizationsService"})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := watch.Recv(); err != nil || m.GetStatus() != healthpb.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("%v %v", m, err)
	}
}

// TestOperatorStreamsEnd: what lasts on the operator's port ends when the drain begins.
func TestOperatorStreamsEnd(t *testing.T) {
	t.Parallel()
	h := build(t, plan{})
	own := brokerv1.NewBrokerServiceClient(dialPlain(t, operatorPort(t, h)))
	stream, err := own.WatchBudgets(t.Context(), &brokerv1.WatchBudgetsRequest{Interval: durationpb.New(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	go h.server.Stop(t.Context(), 0)
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

// TestCheckAccess: a caller learns what the rules let it do, and not what they let others;
// whoever reaches the operator's port learns of everybody.
func TestCheckAccess(t *testing.T) {
	t.Parallel()
	h := build(t, plan{
		access: identity.Config{LinkerdClientID: &identity.ProxyConfig{Trusted: []string{"127.0.0.1"}}},
		rules: identity.Rules{{
			Name: "shop", Callers: []string{"shop.mesh.serviceaccount.identity.linkerd.cluster.local"}, Organizations: []string{"2930418"}, Weight: 2,
			Operations: []identity.Grant{{Section: "organizations", Verbs: []string{"read"}}, {RPC: "CheckAccess"}},
		}},
	})
	const shop = "shop.mesh.serviceaccount.identity.linkerd.cluster.local"
	operator := brokerv1.NewBrokerServiceClient(dialPlain(t, operatorPort(t, h)))
	for _, row := range []struct {
		caller, operation, organization string
		rule, refusal                   string
	}{
		{shop, "getOrganizationDevices", "2930418", "shop", ""},
		{shop, "/meraki.organizations.v1.OrganizationsService/GetOrganizationDevices", "", "shop", ""},
		{shop, "CheckAccess", "2930418", "shop", ""},
		{shop, "getOrganizationDevices", "2930419", "", "for organization 2930419"},
		{shop, "getOrganizations", "", "", "belongs to no organization"},
		{shop, "updateOrganization", "2930418", "", "no rule allows caller"},
		{"operator", "getOrganizationDevices", "2930418", "", "no rule names caller"},
	} {
		r, err := operator.CheckAccess(t.Context(), &brokerv1.CheckAccessRequest{Caller: row.caller, Operation: row.operation, OrganizationId: row.organization})
		if err != nil || r.GetAllowed() != (row.refusal == "") || r.GetRule() != row.rule || !strings.Contains(r.GetRefusal(), row.refusal) || r.GetAllowed() && r.GetWeight() != 2 {
			t.Errorf("%+v: %v %v", row, r, err)
		}
	}
	for _, in := range []*brokerv1.CheckAccessRequest{{Caller: shop, Operation: "getNothing"}, {Operation: "getOrganizations"}, {Caller: shop, Operation: "getOrganizationDevices", OrganizationId: "a/b"}} {
		if _, err := operator.CheckAccess(t.Context(), in); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", in, err)
		}
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "l5d-client-id", shop)
	in := &brokerv1.CheckAccessRequest{Operation: "getOrganizationDevices", OrganizationId: "2930418"}
	if r, err := h.own.CheckAccess(ctx, in); err == nil && !r.GetAllowed() || status.Code(err) == codes.Internal {
		t.Errorf("itself: %v %v", r, err)
	}
	in.Caller = "somebody else"
	if _, err := h.own.CheckAccess(ctx, in); status.Code(err) != codes.PermissionDenied {
		t.Errorf("somebody else: %v", err)
	}
}
