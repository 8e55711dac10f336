package sandbox

import (
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// What is created is listed, read, changed and deleted, and each is counted once.
func TestWriteAndReadBack(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	base := "/networks/" + s.NetworkID(0, 1) + "/mqttBrokers"
	before := ask(t, s, "GET", base, "").list(t)
	body := `{"name":"Guests","host":"192.0.2.1","port":1883,"security":{"mode":"tls"},"unknown":{"x":1}}`
	made := ask(t, s, "POST", base, body).object(t, 201)
	id := document.Text(made["id"])
	if made["name"] != "Guests" || id == "" || made["unknown"] != nil {
		t.Fatalf("created: %v", made)
	}
	rows := ask(t, s, "GET", base, "").list(t)
	if len(rows) != len(before)+1 || document.Text(rows[len(rows)-1]["id"]) != id || rows[len(rows)-1]["name"] != "Guests" {
		t.Errorf("the list: %v", rows[len(rows)-1])
	}
	if o := ask(t, s, "GET", base+"/"+id, "").object(t, 200); o["name"] != "Guests" || document.Text(o["port"]) != "1883" {
		t.Errorf("alone: %v", o)
	}
	o := ask(t, s, "PUT", base+"/"+id, `{"name":"Staff","security":{"tls":{"verifyHostnames":true}},"authentication":null}`).object(t, 200)
	if o["name"] != "Staff" || document.TextAt(o, "security.mode") != "tls" || document.Object(o["security"])["tls"] == nil {
		t.Errorf("merged: %v", o)
	}
	o = ask(t, s, "GET", base+"/"+id, "").object(t, 200)
	if _, there := o["authentication"]; there || o["name"] != "Staff" {
		t.Errorf("null did not delete: %v", o)
	}
	if g := ask(t, s, "DELETE", base+"/"+id, ""); g.status != 204 || g.body != "" {
		t.Errorf("delete: %v", g)
	}
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if g := ask(t, s, method, base+"/"+id, ""); g.status != 404 {
			t.Errorf("%s of what was deleted: %d", method, g.status)
		}
	}
	if rows := ask(t, s, "GET", base, "").list(t); len(rows) != len(before) {
		t.Errorf("%d rows, %d before", len(rows), len(before))
	}
	if n := s.Executed("POST", base, []byte(body)); n != 1 {
		t.Errorf("executed %d times", n)
	}
	ask(t, s, "POST", base, body)
	if n := s.Executed("POST", base, []byte(body)); n != 2 {
		t.Errorf("executed %d times", n)
	}
	if x := s.Executions(); len(x) != 3 || x[0].Times != 2 || !strings.Contains(x[0].Body, "Guests") {
		t.Errorf("executions: %v", x)
	}
}

// Settings that are one thing for each network, rows that were not created, and
// rows that choose their own id.
func TestWriteForms(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	network := "/networks/" + s.NetworkID(0, 1)
	for _, row := range []struct{ method, path, body, read, property, want string }{
		{"PUT", network + "/syslogServers", `{"servers":[{"host":"192.0.2.1","port":514,"roles":["Flows"]}]}`, network + "/syslogServers", "servers", `[{"host":"192.0.2.1","port":514,"roles":["Flows"]}]`},
		{"PUT", network + "/appliance/firewall/l3FirewallRules", `{"rules":[]}`, network + "/appliance/firewall/l3FirewallRules", "rules", `[]`},
		{"POST", network + "/appliance/vlans", `{"id":"77","name":"Seventy"}`, network + "/appliance/vlans/77", "name", `"Seventy"`},
		{"PUT", network + "/wireless/ssids/3", `{"name":"Three"}`, network + "/wireless/ssids/3", "name", `"Three"`},
		{"PUT", "/devices/" + s.Serial(0, 1, 0), `{"name":"Renamed","tags":["a"]}`, "/organizations/" + s.OrganizationID(0) + "/inventory/devices/" + s.Serial(0, 1, 0), "name", `"Renamed"`},
		{"PUT", network, `{"name":"Elsewhere","timeZone":"Asia/Tokyo"}`, network, "timeZone", `"Asia/Tokyo"`},
		{"PUT", "/organizations/" + s.OrganizationID(0), `{"name":"Us"}`, "/organizations/" + s.OrganizationID(0), "name", `"Us"`},
		{"POST", "/devices/" + s.Serial(0, 1, 1) + "/switch/ports/cycle", `{"ports":["1"]}`, "", "ports", `["1"]`},
	} {
		g := ask(t, s, row.method, row.path, row.body)
		if g.status >= 300 {
			t.Errorf("%s %s: %d %s", row.method, row.path, g.status, g.body)
			continue
		}
		if row.read != "" {
			g = ask(t, s, "GET", row.read, "")
		}
		if v := string(document.Encode(document.DecodeObject([]byte(g.body))[row.property])); v != row.want {
			t.Errorf("%s %s: %s is %s, want %s", row.method, row.path, row.property, v, row.want)
		}
	}
	if rows := ask(t, s, "GET", network+"/wireless/ssids", "").list(t); len(rows) != 15 || rows[3]["name"] != "Three" {
		t.Errorf("SSIDs: %d, the fourth is %v", len(rows), rows[3]["name"])
	}
	if rows := ask(t, s, "GET", "/organizations/"+s.OrganizationID(0)+"/devices?serials[]="+s.Serial(0, 1, 0), "").list(t); rows[0]["name"] != "Renamed" {
		t.Errorf("in the list: %v", rows[0]["name"])
	}
	if rows := ask(t, s, "GET", "/organizations", "").list(t); rows[0]["name"] != "Us" {
		t.Errorf("organizations: %v", rows[0]["name"])
	}
}

func TestOrganizationsAndNetworksComeAndGo(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	org := document.Text(ask(t, s, "POST", "/organizations", `{"name":"New"}`).object(t, 201)["id"])
	if n := len(ask(t, s, "GET", "/organizations", "").list(t)); n != 4 {
		t.Errorf("%d organizations", n)
	}
	network := document.Text(ask(t, s, "POST", "/organizations/"+org+"/networks", `{"name":"First","productTypes":["switch"]}`).object(t, 201)["id"])
	o := ask(t, s, "GET", "/networks/"+network, "").object(t, 200)
	if o["name"] != "First" || o["organizationId"] != org {
		t.Errorf("the new network: %v", o)
	}
	if rows := ask(t, s, "GET", "/organizations/"+org+"/networks", "").list(t); len(rows) != 1 || rows[0]["id"] != network {
		t.Errorf("networks: %v", rows)
	}
	if g := ask(t, s, "GET", "/networks/"+network+"/clients", ""); g.status != 200 {
		t.Errorf("below it: %d", g.status)
	}
	combined := ask(t, s, "POST", "/organizations/"+s.OrganizationID(0)+"/networks/combine", `{"name":"All","networkIds":["`+s.NetworkID(0, 0)+`","`+s.NetworkID(0, 1)+`"]}`).object(t, 200)
	id := document.TextAt(combined, "resultingNetwork.id")
	if rows := ask(t, s, "GET", "/networks/"+id+"/devices", "").list(t); len(rows) != 10 {
		t.Errorf("combined: %d devices of %v", len(rows), combined)
	}
	if g := ask(t, s, "DELETE", "/organizations/"+org, ""); g.status != 204 {
		t.Errorf("delete: %v", g)
	}
	for _, path := range []string{"/organizations/" + org, "/networks/" + network, "/networks/" + s.NetworkID(0, 0)} {
		if g := ask(t, s, "GET", path, ""); g.status != 404 {
			t.Errorf("%s is still there: %d", path, g.status)
		}
	}
}

func TestBadBodies(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	path := "/networks/" + s.NetworkID(0, 0)
	for _, body := range []string{"{", "[]", "1", `"x"`, "{}{}", "\x00"} {
		if g := ask(t, s, "PUT", path, body); g.status != 400 || !strings.Contains(g.body, `"errors"`) {
			t.Errorf("%q: %d %s", body, g.status, g.body)
		}
	}
	if n := len(s.Executions()); n != 0 {
		t.Errorf("%d executions", n)
	}
}
