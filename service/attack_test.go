package service_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// restricted is a house in which orders may do everything in the first organization
// and in what belongs to none, by typed RPC and by Call, and billing everything.
func restricted(t *testing.T) *harness {
	t.Helper()
	all := []identity.Grant{
		{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "*"}, {RPC: "Call", Verbs: []string{"read", "write"}},
	}
	return build(t, plan{
		broker: fast, sandbox: sandbox.Options{Organizations: 2},
		access: identity.Config{LinkerdClientID: &identity.ProxyConfig{Trusted: []string{"127.0.0.1"}}},
		rules: identity.Rules{
			{Name: "orders", Callers: []string{orders}, Organizations: []string{"2930418", "none"}, Operations: all},
			{Name: "billing", Callers: []string{billing}, Organizations: []string{"*"}, Operations: all},
		},
	})
}

// untouched checks that nothing has reached an organization.
func untouched(t *testing.T, h *harness, organization string) {
	t.Helper()
	for name, n := range h.sandbox.Organization(organization).Operations {
		if n.Arrived > 0 && name != "getNetwork" && name != "getDevice" { // look-ups
			t.Errorf("%d requests for %s have reached the other organization", n.Arrived, name)
		}
	}
}

// refused checks that a call was refused by the broker itself.
func refused(t *testing.T, what string, err error) {
	t.Helper()
	if c := status.Code(err); c != codes.PermissionDenied && c != codes.InvalidArgument {
		t.Errorf("%s: %v", what, err)
	}
}

// TestOtherSpellingsOfAPathLeadNowhere: whatever way another organization's path is
// written, a caller that may not have it is refused, and one that may is charged.
func TestOtherSpellingsOfAPathLeadNowhere(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	other, network, serial := h.sandbox.OrganizationID(1), h.sandbox.NetworkID(1, 0), h.sandbox.Serial(1, 0, 0)
	for _, path := range []string{
		"/%6frganizations/" + other, "/organization%73/" + other, "/Organizations/" + other, "/ORGANIZATIONS/" + other + "/networks",
		"/%6eetworks/" + network, "/%64evices/" + serial, "/%2564evices/" + serial, "/foo/organizations/" + other, "/foo/..%2forganizations/" + other,
		"/organizations/2930418/..%2f" + other, "/organizations/2930418%2f..%2f" + other, "/organizations/2930418/../" + other,
		"/organizations/2930418;/../" + other, "//organizations/" + other, "/organizations//" + other, "/./organizations/" + other,
		"/organizations%2f" + other, "/organizations%252f" + other, "/organizations%5c" + other, "/organizations/" + other + ".json", "/organizations/0" + other,
		"/organizations/" + other + "%20", "/organizations/" + other + "%00", "/organizations/" + other + "?x", "/organizations/" + other + "%3fx", "/organizations/" + other + "%23",
		"/\uff4frganizations/" + other, "/organizations%ef%bc%8f" + other, "/api/v1/organizations/" + other, "/administered/organizations/" + other,
	} {
		for _, method := range []string{"GET", "PUT", "DELETE"} {
			_, err := h.own.Call(as(orders), &brokerv1.CallRequest{Method: method, Path: path})
			refused(t, method+" "+path, err)
		}
	}
	untouched(t, h, other)
	if _, err := h.own.Call(as(billing), &brokerv1.CallRequest{Method: "GET", Path: "/%6frganizations/" + other + "/%6eetworks"}); err != nil {
		t.Error(err)
	}
	budget, err := h.own.GetBudget(as(billing), &brokerv1.GetBudgetRequest{OrganizationId: other})
	if err != nil || budget.GetAttempts() == 0 {
		t.Errorf("the other organization's budget has not paid: %v, %v", budget, err)
	}
}

// TestParametersStayInTheirSegment: a parameter of a typed RPC reaches no other path.
func TestParametersStayInTheirSegment(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	mine, theirs := h.sandbox.NetworkID(0, 0), h.sandbox.NetworkID(1, 0)
	for _, id := range []string{
		"..", "../../" + theirs, "%2e%2e%2f" + theirs, "..;/" + theirs, "x?y", "x#y", "x%2fy", "x.", "x.json", "x y", "x\\y", "\u2024\u2024",
		"overview", "applicationUsage", "usageHistories",
	} {
		_, err := h.call(as(orders), t, "getNetworkClient", map[string]any{"network_id": mine, "client_id": id})
		refused(t, "client "+id, err)
	}
	for _, id := range []string{theirs + ".json", mine + "/../" + theirs, theirs + "%20", theirs + ";", mine + "," + theirs, "+" + theirs} {
		_, err := h.call(as(orders), t, "getNetworkGroupPolicies", map[string]any{"network_id": id})
		refused(t, "network "+id, err)
	}
	untouched(t, h, h.sandbox.OrganizationID(1))
}

// TestNamesInBodiesAndQueriesAreHeldToTheRules: what a body or a query names leads out
// of the caller's organizations by no operation.
func TestNamesInBodiesAndQueriesAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	const mine = "2930418"
	other, theirs, serial := h.sandbox.OrganizationID(1), h.sandbox.NetworkID(1, 0), h.sandbox.Serial(1, 0, 0)
	own := h.sandbox.NetworkID(0, 0)
	type query = []*brokerv1.QueryParameter
	for _, call := range []struct {
		method, path, body string
		query              query
	}{
		{"GET", "/administered/licensing/subscription/subscriptions", "", query{{Name: "organizationIds[]", Value: other}}},
		{"GET", "/administered/licensing/subscription/subscriptions", "", query{{Name: "organization_ids[]", Value: mine}, {Name: "organizationIds[1]", Value: other}}},
		{"POST", "/administered/licensing/subscription/subscriptions/claim", `{"claimKey":"k","organizationId":"` + other + `"}`, nil},
		{"POST", "/administered/licensing/subscription/subscriptions/5/bind", `{"networkIds":["` + theirs + `"]}`, nil},
		{"POST", "/organizations/" + mine + "/licenses/move", `{"destOrganizationId":"` + other + `","licenseIds":["1"]}`, nil},
		{"POST", "/organizations/" + mine + "/licenses/move", `{"destOrganizationId":"` + mine + `","destOrganizationId":"` + other + `"}`, nil},
		{"POST", "/organizations/" + mine + "/licenses/move", "{}", query{{Name: "dest_organization_id", Value: other}}},
		{"POST", "/organizations/" + mine + "/networks/moves", `{"network":{"id":"` + own + `"},"organizations":{"target":{"id":"` + other + `"}}}`, nil},
		{"POST", "/organizations/" + mine + "/networks/combine", `{"name":"c","networkIds":["` + own + `","` + theirs + `"]}`, nil},
		{"POST", "/organizations/" + mine + "/networks", `{"name":"c","productTypes":["switch"],"copyFromNetworkId":"` + theirs + `"}`, nil},
		{"POST", "/organizations/" + mine + "/switch/devices/clone", `{"sourceSerial":"` + serial + `","targetSerials":["` + h.sandbox.Serial(0, 0, 0) + `"]}`, nil},
		{"POST", "/networks/" + own + "/devices/claim", `{"serials":["` + serial + `"]}`, nil},
		{"POST", "/networks/" + own + "/sm/devices/move", `{"newNetwork":"` + theirs + `","ids":["1"]}`, nil},
		{"POST", "/organizations/" + mine + "/new/thing", `{"site":"` + other + `"}`, nil},
		{"GET", "/organizations/" + mine + "/new/thing", "", query{{Name: "of", Value: other}}},
		{"POST", "/organizations/" + mine + "/networks", `{}`, query{{Name: "_method", Value: "DELETE"}}},
	} {
		_, err := h.own.Call(as(orders), &brokerv1.CallRequest{Method: call.method, Path: call.path, Query: call.query, Body: []byte(call.body)})
		refused(t, fmt.Sprint(call.method, call.path, call.query, call.body), err)
	}
	_, err := h.call(as(orders), t, "createOrganizationNetwork", map[string]any{"organization_id": mine, "name": "c", "product_types": []string{"switch"}, "copy_from_network_id": theirs})
	wantCode(t, "typed", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	_, err = h.call(as(orders), t, "moveOrganizationLicenses", map[string]any{"organization_id": mine, "dest_organization_id": other, "license_ids": []string{"1"}})
	wantCode(t, "typed", err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
	untouched(t, h, other)
	untouched(t, h, mine)
	if _, err := h.own.Call(as(orders), &brokerv1.CallRequest{Method: "POST", Path: "/organizations/" + mine + "/networks",
		Body: []byte(`{"name":"copy","productTypes":["switch"],"copyFromNetworkId":"` + own + `"}`)}); err != nil {
		t.Errorf("a copy of the caller's own network: %v", err)
	}
}

// TestActionsOfABatchAreHeldToTheRules: an action is what a call would be.
func TestActionsOfABatchAreHeldToTheRules(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	const mine = "2930418"
	own, theirs, serial := h.sandbox.NetworkID(0, 0), h.sandbox.NetworkID(1, 0), h.sandbox.Serial(1, 0, 0)
	action := func(resource, operation, body string) string {
		return fmt.Sprintf(`{"resource":%q,"operation":%q,"body":%s}`, resource, operation, body)
	}
	good := action("/networks/"+own+"/appliance/vlans", "create", `{"id":"7","name":"seven"}`)
	bad := []string{
		action("/networks/"+theirs+"/appliance/vlans", "create", "{}"), action("/%6eetworks/"+theirs, "update", "{}"),
		action("/Networks/"+theirs, "update", "{}"), action("networks/"+theirs, "update", "{}"),
		action("/networks/"+own+"/../"+theirs, "update", "{}"), action("/networks/"+own+"%2f..%2f"+theirs, "update", "{}"),
		action("/devices/"+serial, "update", "{}"), action("/organizations/"+h.sandbox.OrganizationID(1)+"/networks", "create", "{}"),
		action("/administered/identities/me/api/keys", "generate", "{}"), action("/organizations/"+mine+"/admins", "create", `{"email":"a@b.c"}`),
		action("/networks/"+own+"/wireless/ssids/1", "update", `{"concentratorNetworkId":"`+theirs+`"}`),
		action("/networks/"+own, "update", `{"organizationId":"`+h.sandbox.OrganizationID(1)+`"}`),
		`{"resource":"/networks/` + own + `","resource":"/networks/` + theirs + `","operation":"update","body":{}}`,
		`{"resource":"/networks/` + own + `","Resource":"/networks/` + theirs + `","operation":"update","body":{}}`,
		`{"operation":"update","body":{}}`, `"` + theirs + `"`, `{"resource":["/networks/` + theirs + `"],"operation":"update"}`,
	}
	for _, b := range bad {
		body := `{"confirmed":true,"actions":[` + good + "," + b + `]}`
		_, err := h.own.Call(as(orders), &brokerv1.CallRequest{Method: "POST", Path: "/organizations/" + mine + "/actionBatches", Body: []byte(body)})
		refused(t, b, err)
		if strings.Contains(b, `/admins"`) || strings.Contains(b, "api/keys") {
			_, err := h.own.Call(as(billing), &brokerv1.CallRequest{Method: "POST", Path: "/organizations/" + mine + "/actionBatches", Body: []byte(body)})
			refused(t, "by one who may have all: "+b, err)
		}
	}
	untouched(t, h, h.sandbox.OrganizationID(1))
	untouched(t, h, mine)
	body := []byte(`{"confirmed":true,"actions":[` + good + `]}`)
	if !json.Valid(body) {
		t.Fatal(string(body))
	}
	if _, err := h.own.Call(as(orders), &brokerv1.CallRequest{Method: "POST", Path: "/organizations/" + mine + "/actionBatches", Body: body}); err != nil {
		t.Errorf("a batch in the caller's own network: %v", err)
	}
}

// TestCredentialsThroughEveryWayIn: a caller that may do everything, but whose rule
// does not name them, reaches no operation on credentials.
func TestCredentialsThroughEveryWayIn(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	for operation, fields := range map[string]map[string]any{
		"generateAdministeredIdentitiesMeApiKeys": nil, "getAdministeredIdentitiesMeApiKeys": nil,
		"revokeAdministeredIdentitiesMeApiKeys": {"suffix": "abcd"},
		"createOrganizationAdmin":               {"organization_id": "2930418", "email": "a@b.c"},
	} {
		for _, caller := range []string{orders, billing} {
			_, err := h.call(as(caller), t, operation, fields)
			wantCode(t, operation, err, codes.PermissionDenied, "CALLER_NOT_ALLOWED")
		}
	}
	for _, path := range []string{
		"/administered/identities/me/api/keys/generate", "/%61dministered/identities/me/api/keys/generate", "/administered/identities/me/api/keys/generate.json",
		"/administered/identities/me/api/keys/new", "/administered/identities/me/api/keys/abcd/revoke", "/organizations/2930418/admins", "/organizations/2930418/admins/5/x",
	} {
		_, err := h.own.Call(as(billing), &brokerv1.CallRequest{Method: "POST", Path: path, Body: []byte("{}")})
		refused(t, path, err)
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d requests have left", n)
	}
}

// TestExplanationsLeadNowhere: who may not read a resource is not told whose it is, and
// an explanation with a hint teaches the broker nothing.
func TestExplanationsLeadNowhere(t *testing.T) {
	t.Parallel()
	h := restricted(t)
	network, serial := h.sandbox.NetworkID(1, 0), h.sandbox.Serial(1, 0, 0)
	paths := []string{"/networks/" + network + "/clients", "/devices/" + serial, "/%6eetworks/" + network}
	for _, what := range []string{"nobody knows the owner", "the owner is known"} {
		for _, path := range paths {
			hinted := metadata.AppendToOutgoingContext(as(orders), "meraki-organization-id", "2930418")
			for _, ctx := range []context.Context{as(orders), hinted} {
				out, err := h.own.ExplainCall(ctx, &brokerv1.ExplainCallRequest{Method: "GET", Path: path})
				if err == nil && (out.GetOwnerKnown() || out.GetOrganizationId() == h.sandbox.OrganizationID(1)) {
					t.Errorf("%s, %s: %v", what, path, out)
				}
				if _, err := h.own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: path}); err == nil {
					t.Errorf("%s, %s: read after the explanation", what, path)
				}
			}
		}
		if n := h.sandbox.Organization(h.sandbox.OrganizationID(1)).Operations["getNetworkClients"].Arrived; n > 0 {
			t.Errorf("%s: %d requests have reached the other organization", what, n)
		}
		if _, err := h.own.Call(as(billing), &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + h.sandbox.OrganizationID(1) + "/devices"}); err != nil {
			t.Fatal(err)
		}
	}
}
