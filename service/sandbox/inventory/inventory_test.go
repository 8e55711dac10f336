package inventory

import "testing"

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
