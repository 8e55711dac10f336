package service_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestOutageIsNotMultiplied: while nothing answers, callers are told so with
// hardly more attempts than calls, and when it is over they are served again.
func TestOutageIsNotMultiplied(t *testing.T) {
	const calls, organizations = 2000, 100
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: organizations, NetworksPerOrganization: 1, DevicesPerNetwork: 1,
	}})
	get := func(i int) codes.Code {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(i % organizations)})
		return status.Code(err)
	}
	h.sandbox.Outage(time.Hour)
	each(calls, 64, func(i int) {
		if code := get(i); code != codes.Unavailable {
			t.Errorf("call %d in the outage: %v", i, code)
		}
	})
	perCall := float64(h.broker.Attempts()) / calls
	t.Logf("%.3f attempts a call in the outage", perCall)
	if perCall > 1.1 {
		t.Errorf("%.3f attempts a call in the outage, want at most 1.1", perCall)
	}
	h.sandbox.Outage(0)
	ended := time.Now()
	each(200, 16, func(i int) {
		if code := get(i); code != codes.OK {
			t.Errorf("call %d after the outage: %v", i, code)
		}
	})
	if took := time.Since(ended); took > 5*time.Second {
		t.Errorf("200 calls after the outage took %v", took)
	}
}

// TestCallerWhoLeavesFreesEverything: the HTTP request ends at once, and the
// slots of those who had not sent anything yet go to others.
func TestCallerWhoLeavesFreesEverything(t *testing.T) {
	t.Parallel()
	h := build(t, plan{sandbox: sandbox.Options{Organizations: 1}})
	if err := h.sandbox.AddScript(sandbox.Script{
		Operation: "getOrganizationNetworks", Times: -1, Faults: []sandbox.Fault{{Kind: sandbox.FaultHang}},
	}); err != nil {
		t.Fatal(err)
	}
	id := h.sandbox.OrganizationID(0)
	const leavers = 30
	each(leavers, leavers, func(i int) {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		// Each asks for something else: identical reads in flight would be one.
		_, err := h.call(ctx, t, "getOrganizationNetworks", map[string]any{"organization_id": id, "per_page": int64(3 + i)})
		if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.ResourceExhausted {
			t.Errorf("leaver %d: %v", i, err)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := range 5 {
		if _, err := h.call(ctx, t, "getOrganizationDevices", map[string]any{"organization_id": id, "per_page": int64(3 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	stats := h.sandbox.Organization(id)
	if stats.Left == 0 || stats.InFlight != 0 {
		t.Errorf("%d clients left, %d requests still in flight", stats.Left, stats.InFlight)
	}
	if got, want := int64(stats.Arrived), h.broker.Attempts(); got != want {
		t.Errorf("the sandbox counted %d requests, the broker %d attempts", got, want)
	}
	if budget := h.broker.Budget(id); budget.Waiting != 0 {
		t.Errorf("%d calls still wait: %s", budget.Waiting, fmt.Sprint(budget.Classes))
	}
}
