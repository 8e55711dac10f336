package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// everyWay sends one request through each way in that takes it: its RPC, the twin that
// streams pages, the one that runs a job, a watch, a list of writes, with and without
// sending it. It gives how each ended.
func (h *harness) everyWay(ctx context.Context, t *testing.T, operation string, fields map[string]any) map[string]error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	in := h.request(t, operation, fields)
	wire, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	packed := &anypb.Any{TypeUrl: "type.googleapis.com/" + string(in.Descriptor().FullName()), Value: wire}
	ends := make(map[string]error)
	_, ends["its RPC"] = h.call(ctx, t, operation, fields)
	for _, m := range h.contract.Methods() {
		if m.Operation.GetId() != operation || !m.Streaming {
			continue
		}
		twin := dynamicpb.NewMessage(m.Descriptor.Input())
		if err := proto.Unmarshal(wire, twin); err != nil {
			t.Fatal(err)
		}
		stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
		if err == nil {
			err = errors.Join(stream.SendMsg(twin), stream.CloseSend(), stream.RecvMsg(dynamicpb.NewMessage(m.Descriptor.Output())))
		}
		ends[m.Name] = err
	}
	if h.contract.Operation(operation).Operation.GetVerb().String() == "VERB_GET" {
		s, err := brokerv1.NewWatchServiceClient(h.conn).Watch(ctx, &brokerv1.WatchRequest{Request: packed, Age: durationpb.New(time.Minute)})
		if err == nil {
			_, err = s.Recv()
		}
		ends["a watch"] = err
		return ends
	}
	for _, validate := range []bool{false, true} {
		s, err := brokerv1.NewBatchServiceClient(h.conn).ApplyWrites(ctx, &brokerv1.ApplyWritesRequest{ValidateOnly: validate, ReadBack: true, Writes: []*brokerv1.Write{{Id: "w", Request: packed}}})
		for err == nil {
			var row *brokerv1.ApplyWritesResponse
			if row, err = s.Recv(); err != nil {
				break
			}
			for _, w := range []*brokerv1.WriteStatus{row.GetFailed(), row.GetNotTried(), row.GetPending().GetWhy(), row.GetDone().GetReadBackFailed()} {
				if w != nil {
					err = status.Error(codes.Code(w.GetCode()), w.GetMessage())
				}
			}
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		ends[fmt.Sprint("a list of writes, validate only: ", validate)] = err
	}
	return ends
}

// TestNoWayInLeadsToAnotherOrganization: what is refused by one way in is refused by
// all of them, whatever the caller says beside it.
func TestNoWayInLeadsToAnotherOrganization(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	const mine = "2930418"
	other, theirs, serial := h.sandbox.OrganizationID(1), h.sandbox.NetworkID(1, 0), h.sandbox.Serial(1, 0, 0)
	own, device := h.sandbox.NetworkID(0, 0), h.sandbox.Serial(0, 0, 0)
	additional := func(fields map[string]any) map[string]any {
		s, err := structpb.NewStruct(fields)
		if err != nil {
			t.Fatal(err)
		}
		return map[string]any{"additional_properties": s.ProtoReflect()}
	}
	with := func(fields map[string]any, more map[string]any) map[string]any {
		for name, value := range more {
			fields[name] = value
		}
		return fields
	}
	hint := func(organization string) context.Context {
		return metadata.AppendToOutgoingContext(as(orders), "meraki-organization-id", organization, "meraki-max-age", "3600")
	}
	for _, c := range []struct {
		operation string
		fields    map[string]any
	}{
		{"getOrganization", map[string]any{"organization_id": other}},
		{"getOrganizationDevices", map[string]any{"organization_id": other}},
		{"getNetwork", map[string]any{"network_id": theirs}},
		{"getNetworkClients", map[string]any{"network_id": theirs}},
		{"getDevice", map[string]any{"serial": serial}},
		{"rebootDevice", map[string]any{"serial": serial}},
		{"updateNetwork", map[string]any{"network_id": theirs, "name": "x"}},
		{"createDeviceLiveToolsPing", map[string]any{"serial": serial, "target": "1.1.1.1"}},
		{"createOrganizationNetwork", map[string]any{"organization_id": other, "name": "n", "product_types": []string{"switch"}}},
		{"createOrganizationNetwork", map[string]any{"organization_id": mine, "name": "n", "product_types": []string{"switch"}, "copy_from_network_id": theirs}},
		{"combineOrganizationNetworks", map[string]any{"organization_id": mine, "name": "n", "network_ids": []string{own, theirs}}},
		{"claimNetworkDevices", map[string]any{"network_id": own, "serials": []string{serial}}},
		{"cloneOrganizationSwitchDevices", map[string]any{"organization_id": mine, "source_serial": serial, "target_serials": []string{device}}},
		{"moveOrganizationLicenses", map[string]any{"organization_id": mine, "dest_organization_id": other, "license_ids": []string{"1"}}},
		{"updateNetwork", with(map[string]any{"network_id": own}, additional(map[string]any{"organizationId": other}))},
		{"updateNetwork", with(map[string]any{"network_id": own}, additional(map[string]any{"a": map[string]any{"b": []any{map[string]any{"organization": map[string]any{"id": other}}}}}))},
		{"updateNetwork", with(map[string]any{"network_id": own}, additional(map[string]any{"ORGANIZATION_IDS": []any{mine, other}}))},
		{"createOrganizationNetwork", with(map[string]any{"organization_id": mine, "name": "n", "product_types": []string{"switch"}}, additional(map[string]any{"copyFromNetworkId": theirs}))},
		{"updateDevice", map[string]any{"serial": "../" + serial, "name": "x"}},
		{"updateDevice", map[string]any{"serial": device + "%2f..%2f" + serial, "name": "x"}},
		{"getOrganization", map[string]any{"organization_id": "\uff12930418"}},
		{"getOrganization", map[string]any{"organization_id": "0" + other}},
		{"getOrganization", map[string]any{"organization_id": other + "\x00"}},
	} {
		for name, ctx := range map[string]context.Context{"no hint": as(orders), "a hint at its own": hint(mine), "a hint at the other": hint(other)} {
			for way, err := range h.everyWay(ctx, t, c.operation, c.fields) {
				refused(t, fmt.Sprintf("%s %v by %s, %s", c.operation, c.fields, way, name), err)
			}
		}
	}
	untouched(t, h, other)
	for name, n := range h.sandbox.Organization(mine).Operations {
		if n.Arrived > 0 && name != "getNetwork" && name != "getDevice" && name != "getOrganizationNetworks" && name != "getOrganizationDevices" && name != "getOrganizationConfigTemplates" { // look-ups
			t.Errorf("%d requests for %s have left for a call that is refused", n.Arrived, name)
		}
	}
	// The same ways in are open for what the caller may have.
	for way, err := range h.everyWay(as(orders), t, "getNetwork", map[string]any{"network_id": own}) {
		if err != nil {
			t.Errorf("the caller's own network by %s: %v", way, err)
		}
	}
	for way, err := range h.everyWay(as(orders), t, "updateNetwork", map[string]any{"network_id": own, "notes": "x"}) {
		if err != nil {
			t.Errorf("a write of the caller's own network by %s: %v", way, err)
		}
	}
}
