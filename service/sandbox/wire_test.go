package sandbox

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// at follows a path of properties, of elements by number, and of * for the first
// property of an object.
func at(v any, path string) any {
	for step := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case []any:
			var i int
			if _, err := fmt.Sscan(step, &i); err != nil || i >= len(x) {
				return nil
			}
			v = x[i]
		case map[string]any:
			if step == "*" {
				for _, y := range x {
					v = y
				}
				continue
			}
			v = x[step]
		default:
			return nil
		}
	}
	return v
}

func form(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "fraction"
		}
		return "integer"
	case string:
		if v == "" {
			return "empty text"
		}
		if len(v) > 15 && v[4] == '-' && v[10] == 'T' {
			return "instant"
		}
		return "text"
	case bool:
		return "boolean"
	case []any:
		return "list"
	}
	return "object"
}

// Each operation of the list of differences is answered as the contract says, and
// as users have seen it, when asked to. Where the contract has corrected the
// document the two are of one form, and only the observed one is held.
func TestWireShapes(t *testing.T) {
	t.Parallel()
	documented, observed := newSandbox(t, open()), newSandbox(t, Options{LimitsOff: true, Wire: Wire{Shapes: true}})
	org, network := "/organizations/"+documented.OrganizationID(0), "/networks/"+documented.NetworkID(0, 1)
	for _, row := range []struct{ path, property, document, wire string }{
		{network + "/clients?perPage=3", "0.firstSeen", "", "instant"},
		{network + "/clients?perPage=3", "2.lastSeen", "", "instant"},
		{network + "/clients/bandwidthUsageHistory", "0.total", "", "fraction"},
		{network + "/wireless/meshStatuses", "0.latestMeshPerformance.mbps", "", "fraction"},
		{"/administered/licensing/subscription/entitlements", "0.sku", "", "text"},
		{org + "/earlyAccess/features/optIns", "0.shortName", "", "text"},
		{network + "/wireless/rfProfiles", "0.name", "", "text"},
		{network + "/appliance/trafficShaping/rules", "rules.0.definitions.0.value", "text", "object"},
		{network + "/wireless/ssids/1/trafficShaping/rules", "rules.0.definitions.0.value.id", "nothing", "text"},
		{network + "/appliance/firewall/l7FirewallRules", "rules.0.value", "text", "object"},
		{network + "/wireless/ssids/1/firewall/l7FirewallRules", "rules.0.value.name", "nothing", "text"},
		{network + "/groupPolicies", "0.name", "", "text"},
		{network + "/groupPolicies/600000000000000001", "name", "", "text"},
		{network + "/groupPolicies/600000000000000001", "firewallAndTrafficShaping.trafficShapingRules.0.definitions.0.value", "", "object"},
		{org + "/policyObjects?perPage=10", "0.type", "text", "text"},
		{network + "/events?productType=wireless", "events.0.eventData.identity", "nothing", "text"},
		{network + "/events?productType=wireless", "events.1.eventData.dns", "nothing", "list"},
		{network + "/firmwareUpgrades", "products.wireless.nextUpgrade.time", "", "empty text"},
		{org + "/appliance/vpn/stats?perPage=3", "0.merakiVpnPeers.0.latencySummaries.0.avgLatencyMs", "", "fraction"},
	} {
		for _, side := range []struct {
			s    *Sandbox
			want string
		}{{documented, row.document}, {observed, row.wire}} {
			g := ask(t, side.s, "GET", row.path, "")
			v, err := document.Decode([]byte(g.body))
			if err != nil || g.status != 200 {
				t.Fatalf("%s: %d %v %s", row.path, g.status, err, g.body)
			}
			if have := form(at(v, row.property)); side.want != "" && have != side.want {
				t.Errorf("%s: %s is %s, want %s: %.300s", row.path, row.property, have, side.want, g.body)
			}
		}
	}
	shown := map[string]bool{}
	for _, o := range ask(t, observed, "GET", org+"/policyObjects?perPage=10", "").list(t) {
		for _, name := range []string{"fqdn", "ip", "mask", "cidr"} {
			shown[name] = shown[name] || o[name] != nil
		}
		alone := ask(t, observed, "GET", org+"/policyObjects/"+document.Text(o["id"]), "").object(t, 200)
		if alone["type"] != o["type"] || alone["fqdn"] != o["fqdn"] || alone["ip"] != o["ip"] {
			t.Errorf("in the list %v, alone %v", o, alone)
		}
	}
	if len(shown) != 4 || !shown["fqdn"] || !shown["ip"] || !shown["mask"] || !shown["cidr"] {
		t.Errorf("policy objects show %v", shown)
	}
	large := false
	for _, r := range observed.router.routes {
		if r.verb == verbGet && r.op.GetScope() != 0 {
			large = large || contains(ask(t, observed, "GET", fillPath(observed, r.op.GetPath()), "").body, "9007199254740993")
		}
	}
	if !large {
		t.Error("no free object holds a number beyond a double")
	}
}

// What is written in the shape of the wire is read again, and the shape of the
// document is refused where the Dashboard refuses it.
func TestWireShapesWritten(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	if err := s.SetWire(Wire{Shapes: true}); err != nil {
		t.Fatal(err)
	}
	org, network := "/organizations/"+s.OrganizationID(0), "/networks/"+s.NetworkID(0, 1)
	rules := `{"rules":[{"definitions":[{"type":"application","value":{"id":"meraki:layer7/application/9","name":"Nine"}},{"type":"host","value":"example.org"}]}]}`
	ask(t, s, "PUT", network+"/appliance/trafficShaping/rules", rules).object(t, 200)
	o := ask(t, s, "GET", network+"/appliance/trafficShaping/rules", "").object(t, 200)
	if at(o, "rules.0.definitions.0.value.name") != "Nine" || at(o, "rules.0.definitions.1.value") != "example.org" {
		t.Errorf("rules: %v", o)
	}
	for _, path := range []string{"/appliance/trafficShaping/rules", "/wireless/ssids/1/trafficShaping/rules"} {
		if g := ask(t, s, "PUT", network+path, `{"rules":[{"definitions":[{"type":"application","value":"Nine"}]}]}`); g.status != 400 || !contains(g.body, "object") {
			t.Errorf("%s: %d %s", path, g.status, g.body)
		}
	}
	l7 := `{"rules":[{"policy":"deny","type":"blockedCountries","value":["JP"]},{"policy":"deny","type":"port","value":"23"}]}`
	ask(t, s, "PUT", network+"/wireless/ssids/1/firewall/l7FirewallRules", l7).object(t, 200)
	if o := ask(t, s, "GET", network+"/wireless/ssids/1/firewall/l7FirewallRules", "").object(t, 200); at(o, "rules.0.value.0") != "JP" || at(o, "rules.1.value") != "23" {
		t.Errorf("l7: %v", o)
	}
	policy := ask(t, s, "POST", network+"/groupPolicies", `{"name":"Guests"}`).object(t, 201)
	path := network + "/groupPolicies/" + document.Text(policy["groupPolicyId"])
	if policy["name"] != "Guests" || ask(t, s, "GET", path, "").object(t, 200)["name"] != "Guests" {
		t.Errorf("policy: %v", policy)
	}
	ask(t, s, "PUT", path, `{"name":"Visitors"}`).object(t, 200)
	rows := ask(t, s, "GET", network+"/groupPolicies", "").list(t)
	if last := rows[len(rows)-1]; last["name"] != "Visitors" {
		t.Errorf("in the list: %v", last)
	}
	made := ask(t, s, "POST", org+"/policyObjects", `{"name":"Site","category":"network","type":"fqdn","fqdn":"site.example.org"}`).object(t, 201)
	if o := ask(t, s, "GET", org+"/policyObjects/"+document.Text(made["id"]), "").object(t, 200); o["fqdn"] != "site.example.org" || o["type"] != "fqdn" {
		t.Errorf("policy object: %v", o)
	}
}

// A list that comes with an object around it, and a 200 that says errors.
func TestWireAnswers(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	if err := s.SetWire(Wire{Items: []string{"getOrganizationNetworks"}, Errors: []string{"getOrganizationDevices"}}); err != nil {
		t.Fatal(err)
	}
	org := "/organizations/" + s.OrganizationID(0)
	g := ask(t, s, "GET", org+"/networks?perPage=3", "")
	o := g.object(t, 200)
	if len(o["items"].([]any)) != 3 || document.TextAt(o, "meta.counts.items.total") != "3" || !contains(g.header.Get("Link"), "rel=next") {
		t.Errorf("%v %v", o, g.header)
	}
	if o := ask(t, s, "GET", org+"/devices", "").object(t, 200); form(o["errors"]) != "list" {
		t.Errorf("%v", o)
	}
	if err := s.SetWire(Wire{Items: []string{"nothing"}}); err == nil {
		t.Error("an unknown operation is accepted")
	}
	s.Reset()
	if n := len(ask(t, s, "GET", org+"/networks", "").list(t)); n != 4 {
		t.Errorf("after the reset: %d", n)
	}
}

// Events go back for ever where they are told to: every page has a link to the
// one before, empty or not.
func TestEndlessEvents(t *testing.T) {
	t.Parallel()
	for _, endless := range []bool{false, true} {
		s := newSandbox(t, Options{LimitsOff: true, Wire: Wire{EndlessEvents: endless}})
		next, pages, empty := "/networks/"+s.NetworkID(0, 1)+"/events?productType=wireless&perPage=10", 0, 0
		for next != "" && pages < 20 {
			g := ask(t, s, "GET", next, "")
			if rows, _ := g.object(t, 200)["events"].([]any); len(rows) == 0 {
				empty++
			}
			l, _ := links(t, g.header.Get("Link"))
			next = l["prev"]
			pages++
		}
		if endless && (pages != 20 || empty < 10) || !endless && (pages > 5 || empty > 1) {
			t.Errorf("endless %v: %d pages, %d empty", endless, pages, empty)
		}
	}
}
