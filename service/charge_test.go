package service_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestEveryAttemptPays: pages, retries, redirects, look-ups, raw calls and calls
// whose caller leaves. What arrives at the Dashboard is exactly what was paid for.
func TestEveryAttemptPays(t *testing.T) {
	t.Parallel()
	const organizations = 40
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: organizations, NetworksPerOrganization: 10, DevicesPerNetwork: 2, Seed: 3,
		Faults: mix(0.2, sandbox.EveryFault()),
	}})
	each(800, 32, func(i int) {
		// Some leave early, whatever their call is at.
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(20+i%50*40)*time.Millisecond)
		defer cancel()
		o, n := i%organizations, i%10
		switch i % 6 {
		case 0:
			_, _ = h.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(o)})
		case 1: // an owner to look up
			_, _ = h.call(ctx, t, "getNetworkGroupPolicies", map[string]any{"network_id": h.sandbox.NetworkID(o, n)})
		case 2: // two look-ups
			_, _ = h.call(ctx, t, "getDeviceClients", map[string]any{"serial": h.sandbox.Serial(o, n, i%2)})
		case 3:
			_, _ = h.call(ctx, t, "createOrganizationNetwork", map[string]any{"organization_id": h.sandbox.OrganizationID(o), "name": fmt.Sprint(i), "product_types": []string{"switch"}})
		case 4:
			_, _ = h.own.Call(ctx, &brokerv1.CallRequest{Method: "DELETE", Path: "/networks/" + h.sandbox.NetworkID(o, n) + "/webhooks/httpServers/1"})
		case 5:
			_, next := h.pages(ctx, t, h.sandbox.OrganizationID(o))
			for {
				if _, err := next(); err != nil {
					if !errors.Is(err, io.EOF) && ctx.Err() == nil {
						_ = err // a page may fail like any call
					}
					break
				}
			}
		}
	})
	// Streams end at the server a moment after they end here; closing waits.
	h.broker.Close()
	arrived, attempts, granted := int64(h.sandbox.Stats().Total.Arrived), h.broker.Attempts(), h.broker.Granted()
	t.Logf("%d requests arrived, %d attempts, %d slots", arrived, attempts, granted)
	if attempts != granted {
		t.Errorf("%d attempts with %d slots", attempts, granted)
	}
	// A request whose caller left before it was on the wire is paid and never
	// arrives; nothing arrives that was not paid.
	if arrived > attempts {
		t.Errorf("%d requests arrived, %d were paid for", arrived, attempts)
	}
}

// TestExplainCall: what a call would cost, and nothing is sent for it.
func TestExplainCall(t *testing.T) {
	t.Parallel()
	h := build(t, plan{sandbox: sandbox.Options{Organizations: 1}})
	ctx := context.Background()
	id := h.sandbox.OrganizationID(0)
	for _, row := range []struct {
		in       *brokerv1.ExplainCallRequest
		attempts int32
		owner    string
	}{
		{&brokerv1.ExplainCallRequest{Operation: "getOrganizationDevices", Path: "/organizations/" + id + "/devices"}, 1, id},
		{&brokerv1.ExplainCallRequest{Operation: "/meraki.organizations.v1.OrganizationsService/GetOrganizationDevices", Path: "/organizations/" + id + "/devices"}, 1, id},
		{&brokerv1.ExplainCallRequest{Method: "GET", Path: "/organizations/" + id + "/anything"}, 1, id},
		{&brokerv1.ExplainCallRequest{Operation: "getNetworkClients", Path: "/networks/" + h.sandbox.NetworkID(0, 0) + "/clients"}, 2, ""},
		{&brokerv1.ExplainCallRequest{Operation: "getDeviceClients", Path: "/devices/" + h.sandbox.Serial(0, 0, 0) + "/clients"}, 3, ""},
		{&brokerv1.ExplainCallRequest{Operation: "getOrganizations", Path: "/organizations"}, 1, ""},
	} {
		out, err := h.own.ExplainCall(ctx, row.in)
		if err != nil {
			t.Errorf("%v: %v", row.in, err)
			continue
		}
		if out.GetAttempts() != row.attempts || out.GetOrganizationId() != row.owner || out.GetRefusal() != "" {
			t.Errorf("%v: %v, want %d attempts of %q", row.in, out, row.attempts, row.owner)
		}
	}
	// Without a path: what can be told.
	for _, row := range []struct {
		operation, hint, owner string
		known                  bool
	}{
		{"getOrganizations", "", "", true},
		{"getOrganizationDevices", "", "", false},
		{"getNetworkClients", "", "", false},
		{"getNetworkClients", id, id, true},
		{"getDeviceClients", id, id, true},
	} {
		ctx := ctx
		if row.hint != "" {
			ctx = withOrganization(ctx, row.hint)
		}
		out, err := h.own.ExplainCall(ctx, &brokerv1.ExplainCallRequest{Operation: row.operation})
		if err != nil || out.GetOperation() != row.operation || out.GetAttempts() != 1 || out.GetOrganizationId() != row.owner || out.GetOwnerKnown() != row.known {
			t.Errorf("%+v: %v, %v", row, out, err)
		}
	}
	for field, in := range map[string]*brokerv1.ExplainCallRequest{
		"operation": {Operation: "getSomething", Path: "/organizations"},
		"path":      {Operation: "getOrganizationDevices", Path: "/organizations/" + id + "/networks"},
		"method":    {Method: "LIST", Path: "/organizations"},
		"priority":  {Method: "GET", Path: "/organizations", Priority: "urgent"},
	} {
		_, err := h.own.ExplainCall(ctx, in)
		wantField(t, in.String(), err, field)
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d attempts were made to explain", n)
	}
}

// TestWatchBudgets: what changed is sent, and the stream ends when the replica stops.
func TestWatchBudgets(t *testing.T) {
	t.Parallel()
	h := build(t, plan{sandbox: sandbox.Options{Organizations: 1}})
	ctx := context.Background()
	id := h.sandbox.OrganizationID(0)
	stream, err := h.own.WatchBudgets(ctx, &brokerv1.WatchBudgetsRequest{OrganizationIds: []string{id}, Interval: durationpb.New(100 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": id}); err != nil {
		t.Fatal(err)
	}
	var b *brokerv1.Budget
	for b.GetAttempts() == 0 { // it changes when the call comes, and when it has been attempted
		out, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		b = out.GetBudgets()[0]
	}
	if b.GetOrganizationId() != id || b.GetRate() != 10 || b.GetCeiling() != 10 || b.GetBurst() != 8 || b.GetAttempts() != 1 {
		t.Errorf("budget %v", b)
	}
	same, err := h.own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: id})
	if err != nil || same.GetAttempts() != 1 {
		t.Errorf("GetBudget says %v, %v", same, err)
	}
	_, err = h.own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: "a/b"})
	wantField(t, "a budget of no organization", err, "organization_id")
	many, err := h.own.WatchBudgets(ctx, &brokerv1.WatchBudgetsRequest{OrganizationIds: slices.Repeat([]string{id}, 1001)})
	if err == nil {
		_, err = many.Recv()
	}
	wantField(t, "budgets of too many organizations", err, "organization_ids")
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.server.Stop(ctx, 0)
	}()
	for err = nil; err == nil; {
		_, err = stream.Recv()
	}
	wantCode(t, "watching a replica that stops", err, codes.Unavailable, "DRAINING")
	<-stopped
}
