package service_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestUsageIsWhatTheSandboxCounted: the sandbox's count, the attempts on record and the
// usage by any grouping are one number.
func TestUsageIsWhatTheSandboxCounted(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, AddressRate: -1, Organizations: 2}})
	ctx := context.Background()
	if err := h.sandbox.AddScript(sandbox.Script{Path: "/networks/" + h.sandbox.NetworkID(1, 0), Times: 3, Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 502}}}); err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		switch i % 4 {
		case 0:
			_, _ = h.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(i % 3 % 2)})
		case 1:
			_, _ = h.call(ctx, t, "getDevice", map[string]any{"serial": h.sandbox.Serial(i%2, 0, i%3)})
		case 2:
			_, _ = h.call(ctx, t, "getNetwork", map[string]any{"network_id": h.sandbox.NetworkID(1, 0)})
		default:
			_, _ = h.call(ctx, t, "createOrganizationNetwork", map[string]any{"organization_id": h.sandbox.OrganizationID(0), "name": "n", "product_types": []string{"switch"}})
		}
	}
	arrived := int64(h.sandbox.Stats().Total.Arrived)
	list, err := h.own.ListAttempts(ctx, &brokerv1.ListAttemptsRequest{PageSize: 1000})
	if err != nil || int64(len(list.GetItems())) != arrived || arrived < 40 {
		t.Fatalf("%d attempts on record, %d arrived: %v", len(list.GetItems()), arrived, err)
	}
	const caller, organization, operation = brokerv1.UsageGroup_USAGE_GROUP_CALLER, brokerv1.UsageGroup_USAGE_GROUP_ORGANIZATION, brokerv1.UsageGroup_USAGE_GROUP_OPERATION
	for _, by := range [][]brokerv1.UsageGroup{nil, {caller}, {organization}, {operation}, {organization, operation}, {caller, organization, operation}} {
		u, err := h.own.GetUsage(ctx, &brokerv1.GetUsageRequest{GroupBy: by})
		if err != nil {
			t.Fatal(err)
		}
		sum := u.GetOther().GetAttempts()
		for _, r := range u.GetRows() {
			sum += r.GetFigures().GetAttempts()
		}
		if total := u.GetTotal(); sum != arrived || total.GetAttempts() != arrived || total.GetRequests() != 40 || total.GetResponseBytes() == 0 || total.GetRequestBytes() == 0 {
			t.Errorf("by %v: %d, total %v; %d arrived", by, sum, total, arrived)
		}
		if len(by) == 1 && by[0] == organization && len(u.GetRows()) < 2 {
			t.Errorf("by organization: %v", u.GetRows())
		}
	}
	_, err = h.own.GetUsage(ctx, &brokerv1.GetUsageRequest{Span: durationpb.New(25 * time.Hour)})
	wantField(t, "a span of 25 h", err, "span")
	_, err = h.own.GetUsage(ctx, &brokerv1.GetUsageRequest{Limit: 1001})
	wantField(t, "a limit of 1001", err, "limit")
	_, err = h.own.GetUsage(ctx, &brokerv1.GetUsageRequest{GroupBy: []brokerv1.UsageGroup{7}})
	wantField(t, "a group that there is not", err, "group_by")
}
