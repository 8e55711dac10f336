package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
	"github.com/merakibroker/merakibroker/service/watch"
)

func (h *harness) watch(t *testing.T, ctx context.Context, operation string, age time.Duration, fields map[string]any) brokerv1.WatchService_WatchClient {
	t.Helper()
	request, err := proto.Marshal(h.request(t, operation, fields))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := brokerv1.NewWatchServiceClient(h.conn).Watch(ctx, &brokerv1.WatchRequest{
		Request: &anypb.Any{TypeUrl: "type.googleapis.com/" + string(h.contract.Operation(operation).Descriptor.Input().FullName()), Value: request},
		Age:     durationpb.New(age),
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// watchReason is the reason of a failed watch.
func watchReason(err error) string {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// TestWatch: the state comes first, then the one row that has changed, for two watchers
// by one poll; and the drain ends both.
func TestWatch(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	organization, network := h.sandbox.OrganizationID(0), h.sandbox.NetworkID(0, 0)
	var streams []brokerv1.WatchService_WatchClient
	for range 2 {
		streams = append(streams, h.watch(t, t.Context(), "getOrganizationNetworks", time.Second, map[string]any{"organization_id": organization}))
	}
	next := func(s brokerv1.WatchService_WatchClient) (*brokerv1.WatchResponse, *dynamicpb.Message) {
		t.Helper()
		got, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		out := dynamicpb.NewMessage(h.contract.Operation("getOrganizationNetworks").Descriptor.Output())
		if !got.GetChanged().MessageIs(out) {
			t.Fatalf("%s", got.GetChanged().GetTypeUrl())
		}
		if err := proto.Unmarshal(got.GetChanged().GetValue(), out); err != nil {
			t.Fatal(err)
		}
		return got, out
	}
	rows := func(m *dynamicpb.Message) int {
		return m.Get(m.Descriptor().Fields().ByName("items")).List().Len()
	}
	for _, s := range streams {
		if got, m := next(s); !got.GetWhole() || got.GetMore() || rows(m) < 2 || got.GetAskedTime() == nil {
			t.Errorf("first: %v", got)
		}
	}
	if err := h.sandbox.AddChange(sandbox.Change{Path: "/networks/" + network, Body: json.RawMessage(`{"name":"renamed by nobody"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		if got, m := next(s); got.GetWhole() || rows(m) != 1 || !strings.Contains(m.String(), "renamed by nobody") || got.GetRemoved() != nil {
			t.Errorf("then: %v, %v", got, m)
		}
	}
	go h.server.Stop(t.Context(), 0)
	for _, s := range streams {
		if _, err := s.Recv(); status.Code(err) != codes.Unavailable || watchReason(err) != "DRAINING" {
			t.Errorf("at the drain: %v", err)
		}
	}
}

// TestWatchOfNothing is refused, each with its reason, and nothing is sent.
func TestWatchOfNothing(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	organization := map[string]any{"organization_id": h.sandbox.OrganizationID(0)}
	for name, c := range map[string]struct {
		operation string
		age       time.Duration
		reason    string
	}{
		"no GET":    {"updateOrganization", time.Second, "NOT_A_READ"},
		"too young": {"getOrganization", time.Second / 2, "BAD_REQUEST"},
	} {
		_, err := h.watch(t, t.Context(), c.operation, c.age, organization).Recv()
		if status.Code(err) != codes.InvalidArgument || watchReason(err) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, request := range []*anypb.Any{nil, {TypeUrl: "type.googleapis.com/meraki.broker.v1.WatchRequest"}} {
		s, err := brokerv1.NewWatchServiceClient(h.conn).Watch(t.Context(), &brokerv1.WatchRequest{Request: request, Age: durationpb.New(time.Second)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", request, err)
		}
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestWatchOfWhoMayNotAnyMore: the rules are read anew in the middle of a watch. Who may
// not see the organization any more is told so and is sent nothing that was read since;
// the other goes on.
func TestWatchOfWhoMayNotAnyMore(t *testing.T) {
	t.Parallel()
	var policy *identity.Policy
	h := shop(t, plan{sandbox: sandbox.Options{LimitsOff: true}, server: func(c *service.Config) { policy = c.Access.Policy }})
	organization := h.sandbox.OrganizationID(0)
	open := func(who string) brokerv1.WatchService_WatchClient {
		return h.watch(t, as(who), "getOrganizationNetworks", time.Second, map[string]any{"organization_id": organization})
	}
	barred, other := open(orders), open(billing)
	for _, s := range []brokerv1.WatchService_WatchClient{barred, other} {
		if got, err := s.Recv(); err != nil || !got.GetWhole() {
			t.Fatalf("%v, %v", got, err)
		}
	}
	rules := identity.Rules{{Name: "billing", Callers: []string{billing}, Organizations: []string{"*"}, Operations: []identity.Grant{
		{Section: "*", Verbs: []string{"read"}}, {RPC: "*"},
	}}, {Name: "orders", Callers: []string{orders}, Organizations: []string{h.sandbox.OrganizationID(1)}, Operations: []identity.Grant{
		{Section: "*", Verbs: []string{"read"}}, {RPC: "*"},
	}}}
	if err := policy.Replace(rules); err != nil {
		t.Fatal(err)
	}
	if err := h.sandbox.AddChange(sandbox.Change{Path: "/networks/" + h.sandbox.NetworkID(0, 0), Body: json.RawMessage(`{"name":"not for orders"}`)}); err != nil {
		t.Fatal(err)
	}
	got, err := barred.Recv()
	wantCode(t, "who may not any more", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	if got != nil {
		t.Errorf("and was sent %v", got)
	}
	if got, err := other.Recv(); err != nil || !strings.Contains(string(got.GetChanged().GetValue()), "not for orders") {
		t.Errorf("the other: %v, %v", got, err)
	}
	_, err = open(orders).Recv()
	wantCode(t, "and again", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
}

// TestMoreWatchesThanAllowed are refused, and fit when others have ended.
func TestMoreWatchesThanAllowed(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}, server: func(c *service.Config) {
		var err error
		if c.Watches, err = watch.New(watch.Config{Broker: c.Broker, CallerWatches: 2}); err != nil {
			t.Fatal(err)
		}
	}})
	open := func(ctx context.Context) error {
		_, err := h.watch(t, ctx, "getOrganization", time.Hour, map[string]any{"organization_id": h.sandbox.OrganizationID(0)}).Recv()
		return err
	}
	ctx, leave := context.WithCancel(t.Context())
	for range 2 {
		if err := open(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, "a third", open(t.Context()), codes.ResourceExhausted, "TOO_MANY_WATCHES")
	leave()
	storetest.Eventually(t, time.Minute, "one fits again", func() bool { return open(t.Context()) == nil })
}

// TestWatchThatIsNotRead: a client that stops reading is sent what it has missed as one
// difference, however many states there were, and a client beside it sees all of them.
func TestWatchThatIsNotRead(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, NetworksPerOrganization: 8, DevicesPerNetwork: 100}})
	organization := map[string]any{"organization_id": h.sandbox.OrganizationID(0)}
	lazy, reads := h.watch(t, t.Context(), "getOrganizationDevices", time.Second, organization), h.watch(t, t.Context(), "getOrganizationDevices", time.Second, organization)
	if _, err := reads.Recv(); err != nil { // more than a stream's window, so that the other's has not gone out
		t.Fatal(err)
	}
	const changes = 3
	for i := range changes {
		if err := h.sandbox.AddChange(sandbox.Change{Path: "/devices/" + h.sandbox.Serial(0, 0, 0), Body: json.RawMessage(fmt.Sprintf(`{"name":"change %d"}`, i))}); err != nil {
			t.Fatal(err)
		}
		if got, err := reads.Recv(); err != nil || !strings.Contains(string(got.GetChanged().GetValue()), fmt.Sprint("change ", i)) {
			t.Fatalf("%v, %v", got, err)
		}
	}
	first, err := lazy.Recv()
	if err != nil || !first.GetWhole() || len(first.GetChanged().GetValue()) < 64<<10 || strings.Contains(string(first.GetChanged().GetValue()), "change ") {
		t.Fatalf("first: %d bytes, %v", len(first.GetChanged().GetValue()), err)
	}
	then, err := lazy.Recv()
	if err != nil || then.GetWhole() || strings.Count(string(then.GetChanged().GetValue()), "change ") != 1 || !strings.Contains(string(then.GetChanged().GetValue()), fmt.Sprint("change ", changes-1)) {
		t.Errorf("then: %v, %v", then, err)
	}
}
