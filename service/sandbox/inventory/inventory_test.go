package inventory

import (
	"fmt"
	"strings"
	"testing"
)

// Ids lead back to what they name, in every shape of world.
func TestIDsAreInvertible(t *testing.T) {
	t.Parallel()
	for _, w := range []Layout{{3, 4, 5}, {1, 1, 1}, {10_000, 2, 3}, {5, 0, 0}, {4, 3, 0}, {2, 1000, 70}} {
		for i := 0; i < w.Orgs; i += 1 + w.Orgs/100 {
			if got, ok := w.orgIndex(w.OrgID(i)); !ok || got != i {
				t.Fatalf("%+v: organization %d is %s is %d, %v", w, i, w.OrgID(i), got, ok)
			}
			for s := range Spares {
				d := w.Spare(i, s)
				if got, ok := w.SerialIndex(w.Serial(d)); !ok || got != d || w.deviceOrg(d) != i {
					t.Fatalf("%+v: spare %d of %d is %s is %d of %d", w, d, i, w.Serial(d), got, w.deviceOrg(d))
				}
			}
		}
		seen := map[string]bool{}
		for g := range min(w.Orgs*w.Nets, 500) {
			id := w.NetworkID(g)
			if got, ok := w.networkIndex(id); !ok || got != g || seen[id] {
				t.Fatalf("%+v: network %d is %s is %d, %v", w, g, id, got, ok)
			}
			seen[id] = true
		}
		for d := range min(w.Orgs*w.Nets*w.Devs, 500) {
			id := w.Serial(d)
			if got, ok := w.SerialIndex(id); !ok || got != d || seen[id] {
				t.Fatalf("%+v: device %d is %s is %d, %v", w, d, id, got, ok)
			}
			seen[id] = true
		}
	}
	w := Layout{3, 4, 5}
	for _, id := range []string{"", "0", "2930417", "2930419", "2930424", "99999999999999999999", "-1", "x", "N_1", "L_24329156", "Q2XX-2222-2222", "Q2MD-2222-222", "N_", "02930418"} {
		if _, ok := w.orgIndex(id); ok {
			t.Errorf("%q is no organization", id)
		}
		if _, ok := w.networkIndex(id); ok {
			t.Errorf("%q is no network", id)
		}
		if _, ok := w.SerialIndex(id); ok {
			t.Errorf("%q is no device", id)
		}
	}
}

// everything is what the inventory says about all that there is.
func everything(e *Inventory) string {
	var b strings.Builder
	for _, o := range e.Organizations() {
		p, ok := e.Organization(e.OrgID(o))
		fmt.Fprintln(&b, "organization", o, p.OrgName, ok)
		for _, g := range e.Networks(o) {
			n, ok := e.NetworkAt(g)
			fmt.Fprintln(&b, "network", g, n.NetworkName, n.Products, ok, e.DevicesOfNetwork(g))
		}
		for _, d := range e.Devices(o, true) {
			v, ok := e.DeviceAt(d)
			fmt.Fprintln(&b, "device", d, v.DeviceName, v.Network, ok)
		}
	}
	return b.String()
}

// A snapshot takes back every kind of change, also onto earlier changes.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	e := New(Layout{Orgs: 3, Nets: 4, Devs: 5})
	changes := map[string]func(){
		"create organization": func() { e.CreateOrganization("new") },
		"rename organization": func() { e.RenameOrganization(0, "renamed") },
		"delete organization": func() { e.DeleteOrganization(2) },
		"create network":      func() { e.CreateNetwork(0, "new", []string{"switch"}) },
		"rename network":      func() { e.RenameNetwork(1, "renamed") },
		"delete network":      func() { e.DeleteNetwork(1) },
		"move network":        func() { e.MoveNetwork(2, 1) },
		"rename device":       func() { e.RenameDevice(3, "renamed") },
		"place device":        func() { e.PlaceDevice(3, 0, 2) },
		"release device":      func() { e.ReleaseDevice(4) },
	}
	for _, earlier := range []bool{false, true} {
		if earlier {
			e.MoveNetwork(5, 0)
			e.PlaceDevice(7, 0, 0)
			e.RenameNetwork(1, "earlier")
			e.CreateNetwork(1, "earlier", nil)
		}
		for name, change := range changes {
			before := everything(e)
			restore := e.Snapshot()
			change()
			if everything(e) == before {
				t.Errorf("%s changes nothing", name)
			}
			restore()
			if after := everything(e); after != before {
				t.Errorf("%s is not taken back:\n%s\n%s", name, before, after)
			}
		}
	}
	e.Reset()
	if everything(e) != everything(New(Layout{Orgs: 3, Nets: 4, Devs: 5})) {
		t.Error("the reset left something")
	}
}
