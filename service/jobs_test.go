package service_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// run calls the twin that starts a job and gives its states.
func (h *harness) run(ctx context.Context, t testing.TB, m *contract.Method, fields map[string]any) (states []protoreflect.Message, trailer metadata.MD, err error) {
	t.Helper()
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err == nil {
		err = stream.SendMsg(h.request(t, m.Operation.GetId(), fields))
	}
	if err == nil {
		err = stream.CloseSend()
	}
	for err == nil {
		out := dynamicpb.NewMessage(m.Descriptor.Output())
		if err = stream.RecvMsg(out); err == nil {
			states = append(states, out)
		}
	}
	if stream != nil {
		trailer = stream.Trailer()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return states, trailer, err
}

// TestEveryLiveTool runs each of the fourteen from its start to its end with one RPC:
// one start, as many polls as the pace says, and no 429 from limits of their own.
func TestEveryLiveTool(t *testing.T) {
	t.Parallel()
	h := build(t, plan{sandbox: sandbox.Options{JobTime: 500 * time.Millisecond}})
	serial := h.sandbox.Serial(0, 0, 0)
	var tools []*contract.Method
	for _, m := range h.contract.Methods() {
		if m.Runs && strings.Contains(m.Operation.GetPath(), "/liveTools/") {
			tools = append(tools, m)
		}
	}
	if len(tools) != 14 {
		t.Fatalf("%d live tools, want 14", len(tools))
	}
	var all sync.WaitGroup
	for _, m := range tools {
		all.Go(func() {
			fields := map[string]any{"serial": serial}
			if slices.Contains(m.Operation.GetRequiredLists(), "ports") {
				fields["ports"] = []string{"1", "2"}
			}
			states, _, err := h.run(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), t, m, fields)
			if err != nil {
				t.Errorf("%s: %v", m.Name, err)
				return
			}
			if len(states) != 2 || text(states[1], "status") != "complete" {
				t.Errorf("%s: states %v", m.Name, states)
			}
		})
	}
	all.Wait()
	stats := h.sandbox.Organization(h.sandbox.OrganizationID(0))
	for _, m := range tools {
		id, read := m.Operation.GetId(), m.Operation.GetJob().GetRead()
		if starts, polls := stats.Operations[id], stats.Operations[read]; starts.Arrived != 1 || polls.Arrived != 1 || starts.LimitedByOperation+starts.LimitedByOrganization+polls.LimitedByOrganization > 0 {
			t.Errorf("%s: %+v starts, %+v polls", id, starts, polls)
		}
	}
}

func (h *harness) runOf(t testing.TB, operation string) *contract.Method {
	t.Helper()
	for _, m := range h.contract.Methods() {
		if m.Runs && m.Operation.GetId() == operation {
			return m
		}
	}
	t.Fatalf("%s has no twin that runs it", operation)
	return nil
}

// TestJobNeedsBothPermissions: a caller that may start a job and not read its state is
// told so before the job is started.
func TestJobNeedsBothPermissions(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, rules: identity.Rules{{
		Name: "start", Callers: []string{"anonymous"}, Organizations: []string{"*"},
		Operations: []identity.Grant{{Operation: "createDeviceLiveToolsPing"}},
	}}})
	states, _, err := h.run(t.Context(), t, h.runOf(t, "createDeviceLiveToolsPing"), map[string]any{"serial": h.sandbox.Serial(0, 0, 0)})
	wantCode(t, "a start without the reads", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	if !strings.Contains(err.Error(), "getDeviceLiveToolsPing") || len(states) != 0 || h.broker.Attempts() != 0 {
		t.Errorf("%v: %d states, %d attempts", err, len(states), h.broker.Attempts())
	}
}

// TestJobOfANamedStart: the same name again follows the job that goes on, and starts
// none.
func TestJobOfANamedStart(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{JobTime: time.Millisecond}})
	named := metadata.AppendToOutgoingContext(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), "meraki-idempotency-key", "one")
	m := h.runOf(t, "createDeviceLiveToolsPing")
	for range 2 {
		states, _, err := h.run(named, t, m, map[string]any{"serial": h.sandbox.Serial(0, 0, 0)})
		if err != nil || text(states[len(states)-1], "status") != "complete" {
			t.Errorf("%v, states %v", err, states)
		}
	}
	if n := h.sandbox.Organization(h.sandbox.OrganizationID(0)).Operations["createDeviceLiveToolsPing"].Arrived; n != 1 {
		t.Errorf("%d starts", n)
	}
}

// TestDeadlineOfAJob: the caller is told that the job goes on, and how to read it.
func TestDeadlineOfAJob(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{JobTime: time.Hour}})
	for try := 1; ; try++ {
		ctx, cancel := context.WithTimeout(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), time.Duration(try)*300*time.Millisecond)
		states, _, err := h.run(ctx, t, h.runOf(t, "createDeviceLiveToolsPing"), map[string]any{"serial": h.sandbox.Serial(0, 0, 0)})
		cancel()
		// On a busy machine the job may not have been started by then, or the client's own
		// clock is first, and nothing is told then.
		if try < 20 && (len(states) == 0 || status.Convert(err).Message() == context.DeadlineExceeded.Error()) {
			continue
		}
		if len(states) != 1 || status.Code(err) != codes.DeadlineExceeded {
			t.Fatalf("%v, states %v", err, states)
		}
		if id := text(states[0], "ping_id"); !strings.Contains(err.Error(), "the job "+id+" has been started and goes on, and getDeviceLiveToolsPing reads its state") {
			t.Errorf("the error says: %v", err)
		}
		return
	}
}

// TestJobWhenTheReplicaStops: the job that has been started is named, and nobody is
// asked to start it at another replica.
func TestJobWhenTheReplicaStops(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{JobTime: time.Hour}})
	m := h.runOf(t, "createDeviceLiveToolsPing")
	stream, err := h.conn.NewStream(withOrganization(t.Context(), h.sandbox.OrganizationID(0)), &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.SendMsg(h.request(t, m.Operation.GetId(), map[string]any{"serial": h.sandbox.Serial(0, 0, 0)})), stream.CloseSend()
	out := dynamicpb.NewMessage(m.Descriptor.Output())
	if err := stream.RecvMsg(out); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h.server.Stop(stop, 0)
	err = stream.RecvMsg(out)
	wantCode(t, "the replica stops", err, codes.Unavailable, "DRAINING")
	if pushback := stream.Trailer().Get("grpc-retry-pushback-ms"); len(pushback) != 1 || pushback[0] != "-1" || !strings.Contains(err.Error(), "has been started and goes on") {
		t.Errorf("%v, pushback %v", err, pushback)
	}
}

// TestUnconfirmedBatchIsNoJob: it waits for its confirmation, so its twin ends with
// the first state.
func TestUnconfirmedBatchIsNoJob(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	states, _, err := h.run(t.Context(), t, h.runOf(t, "createOrganizationActionBatch"), map[string]any{
		"organization_id": h.sandbox.OrganizationID(0), "empty_fields": []string{"actions"},
	})
	if err != nil || len(states) != 1 {
		t.Errorf("%v, states %v", err, states)
	}
}
