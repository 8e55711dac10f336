package service_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

func (h *harness) write(t testing.TB, id, operation string, fields map[string]any) *brokerv1.Write {
	t.Helper()
	wire, err := proto.Marshal(h.request(t, operation, fields))
	if err != nil {
		t.Fatal(err)
	}
	return &brokerv1.Write{Id: id, Request: &anypb.Any{
		TypeUrl: "type.googleapis.com/" + string(h.contract.Operation(operation).Descriptor.Input().FullName()), Value: wire,
	}}
}

// applyWrites makes a list and gives what became of each write, by id; each comes once.
func (h *harness) applyWrites(t testing.TB, ctx context.Context, in *brokerv1.ApplyWritesRequest) (map[string]*brokerv1.ApplyWritesResponse, error) {
	t.Helper()
	stream, err := brokerv1.NewBatchServiceClient(h.conn).ApplyWrites(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]*brokerv1.ApplyWritesResponse)
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if out[m.GetId()] != nil {
			t.Errorf("%s has two results", m.GetId())
		}
		out[m.GetId()] = m
	}
}

// portWrites are updates of the switch ports of the first organization, so many; those
// that wrong tells have a value that the sandbox is told to refuse.
func (h *harness) portWrites(t testing.TB, n int, wrong func(i int) bool) []*brokerv1.Write {
	t.Helper()
	if err := h.sandbox.AddRejection(sandbox.Rejection{Contains: `"vlan":4095`, Messages: []string{"Vlan is invalid"}}); err != nil {
		t.Fatal(err)
	}
	serials := h.switches(t)
	all := make([]*brokerv1.Write, n)
	for i := range all {
		vlan := int64(1 + i%4000)
		if wrong != nil && wrong(i) {
			vlan = 4095
		}
		all[i] = h.write(t, fmt.Sprint("port ", i), "updateDeviceSwitchPort", map[string]any{
			"serial": serials[i/24%len(serials)], "port_id": fmt.Sprint(1 + i%24 + i/24/len(serials)*24), "vlan": vlan,
		})
	}
	return all
}

// switches are devices of the first organization that the broker has learned the owners of.
func (h *harness) switches(t testing.TB) (serials []string) {
	t.Helper()
	for network := range 3 {
		for device := range 5 {
			if s := h.sandbox.Serial(0, network, device); s != "" {
				serials = append(serials, s)
			}
		}
	}
	if len(serials) == 0 {
		t.Fatal("no devices")
	}
	return serials
}

// batchesOfFive lets lists have all five places.
func batchesOfFive(c *service.Config) {
	b, err := batch.New(batch.Config{Contract: c.Contract, Dashboard: c.Broker, Observer: c.Metrics, Places: 5})
	if err != nil {
		panic(err) // the harness calls it without a test; nothing of the configuration is wrong
	}
	c.Batches = b
}

func statusReason(s *brokerv1.WriteStatus) string {
	for _, d := range s.GetDetails() {
		info := new(errdetails.ErrorInfo)
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil {
			return info.GetReason()
		}
	}
	return ""
}

// TestApplyWrites: 500 writes of which one in a hundred is wrong. Every right one is done,
// every wrong one has the status that its own RPC gives.
func TestApplyWrites(t *testing.T) {
	t.Parallel()
	// A batch takes long enough for five to meet on a machine that is slow.
	h := build(t, plan{broker: fast, server: batchesOfFive, sandbox: sandbox.Options{BatchTime: time.Second, LimitsOff: true}})
	wrong := func(i int) bool { return i%100 == 37 }
	writes := h.portWrites(t, 500, wrong)
	out, err := h.applyWrites(t, withOrganization(t.Context(), h.sandbox.OrganizationID(0)), &brokerv1.ApplyWritesRequest{Writes: writes})
	if err != nil || len(out) != len(writes) {
		t.Fatalf("%d results: %v", len(out), err)
	}
	if u, err := h.own.GetUsage(t.Context(), &brokerv1.GetUsageRequest{Caller: "anonymous"}); err != nil || u.GetTotal().GetSaved().GetBatched() < 300 {
		t.Errorf("what batches saved is the usage %v: %v", u, err)
	}
	alone, err := h.callStatus(t, writes[37])
	if err == nil {
		t.Fatal("the wrong one is right")
	}
	for i, w := range writes {
		m := out[w.GetId()]
		switch {
		case !wrong(i) && m.GetDone() == nil:
			t.Fatalf("%d: %v", i, m)
		case wrong(i):
			s := m.GetFailed()
			if s.GetCode() != int32(codes.InvalidArgument) || s.GetMessage() != alone || statusReason(s) != "BAD_REQUEST" || !strings.Contains(s.GetMessage(), "Vlan is invalid") {
				t.Errorf("%d: %v, and alone: %s", i, m, alone)
			}
		}
	}
	if n := h.broker.Attempts(); n > 100 {
		t.Errorf("%d requests for 500 writes", n)
	}
	stats := h.sandbox.Organization(h.sandbox.OrganizationID(0))
	t.Logf("%d requests, %d batches at once", h.broker.Attempts(), stats.MostBatches)
	if stats.MostBatches < 4 {
		t.Errorf("%d batches at once", stats.MostBatches)
	}
}

// callStatus makes a write by its own RPC and gives the message of its failure.
func (h *harness) callStatus(t testing.TB, w *brokerv1.Write) (string, error) {
	t.Helper()
	m := h.contract.Request(w.GetRequest().GetTypeUrl())
	in, out := dynamicpb.NewMessage(m.Descriptor.Input()), dynamicpb.NewMessage(m.Descriptor.Output())
	if err := proto.Unmarshal(w.GetRequest().GetValue(), in); err != nil {
		t.Fatal(err)
	}
	err := h.conn.Invoke(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), m.Name, in, out)
	return status.Convert(err).Message(), err
}

// TestApplyWritesUnderFaults: one request in seven fails, in every way there is, and no write is made
// twice; what is said of each is what the sandbox has.
func TestApplyWritesUnderFaults(t *testing.T) {
	t.Parallel()
	h := build(t, plan{
		broker: fast, server: batchesOfFive, sandbox: sandbox.Options{BatchTime: 20 * time.Millisecond, LimitsOff: true, Seed: 7},
	})
	organization := h.sandbox.OrganizationID(0)
	var writes []*brokerv1.Write
	for i := range 300 {
		writes = append(writes, h.write(t, fmt.Sprint("policy ", i), "createNetworkGroupPolicy", map[string]any{
			"network_id": h.sandbox.NetworkID(0, i%3), "name": fmt.Sprint("policy ", i),
		}))
	}
	if err := h.sandbox.SetFaults(sandbox.Mix{Share: 0.15, Kinds: sandbox.Alike(sandbox.EveryFault())}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(withOrganization(t.Context(), organization), 5*time.Minute)
	defer cancel()
	out, err := h.applyWrites(t, ctx, &brokerv1.ApplyWritesRequest{Writes: writes})
	if err != nil || len(out) != len(writes) {
		t.Fatalf("%d results: %v", len(out), err)
	}
	h.sandbox.ClearFaults()
	have := make(map[string]int)
	for n := range 3 {
		answer, err := h.own.Call(t.Context(), &brokerv1.CallRequest{Method: "GET", Path: "/networks/" + h.sandbox.NetworkID(0, n) + "/groupPolicies"})
		if err != nil {
			t.Fatal(err)
		}
		var rows []struct{ Name string }
		if err := json.Unmarshal(answer.GetBody(), &rows); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			have[row.Name]++
		}
	}
	counts := make(map[string]int)
	for _, w := range writes {
		m, n := out[w.GetId()], have[w.GetId()]
		kind := strings.TrimPrefix(fmt.Sprintf("%T", m.GetOutcome()), "*brokerv1.ApplyWritesResponse_")
		if m.GetFailed().GetCode() == int32(codes.Unknown) {
			kind = "Unknown"
		}
		counts[kind]++
		if n > 1 || kind == "Done" && n != 1 || (kind == "Failed" || kind == "NotTried") && n != 0 {
			t.Errorf("%s is there %d times, and is said to be %v", w.GetId(), n, m)
		}
	}
	if counts["Done"] < 250 {
		t.Errorf("%v", counts)
	}
	t.Logf("%v, %d requests", counts, h.broker.Attempts())
}

// TestAListThatComesAgain: its caller leaves in the middle and sends it again under its
// key; no write is made twice, and the outcome of each is known.
func TestAListThatComesAgain(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{BatchTime: 100 * time.Millisecond, LimitsOff: true}})
	in := &brokerv1.ApplyWritesRequest{Writes: h.portWrites(t, 800, nil)}
	named := metadata.AppendToOutgoingContext(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), "meraki-idempotency-key", "one")
	ctx, leave := context.WithCancel(named)
	stream, err := brokerv1.NewBatchServiceClient(h.conn).ApplyWrites(ctx, in)
	for range 150 {
		if err == nil {
			_, err = stream.Recv()
		}
	}
	leave()
	if err != nil {
		t.Fatal(err)
	}
	out, err := h.applyWrites(t, named, in)
	if err != nil || len(out) != len(in.GetWrites()) {
		t.Fatalf("%d results: %v", len(out), err)
	}
	for i, w := range in.GetWrites() {
		done := out[w.GetId()].GetDone()
		if done == nil {
			t.Fatalf("%d: %v", i, out[w.GetId()])
		}
		if n := h.sandbox.Executed("PUT", done.GetResource(), fmt.Appendf(nil, `{"vlan":%d}`, 1+i%4000)); n != 1 {
			t.Fatalf("%d was executed %d times", i, n)
		}
	}
	_, err = h.applyWrites(t, named, &brokerv1.ApplyWritesRequest{Writes: in.GetWrites()[1:]})
	wantCode(t, "another list under the key", err, codes.InvalidArgument, "IDEMPOTENCY_KEY_REUSED")
}

// TestApplyWritesReadsBack what was written, in a batch and alone.
func TestApplyWritesReadsBack(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{BatchTime: time.Millisecond, LimitsOff: true}})
	network := h.sandbox.NetworkID(0, 0)
	writes := []*brokerv1.Write{
		h.write(t, "a", "createNetworkGroupPolicy", map[string]any{"network_id": network, "name": "first"}),
		h.write(t, "b", "updateNetwork", map[string]any{"network_id": h.sandbox.NetworkID(0, 1), "name": "renamed"}),
		h.write(t, "c", "updateNetwork", map[string]any{"network_id": h.sandbox.NetworkID(0, 2), "name": "renamed, too"}),
	}
	for _, list := range [][]*brokerv1.Write{writes, writes[1:2]} {
		out, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: list, ReadBack: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range list {
			d := out[w.GetId()].GetDone()
			m := h.contract.Request(w.GetRequest().GetTypeUrl())
			if d == nil || d.GetReadBackFailed() != nil || !d.GetResponse().MessageIs(dynamicpb.NewMessage(m.Descriptor.Output())) {
				t.Errorf("%s: %v", w.GetId(), out[w.GetId()])
			}
			if created := d.GetCreatedId() != ""; created != (w.GetId() == "a") || created && d.GetResource() != "/networks/"+network+"/groupPolicies/"+d.GetCreatedId() {
				t.Errorf("%s: %v", w.GetId(), d)
			}
		}
	}
}

// TestWrongListsOfWrites are refused as a whole, and nothing is sent.
func TestWrongListsOfWrites(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, rules: identity.Rules{{
		Name: "ports", Callers: []string{"anonymous"}, Organizations: []string{"*"},
		Operations: []identity.Grant{{Operation: "updateDeviceSwitchPort"}, {Operation: "getNetwork"}},
	}}})
	good := func() *brokerv1.Write {
		return h.write(t, "good", "updateDeviceSwitchPort", map[string]any{"serial": h.sandbox.Serial(0, 0, 0), "port_id": "1"})
	}
	for name, c := range map[string]struct {
		write  *brokerv1.Write
		code   codes.Code
		reason string
	}{
		"no write":          {h.write(t, "x", "getNetwork", map[string]any{"network_id": "N_1"}), codes.InvalidArgument, "NOT_A_WRITE"},
		"nothing":           {&brokerv1.Write{Id: "x"}, codes.InvalidArgument, "BAD_REQUEST"},
		"no request":        {&brokerv1.Write{Id: "x", Request: &anypb.Any{TypeUrl: "type.googleapis.com/meraki.broker.v1.WatchRequest"}}, codes.InvalidArgument, "BAD_REQUEST"},
		"unreadable":        {&brokerv1.Write{Id: "x", Request: &anypb.Any{TypeUrl: good().GetRequest().GetTypeUrl(), Value: []byte{0xff}}}, codes.InvalidArgument, "BAD_REQUEST"},
		"without its path":  {h.write(t, "x", "updateDeviceSwitchPort", nil), codes.InvalidArgument, "BAD_REQUEST"},
		"not allowed":       {h.write(t, "x", "rebootDevice", map[string]any{"serial": "Q"}), codes.PermissionDenied, "CALLER_NOT_ALLOWED"},
		"the same id twice": {good(), codes.InvalidArgument, "BAD_REQUEST"},
		"no id":             {func() *brokerv1.Write { w := good(); w.Id = ""; return w }(), codes.InvalidArgument, "BAD_REQUEST"},
	} {
		out, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: []*brokerv1.Write{good(), c.write}})
		wantCode(t, name, err, c.code, c.reason)
		if !strings.Contains(fmt.Sprint(err), "writes[1]") || len(out) != 0 {
			t.Errorf("%s: %v, %v", name, err, out)
		}
	}
	for _, writes := range [][]*brokerv1.Write{nil, slices.Repeat([]*brokerv1.Write{good()}, 10_001)} {
		_, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: writes})
		wantCode(t, fmt.Sprint(len(writes)), err, codes.InvalidArgument, "BAD_REQUEST")
	}
	var group []*brokerv1.Write
	for i := range 101 {
		group = append(group, h.write(t, fmt.Sprint(i), "updateDeviceSwitchPort", map[string]any{"serial": h.sandbox.Serial(0, 0, 0), "port_id": fmt.Sprint(i)}))
		group[i].Group = "all of them"
	}
	_, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: group})
	wantCode(t, "a group of 101", err, codes.InvalidArgument, "BAD_REQUEST")
	if !strings.Contains(fmt.Sprint(err), `"all of them"`) {
		t.Error(err)
	}
	repeated := metadata.AppendToOutgoingContext(t.Context(), "x-envoy-attempt-count", "2")
	_, err = h.applyWrites(t, repeated, &brokerv1.ApplyWritesRequest{Writes: []*brokerv1.Write{good()}})
	wantCode(t, "sent again by a proxy", err, codes.Unknown, "REPEATED_WRITE")
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d requests", n)
	}

	// Whose a write is has to be asked for; mixed organizations are fine, but not in a group.
	two := []*brokerv1.Write{good(), h.write(t, "elsewhere", "updateDeviceSwitchPort", map[string]any{"serial": h.sandbox.Serial(1, 0, 0), "port_id": "1"})}
	two[0].Group, two[1].Group = "both", "both"
	out, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: two})
	wantCode(t, "a group across organizations", err, codes.InvalidArgument, "BAD_REQUEST")
	if !strings.Contains(fmt.Sprint(err), `"elsewhere"`) || len(out) != 0 || len(h.sandbox.Executions()) != 0 {
		t.Errorf("%v, %v", err, out)
	}
	two[0].Group, two[1].Group = "", ""
	out, err = h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: two})
	if err != nil || out["good"].GetDone() == nil || out["elsewhere"].GetDone() == nil {
		t.Errorf("two organizations: %v, %v", out, err)
	}
}

// TestDrainOfAList: what is under way is named with its batch, what was not sent is said
// to be so, and the stream ends in order.
func TestDrainOfAList(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{BatchTime: time.Hour, LimitsOff: true}})
	writes := h.portWrites(t, 360, nil)
	stream, err := brokerv1.NewBatchServiceClient(h.conn).ApplyWrites(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), &brokerv1.ApplyWritesRequest{Writes: writes})
	if err != nil {
		t.Fatal(err)
	}
	for h.sandbox.Organization(h.sandbox.OrganizationID(0)).MostBatches < 3 && t.Context().Err() == nil {
		runtime.Gosched()
	}
	go h.server.Stop(t.Context(), 0)
	pending, not := 0, 0
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case m.GetPending() != nil:
			pending++
		case statusReason(m.GetNotTried()) == "DRAINING":
			not++
		default:
			t.Errorf("%v", m)
		}
	}
	if pending != 300 || not != 60 {
		t.Errorf("%d pending, %d not tried", pending, not)
	}
}

// TestAListOfLongBodies: a list is bounded by what it becomes, before anything is sent.
func TestAListOfLongBodies(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	rules := h.write(t, "", "updateNetworkApplianceFirewallL3FirewallRules", map[string]any{
		"network_id": h.sandbox.NetworkID(0, 0), "null_fields": []string{"rules.*.comment", "rules.*.policy", "rules.*.protocol", "rules.*.dest_port"}}).GetRequest()
	rules.Value = append(rules.GetValue(), bytes.Repeat([]byte{2<<3 | 2, 0}, 100_000)...)
	var list []*brokerv1.Write
	for i := range 10 { // of 5 MB each
		list = append(list, &brokerv1.Write{Id: fmt.Sprint(i), Request: rules})
	}
	_, err := h.applyWrites(t, t.Context(), &brokerv1.ApplyWritesRequest{Writes: list})
	wantCode(t, "a list of 50 MB", err, codes.InvalidArgument, "BAD_REQUEST")
	if n := h.broker.Attempts(); n != 0 || !strings.Contains(fmt.Sprint(err), "in parts") {
		t.Errorf("%v; %d requests", err, n)
	}
}
