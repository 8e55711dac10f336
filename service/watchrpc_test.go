package service_test

import (
	"context"
	"encoding/json"
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
	"github.com/merakibroker/merakibroker/service/sandbox"
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
