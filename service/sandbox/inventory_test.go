package sandbox

import (
	"net/http"
	"slices"
	"testing"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// ids reads one property of every row.
func ids(rows []map[string]any, name string) []string {
	var out []string
	for _, r := range rows {
		out = append(out, document.Text(r[name]))
	}
	return out
}

// What one operation says about the world, the others say, too.
func TestWorldHangsTogether(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	var devices int
	for _, o := range ask(t, s, "GET", "/organizations", "").list(t) {
		org := document.Text(o["id"])
		if name := ask(t, s, "GET", "/organizations/"+org, "").object(t, 200)["name"]; name != o["name"] {
			t.Errorf("organization %s is called %v and %v", org, o["name"], name)
		}
		stock := ids(ask(t, s, "GET", "/organizations/"+org+"/inventory/devices", "").list(t), "serial")
		all := ids(ask(t, s, "GET", "/organizations/"+org+"/devices", "").list(t), "serial")
		statuses := ids(ask(t, s, "GET", "/organizations/"+org+"/devices/statuses", "").list(t), "serial")
		if !slices.Equal(all, statuses) {
			t.Errorf("statuses of %v, devices %v", statuses, all)
		}
		if len(stock) != len(all)+inventory.Spares {
			t.Errorf("%d in the inventory, %d in networks", len(stock), len(all))
		}
		var inNetworks []string
		for _, n := range ask(t, s, "GET", "/organizations/"+org+"/networks", "").list(t) {
			id := document.Text(n["id"])
			single := ask(t, s, "GET", "/networks/"+id, "")
			if single.object(t, 200)["organizationId"] != org || n["organizationId"] != org {
				t.Errorf("network %s of %s is said to be of %v", id, org, n["organizationId"])
			}
			if string(document.Encode(n)) != string(document.Encode(single.object(t, 200))) {
				t.Errorf("the network alone: %s, in the list: %s", single.body, document.Encode(n))
			}
			for _, d := range ask(t, s, "GET", "/networks/"+id+"/devices", "").list(t) {
				serial := document.Text(d["serial"])
				inNetworks = append(inNetworks, serial)
				devices++
				alone := ask(t, s, "GET", "/devices/"+serial, "").object(t, 200)
				if alone["networkId"] != id || d["networkId"] != id || alone["name"] != d["name"] || alone["mac"] != d["mac"] {
					t.Errorf("device %s: %v alone, %v in the list of %s", serial, alone, d, id)
				}
				if _, ok := alone["organizationId"]; ok {
					t.Errorf("device %s names its organization; the vendor's does not", serial)
				}
				if i := ask(t, s, "GET", "/organizations/"+org+"/inventory/devices/"+serial, "").object(t, 200); i["networkId"] != id {
					t.Errorf("the inventory has %s in %v", serial, i["networkId"])
				}
			}
		}
		if !slices.Equal(inNetworks, all) {
			t.Errorf("devices by network %v, by organization %v", inNetworks, all)
		}
	}
	if devices != 3*4*5 {
		t.Errorf("%d devices", devices)
	}
}

func TestUnknownIDs(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	for _, path := range []string{"/organizations/1", "/networks/N_1", "/devices/Q2MD-AAAA-BBBB", "/networks/x/devices", "/organizations/1/networks",
		"/organizations/" + s.OrganizationID(0) + "/inventory/devices/" + s.Serial(1, 0, 0), "/no/such/operation", "/organizations/"} {
		want := http.StatusNotFound
		if path == "/organizations/" {
			want = http.StatusOK // a slash at the end changes nothing
		}
		if g := ask(t, s, "GET", path, ""); g.status != want {
			t.Errorf("%s: %d %s", path, g.status, g.body)
		}
	}
	if g := ask(t, s, "PATCH", "/organizations", ""); g.status != 404 || g.header.Get("Content-Type") == "application/json; charset=utf-8" {
		t.Errorf("PATCH: %d %v", g.status, g.header)
	}
}

// A network that moves takes its devices and its budget along.
func TestNetworkMove(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	from, to, network, serial := s.OrganizationID(0), s.OrganizationID(1), s.NetworkID(0, 1), s.Serial(0, 1, 0)
	before := len(ask(t, s, "GET", "/organizations/"+to+"/devices", "").list(t))
	body := `{"network":{"id":"` + network + `"},"organizations":{"target":{"id":"` + to + `"}}}`
	o := ask(t, s, "POST", "/organizations/"+from+"/networks/moves", body).object(t, 201)
	if document.TextAt(o, "result.status") != "completed" || document.TextAt(o, "organizations.source.id") != from {
		t.Fatalf("move: %v", o)
	}
	if o := ask(t, s, "GET", "/networks/"+network, "").object(t, 200); o["organizationId"] != to {
		t.Errorf("the owner is %v", o["organizationId"])
	}
	if slices.Contains(ids(ask(t, s, "GET", "/organizations/"+from+"/networks", "").list(t), "id"), network) {
		t.Error("it is still in the old organization")
	}
	if after := len(ask(t, s, "GET", "/organizations/"+to+"/devices", "").list(t)); after != before+5 {
		t.Errorf("%d devices before, %d after", before, after)
	}
	ask(t, s, "GET", "/devices/"+serial, "")
	if n := s.Organization(to).Operations["getDevice"].Arrived; n != 1 {
		t.Errorf("the device's new owner paid %d times", n)
	}
	if o := ask(t, s, "POST", "/organizations/"+from+"/networks/moves", body).object(t, 201); document.TextAt(o, "result.status") != "failed" {
		t.Errorf("the second move: %v", o)
	}
	if rows := ask(t, s, "GET", "/organizations/"+from+"/networks/moves", "").object(t, 200); len(rows["items"].([]any)) != 2 {
		t.Errorf("moves: %v", rows)
	}
}

func TestClaimAndRemove(t *testing.T) {
	t.Parallel()
	s := newSandbox(t, open())
	org, network := s.OrganizationID(0), s.NetworkID(0, 0)
	spare := s.inventory.Serial(s.inventory.Spare(0, 0))
	if o := ask(t, s, "GET", "/devices/"+spare, "").object(t, 200); o["networkId"] != nil {
		t.Errorf("a spare in %v", o["networkId"])
	}
	o := ask(t, s, "POST", "/networks/"+network+"/devices/claim", `{"serials":["`+spare+`","`+s.Serial(1, 0, 0)+`"],"addAtomically":false}`).object(t, 200)
	if !slices.Equal(document.Texts(o["serials"]), []string{spare}) || len(o["errors"].([]any)) != 1 {
		t.Errorf("claim: %v", o)
	}
	if g := ask(t, s, "POST", "/networks/"+network+"/devices/claim", `{"serials":["`+spare+`"]}`); g.status != 400 {
		t.Errorf("a second claim: %d %s", g.status, g.body)
	}
	if o := ask(t, s, "GET", "/devices/"+spare, "").object(t, 200); o["networkId"] != network {
		t.Errorf("claimed, but in %v", o["networkId"])
	}
	if g := ask(t, s, "POST", "/networks/"+network+"/devices/remove", `{"serial":"`+spare+`"}`); g.status != 204 {
		t.Errorf("remove: %d %s", g.status, g.body)
	}
	if g := ask(t, s, "POST", "/organizations/"+org+"/inventory/release", `{"serials":["`+spare+`"]}`); g.status != 200 {
		t.Errorf("release: %d %s", g.status, g.body)
	}
	if g := ask(t, s, "GET", "/devices/"+spare, ""); g.status != 404 {
		t.Errorf("released: %d %s", g.status, g.body)
	}
	if g := ask(t, s, "POST", "/organizations/"+s.OrganizationID(1)+"/inventory/claim", `{"serials":["`+spare+`"]}`); g.status != 200 {
		t.Errorf("claim by another: %d %s", g.status, g.body)
	}
	if rows := ask(t, s, "GET", "/organizations/"+s.OrganizationID(1)+"/inventory/devices?serials[]="+spare, "").list(t); len(rows) != 1 {
		t.Errorf("the inventory of the other: %v", rows)
	}
}
