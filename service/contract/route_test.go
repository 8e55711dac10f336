package contract

import (
	"fmt"
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

func load(t testing.TB) *Contract {
	t.Helper()
	c, err := Load()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fill puts a value into every parameter of a template, each character escaped
// where escaped says so.
func fill(template string, escaped bool) string {
	var out strings.Builder
	for segment := range strings.SplitSeq(template[1:], "/") {
		out.WriteByte('/')
		if strings.HasPrefix(segment, "{") {
			segment = "N_1"
		}
		for i := range len(segment) {
			if escaped {
				fmt.Fprintf(&out, "%%%02x", segment[i])
			} else {
				out.WriteByte(segment[i])
			}
		}
	}
	return out.String()
}

// TestEveryOperationIsFoundByItsPath: in whatever way its path is escaped, an
// operation is that one, of that owner, on that path.
func TestEveryOperationIsFoundByItsPath(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, m := range c.Methods() {
		if m.Streaming {
			continue
		}
		verb := strings.TrimPrefix(m.Operation.GetVerb().String(), "VERB_")
		plain := fill(m.Operation.GetPath(), false)
		for _, path := range []string{plain, fill(m.Operation.GetPath(), true)} {
			r, err := c.Route(verb, path)
			if err != nil || r.Method != m || r.Operation != m.Operation || r.Path != plain || r.Unowned {
				t.Errorf("%s %s is %+v, %v", verb, path, r, err)
				continue
			}
			if owned := m.Operation.GetScope() != apiv1.Scope_SCOPE_NONE; owned != (r.Owner == "N_1") {
				t.Errorf("%s %s is of %q", verb, path, r.Owner)
			}
		}
	}
}

// TestPathsThatTheContractDoesNotKnow: what names its owner is the owner's, and
// nothing else counts as belonging to no organization.
func TestPathsThatTheContractDoesNotKnow(t *testing.T) {
	t.Parallel()
	c := load(t)
	for _, test := range []struct {
		method, path string
		scope        apiv1.Scope
		owner        string
		unowned      bool
	}{
		{"GET", "/organizations/1/new", apiv1.Scope_SCOPE_ORGANIZATION, "1", false},
		{"POST", "/%6frganizations/1/new", apiv1.Scope_SCOPE_ORGANIZATION, "1", false},
		{"GET", "/networks/N_1/new/organizations/2", apiv1.Scope_SCOPE_NETWORK, "N_1", false},
		{"PUT", "/%64evices/Q2AB-1/new", apiv1.Scope_SCOPE_DEVICE, "Q2AB-1", false},
		{"DELETE", "/organizations", apiv1.Scope_SCOPE_NONE, "", true},
		{"GET", "/networks", apiv1.Scope_SCOPE_NONE, "", true},
		{"GET", "/foo/organizations/1", apiv1.Scope_SCOPE_NONE, "", true},
		{"GET", "/administered/new", apiv1.Scope_SCOPE_NONE, "", true},
	} {
		r, err := c.Route(test.method, test.path)
		if err != nil || r.Method != nil || r.Operation.GetId() != UnknownOperation ||
			r.Operation.GetScope() != test.scope || r.Owner != test.owner || r.Unowned != test.unowned {
			t.Errorf("%s %s is %+v, %v", test.method, test.path, r, err)
		}
	}
	for _, path := range []string{
		"/Organizations/1", "/ORGANIZATIONS", "/%4frganizations/1", "/Networks/N_1", "/dEvices/Q2", "/Administered/identities/me",
		"/api/v1/organizations", "/api", "/organizations/01/networks", "/organizations/1x/networks", "/organizations/+1/networks", "/organizations/1.0/networks",
		"/organizations/1,2/networks", "/networks/N_1.5/clients", "/networks/N_1:2", "/devices/Q2@x", "/organizations/1.json", "/organizations/1/networks.json",
		"/organizations/" + strings.Repeat("9", 65) + "/networks", "/networks/N_" + strings.Repeat("9", 63), "/devices/" + strings.Repeat("Q", 9000),
	} {
		if r, err := c.Route("GET", path); err == nil {
			t.Errorf("%s is %+v", path, r)
		}
	}
	if _, err := c.Route("PATCH", "/organizations"); err == nil {
		t.Error("PATCH is a method of the Dashboard's")
	}
}

func BenchmarkRoute(b *testing.B) {
	c := load(b)
	b.ReportAllocs()
	for b.Loop() {
		if r, err := c.Route("GET", "/networks/N_646829496481105433/appliance/vlans/12"); err != nil || r.Method == nil {
			b.Fatal(err)
		}
	}
}

// TestAliases: what clients ask below the organization is the network's own operation,
// sent as it was asked.
func TestAliases(t *testing.T) {
	t.Parallel()
	c := load(t)
	for method, want := range map[string]string{"GET": "getNetwork", "PUT": "updateNetwork", "DELETE": "deleteNetwork", "POST": UnknownOperation} {
		r, err := c.Route(method, "/organizations/1/networks/N_2")
		if err != nil || r.Operation.GetId() != want || r.Path != "/organizations/1/networks/N_2" {
			t.Errorf("%s: %v, %v", method, r, err)
		}
		if r.Owner != "1" || r.Operation.GetScope() != apiv1.Scope_SCOPE_ORGANIZATION {
			t.Errorf("%s: of %s %s", method, r.Operation.GetScope(), r.Owner)
		}
	}
	if r, err := c.Route("GET", "/organizations/1/networks/N_2,3"); err == nil {
		t.Errorf("%v", r)
	}
	if r, err := c.Route("PUT", "/networks/N_2"); err != nil || r.Operation.GetScope() != apiv1.Scope_SCOPE_NETWORK {
		t.Errorf("the documented path: %v, %v", r, err)
	}
}
