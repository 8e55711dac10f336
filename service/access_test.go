package service_test

import (
	"context"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// as makes a call as a Linkerd client: the test's connection comes from loopback,
// which these houses trust.
func as(caller string) context.Context {
	return metadata.AppendToOutgoingContext(context.Background(), "l5d-client-id", caller)
}

const (
	orders  = "orders.shop.serviceaccount.identity.linkerd.cluster.local"
	billing = "billing.shop.serviceaccount.identity.linkerd.cluster.local"
)

// shop is a house with two callers: orders may have the first organization only,
// billing may read everywhere.
func shop(t *testing.T, p plan) *harness {
	t.Helper()
	p.sandbox.Organizations = 2
	first := "2930418" // the sandbox's first organization, checked below
	p.access = identity.Config{LinkerdClientID: &identity.ProxyConfig{Trusted: []string{"127.0.0.1"}}}
	p.rules = identity.Rules{
		{Name: "orders", Callers: []string{orders}, Organizations: []string{first}, Operations: []identity.Grant{
			{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "*"}, {RPC: "Call", Verbs: []string{"read"}},
		}},
		{Name: "billing", Callers: []string{billing}, Organizations: []string{"*"}, Operations: []identity.Grant{
			{Section: "*", Verbs: []string{"read"}}, {RPC: "*"},
		}},
	}
	if p.broker == nil {
		p.broker = fast
	}
	h := build(t, p)
	if got := h.sandbox.OrganizationID(0); got != first {
		t.Fatalf("the sandbox's first organization is %s, the rules say %s", got, first)
	}
	return h
}

func wantCode(t *testing.T, what string, err error, want codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	if info := detailOf[*errdetails.ErrorInfo](st); st.Code() != want || info.GetReason() != reason {
		t.Errorf("%s: %v %s %q, want %v %s", what, st.Code(), info.GetReason(), st.Message(), want, reason)
	}
}

// TestRulesHoldForNetworksAndDevices: what belongs to an organization that the
// caller may not have is refused, also where only a look-up tells whose it is.
func TestRulesHoldForNetworksAndDevices(t *testing.T) {
	t.Parallel()
	h := shop(t, plan{})
	mine, theirs := h.sandbox.NetworkID(0, 0), h.sandbox.NetworkID(1, 0)
	for _, operation := range []string{"getNetwork", "getNetworkGroupPolicies"} {
		if _, err := h.call(as(orders), t, operation, map[string]any{"network_id": mine}); err != nil {
			t.Errorf("%s of orders' own network: %v", operation, err)
		}
		_, err := h.call(as(orders), t, operation, map[string]any{"network_id": theirs})
		wantCode(t, operation+" of another's network", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		hinting := metadata.AppendToOutgoingContext(as(orders), "meraki-organization-id", h.sandbox.OrganizationID(0))
		_, err = h.call(hinting, t, operation, map[string]any{"network_id": theirs})
		wantCode(t, operation+" with a false hint", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		if _, err := h.call(as(billing), t, operation, map[string]any{"network_id": theirs}); err != nil {
			t.Errorf("%s as billing: %v", operation, err)
		}
		reusing := metadata.AppendToOutgoingContext(as(orders), "meraki-max-age", "60")
		_, err = h.call(reusing, t, operation, map[string]any{"network_id": theirs})
		wantCode(t, operation+" with an answer of billing's at hand", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	}
	_, err := h.call(as(orders), t, "getDevice", map[string]any{"serial": h.sandbox.Serial(1, 0, 0)})
	wantCode(t, "another's device", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	_, err = h.call(as(billing), t, "createOrganizationNetwork", map[string]any{"organization_id": h.sandbox.OrganizationID(0), "name": "n", "product_types": []string{"switch"}})
	wantCode(t, "a write of a reader", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	_, err = h.call(as("somebody.else.serviceaccount.identity.linkerd.cluster.local"), t, "getOrganizations", nil)
	wantCode(t, "a caller without a rule", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	_, err = h.call(context.Background(), t, "getOrganizations", nil)
	wantCode(t, "a caller without an identity", err, codes.Unauthenticated, "CALLER_UNKNOWN")
	stats := h.sandbox.Organization(h.sandbox.OrganizationID(1))
	if stats.Executed != 0 || stats.Operations["getNetworkGroupPolicies"].Arrived != 1 {
		t.Errorf("the other organization saw %+v", stats.Operations)
	}
}

// TestRulesHoldForTheBrokersOwnRPCs: what the broker knows about an organization
// is for those who may have the organization.
func TestRulesHoldForTheBrokersOwnRPCs(t *testing.T) {
	t.Parallel()
	h := shop(t, plan{})
	mine, theirs := h.sandbox.OrganizationID(0), h.sandbox.OrganizationID(1)
	for what, ask := range map[string]func(ctx context.Context, organization string) error{
		"GetBudget": func(ctx context.Context, o string) error {
			_, err := h.own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: o})
			return err
		},
		"ListAttempts": func(ctx context.Context, o string) error {
			_, err := h.own.ListAttempts(ctx, &brokerv1.ListAttemptsRequest{OrganizationId: o})
			return err
		},
		"GetUpstreamHealth": func(ctx context.Context, o string) error {
			_, err := h.own.GetUpstreamHealth(ctx, &brokerv1.GetUpstreamHealthRequest{OrganizationId: o})
			return err
		},
		"GetUsage": func(ctx context.Context, o string) error {
			_, err := h.own.GetUsage(ctx, &brokerv1.GetUsageRequest{OrganizationId: o})
			return err
		},
		"WatchBudgets": func(ctx context.Context, o string) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			in := new(brokerv1.WatchBudgetsRequest)
			if o != "" {
				in.OrganizationIds = []string{o}
			}
			if _, err := h.own.GetBudget(ctx, &brokerv1.GetBudgetRequest{OrganizationId: mine}); err != nil {
				return err
			}
			if _, err := h.call(as(billing), t, "getOrganization", map[string]any{"organization_id": mine}); err != nil {
				return err
			}
			stream, err := h.own.WatchBudgets(ctx, in)
			if err != nil {
				return err
			}
			_, err = stream.Recv()
			return err
		},
	} {
		if err := ask(as(orders), mine); err != nil {
			t.Errorf("%s of orders' own organization: %v", what, err)
		}
		wantCode(t, what+" of another organization", ask(as(orders), theirs), codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		wantCode(t, what+" of all", ask(as(orders), ""), codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		if err := ask(as(billing), ""); err != nil {
			t.Errorf("%s of all as billing: %v", what, err)
		}
	}
	if _, err := h.call(as(orders), t, "getOrganization", map[string]any{"organization_id": mine}); err != nil {
		t.Fatal(err)
	}
	whole, err := h.own.GetUsage(as(billing), &brokerv1.GetUsageRequest{GroupBy: []brokerv1.UsageGroup{brokerv1.UsageGroup_USAGE_GROUP_CALLER}})
	if err != nil || len(whole.GetRows()) != 2 {
		t.Fatalf("usage of all as billing: %v %v", whole, err)
	}
	seen := 0
	for _, r := range whole.GetRows() {
		if _, err := h.own.GetUsage(as(orders), &brokerv1.GetUsageRequest{Caller: r.GetCaller()}); err == nil {
			seen++
		} else {
			wantCode(t, "usage of another caller", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		}
	}
	if seen != 1 {
		t.Errorf("orders may see the usage of %d callers, want its own", seen)
	}
	_, err = h.own.Call(as(orders), &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + theirs})
	wantCode(t, "Call for another organization", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	_, err = h.own.ExplainCall(as(orders), &brokerv1.ExplainCallRequest{Method: "GET", Path: "/organizations/" + theirs})
	wantCode(t, "ExplainCall for another organization", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
}

// TestEachOrganizationWithItsOwnKey: two keys that each reach one organization.
func TestEachOrganizationWithItsOwnKey(t *testing.T) {
	t.Parallel()
	const first, second = "2930418", "646829496481000001"
	h := build(t, plan{
		broker: fast,
		keys: &credential.Config{Keys: []credential.KeyConfig{
			{Name: "first", Env: "FIRST", Organizations: []string{first}},
			{Name: "second", Env: "SECOND", Organizations: []string{second}},
		}},
		environ: map[string]string{"FIRST": "key-of-the-first", "SECOND": "key-of-the-second"},
		sandbox: sandbox.Options{Organizations: 2, Keys: map[string][]string{"key-of-the-first": {first}, "key-of-the-second": {second}}},
	})
	if h.sandbox.OrganizationID(0) != first || h.sandbox.OrganizationID(1) != second {
		t.Fatalf("the sandbox's organizations are %s and %s", h.sandbox.OrganizationID(0), h.sandbox.OrganizationID(1))
	}
	for i := range 2 {
		if _, err := h.call(context.Background(), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(i)}); err != nil {
			t.Errorf("organization %d: %v", i, err)
		}
		if _, err := h.call(context.Background(), t, "getNetworkGroupPolicies", map[string]any{"network_id": h.sandbox.NetworkID(i, 0)}); err != nil {
			t.Errorf("network of organization %d: %v", i, err)
		}
		if _, err := h.call(context.Background(), t, "getDevice", map[string]any{"serial": h.sandbox.Serial(i, 1, 0)}); err != nil {
			t.Errorf("device of organization %d: %v", i, err)
		}
	}
}

// TestRejectedKeyIsNotReplacedByAnothers: the entry of orders holds a key that the
// Dashboard rejects. The entry of billing holds it too, and another one, which serves
// billing alone: orders is not answered with that, not even when billing asks the
// same at the same moment.
func TestRejectedKeyIsNotReplacedByAnothers(t *testing.T) {
	t.Parallel()
	const organization = "2930418"
	h := shop(t, plan{
		keys: &credential.Config{Keys: []credential.KeyConfig{
			{Name: "orders", Env: "ORDERS", Callers: []string{orders}},
			{Name: "billing", Env: "BILLING", Callers: []string{billing}},
		}},
		environ: map[string]string{"ORDERS": "rejected-key", "BILLING": "rejected-key\nkey-of-billing"},
		sandbox: sandbox.Options{Keys: map[string][]string{"key-of-billing": {organization}}},
	})
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			if _, err := h.call(as(billing), t, "getOrganization", map[string]any{"organization_id": organization}); err != nil {
				t.Errorf("billing: %v", err)
			}
		})
		calls.Go(func() {
			ctx := metadata.AppendToOutgoingContext(as(orders), "meraki-max-age", "60")
			_, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": organization})
			wantCode(t, "orders", err, codes.FailedPrecondition, "API_KEY_REJECTED")
		})
	}
	calls.Wait()
	_, err := h.call(as(orders), t, "getNetwork", map[string]any{"network_id": h.sandbox.NetworkID(0, 0)})
	wantCode(t, "orders, after a look-up", err, codes.FailedPrecondition, "API_KEY_REJECTED")
}
