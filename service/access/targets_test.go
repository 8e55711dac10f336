package access

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
)

func loaded(t testing.TB) *contract.Contract {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// document puts a value at a property of the contract's: destination.organizationId,
// actions[].resource.
func document(property, value string) string {
	out := value
	names := strings.Split(property, ".")
	slices.Reverse(names)
	for _, name := range names {
		name, list := strings.CutSuffix(name, "[]")
		if list {
			out = "[" + out + "]"
		}
		out = fmt.Sprintf("{%q:%s}", name, out)
	}
	return out
}

// TestEveryNamedOwnerIsSeen: whatever the contract says names something is found, in
// the query and in the body, alone and in a list, by its spelling or another.
func TestEveryNamedOwnerIsSeen(t *testing.T) {
	t.Parallel()
	n := 0
	for _, m := range loaded(t).Methods() {
		op := m.Operation
		for _, owner := range op.GetNamedOwners() {
			skipped := op.GetVerb() == apiv1.Verb_VERB_GET && op.GetScope() != apiv1.Scope_SCOPE_NONE && owner.GetKind() != apiv1.NamedOwner_KIND_ORGANIZATION
			if m.Streaming || skipped || owner.GetKind() == apiv1.NamedOwner_KIND_RESOURCE {
				continue
			}
			n++
			name := strings.ReplaceAll(owner.GetProperty(), "[]", "")
			want := target{owner.GetKind(), "X1"}
			for query, body := range map[string]string{
				"":                                 document(owner.GetProperty(), `"X1"`),
				"a=b":                              document(owner.GetProperty(), `["X1"]`),
				"c=d":                              document(strings.ToUpper(owner.GetProperty()), `"X1"`),
				"e=f":                              document(owner.GetProperty(), `{"id":"X1"}`),
				url.QueryEscape(name+"[]") + "=X1": "",
				url.QueryEscape(strings.ReplaceAll(name, ".", "[")+"[0]") + "=X1": "{}",
				url.QueryEscape(name) + "=X1":                                     "",
			} {
				got, err := targets(op, true, query, []byte(body))
				if err != nil || !slices.Contains(got, want) {
					t.Errorf("%s, %q, %s: %v, %v", op.GetId(), query, body, got, err)
				}
			}
		}
	}
	if n < 100 {
		t.Fatalf("%d properties name something; the contract has more", n)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	c := loaded(t)
	for _, test := range []struct {
		operation, query, body string
		want                   []target
		wrong                  bool
	}{
		{"getOrganizationDevices", "networkIds[]=N_1&serials[]=Q", "", nil, false},
		{"getOrganizationDevices", "organizationId=2", "", []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "2"}}, false},
		{"getOrganizationDevices", "organization_ids%5B%5D=2;organization[id]=3", "", []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "2"}, {apiv1.NamedOwner_KIND_ORGANIZATION, "3"}}, false},
		{"updateNetwork", "", `{"organizationId":"1","organizationId":2,"name":"n"}`, []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "1"}, {apiv1.NamedOwner_KIND_ORGANIZATION, "2"}}, false},
		{"updateNetwork", "", `{"organizati\u006fnId":"2","tags":["organizationId"],"x":{"y":[{"org_id":3}]}}`, []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "2"}, {apiv1.NamedOwner_KIND_ORGANIZATION, "3"}}, false},
		{"createNetworkMove", "", `{"network":{"id":"N_1"},"organizations":{"target":{"id":"2","name":"two"}}}`, []target{{apiv1.NamedOwner_KIND_NETWORK, "N_1"}, {apiv1.NamedOwner_KIND_ORGANIZATION, "2"}}, false},
		{"createNetworkSwitchAccessPolicy", "", `{"radiusServers":[{"organizationRadiusServerId":"42"}]}`, nil, false},
		{"bindAdministeredLicensingSubscriptionSubscription", "", `{"networks":[{"id":"N_2"}],"deviceSerial":"Q"}`, []target{{apiv1.NamedOwner_KIND_NETWORK, "N_2"}, {apiv1.NamedOwner_KIND_DEVICE, "Q"}}, false},
		{"updateNetwork", "", `{"organizationId":null}`, nil, false},
		{"updateNetwork", "", `{"organizationId":670000000000000123}`, []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "670000000000000123"}}, false},
		{"updateNetwork", "", `{"organizationId":{"$gt":true}}`, []target{{apiv1.NamedOwner_KIND_ORGANIZATION, "true"}}, false},
		{"updateNetwork", "", `organizationId=2`, nil, true},
		{"updateNetwork", "", `{} {"organizationId":"2"}`, nil, true},
		{"updateNetwork", "", `{"a":`, nil, true},
		{"getOrganization", "a=%zz", "", nil, true},
	} {
		got, err := targets(c.Operation(test.operation).Operation, true, test.query, []byte(test.body))
		if (err != nil) != test.wrong || !slices.Equal(got, test.want) {
			t.Errorf("%s %q %s: %v, %v; want %v", test.operation, test.query, test.body, got, err, test.want)
		}
	}
	unknown := &apiv1.Operation{Id: contract.UnknownOperation, Verb: apiv1.Verb_VERB_POST, Scope: apiv1.Scope_SCOPE_ORGANIZATION}
	for query, body := range map[string]string{"": `{"site":7}`, "a=1": "", "perPage=5": `["x"]`, "t0=1": `"2"`} {
		if got, err := targets(unknown, false, query, []byte(body)); fault.As(err) == nil {
			t.Errorf("unknown %q %s: %v", query, body, got)
		}
	}
	if got, err := targets(unknown, false, "perPage=5&startingAfter=x", []byte("{}")); err != nil || got != nil {
		t.Errorf("paging of what is unknown: %v, %v", got, err)
	}
}

// TestWhatIsLookedAtIsBounded: a body that nobody can read is refused before it costs
// the stack of the process, or a copy of long names for each of its values.
func TestWhatIsLookedAtIsBounded(t *testing.T) {
	t.Parallel()
	op := loaded(t).Operation("updateNetwork").Operation
	name := strings.Repeat("n", mostNames)
	for body, wrong := range map[string]string{
		strings.Repeat("[", 4<<20):                                            "inside each other",
		strings.Repeat(`{"a":`, 800<<10):                                      "inside each other",
		strings.Repeat("[", mostLevels+1) + strings.Repeat("]", mostLevels+1): "inside each other",
		strings.Repeat("[", mostLevels) + strings.Repeat("]", mostLevels):     "",
		`{"` + name + `":1}`:                                                  "",
		`{"` + name + `":{"n":1}}`:                                            "names",
		`{"a":[` + strings.Repeat("1,", mostLeaves) + `1]}`:                   "values",
	} {
		_, err := targets(op, true, "", []byte(body))
		if f := fault.As(err); wrong == "" && err != nil || wrong != "" && (f == nil || f.Reason != "NAMES_NOT_CHECKED" || !strings.Contains(f.Detail, wrong)) {
			t.Errorf("%.20s..., %d bytes: %v; want %q", body, len(body), err, wrong)
		}
	}
}

func FuzzTargets(f *testing.F) {
	f.Add("organizationId=2&a[b][]=c", `{"actions":[{"resource":"/networks/N_1/vlans","operation":"create","body":{"organizationId":"2"}}]}`)
	f.Add("%5B%5D=&;=", `[[[null]]] `)
	op := loaded(f).Operation("createOrganizationActionBatch").Operation
	a := new(Access)
	f.Fuzz(func(t *testing.T, query, body string) {
		for _, known := range []bool{true, false} {
			if _, err := targets(op, known, query, []byte(body)); err != nil && fault.As(err) == nil {
				t.Errorf("%v", err)
			}
		}
		if _, err := a.actions(op, []byte(body)); err != nil && fault.As(err) == nil {
			t.Errorf("%v", err)
		}
	})
}
