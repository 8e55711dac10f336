package broker

import (
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

func TestPreload(t *testing.T) {
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		switch {
		case r.Path == "/organizations/1/networks" && !strings.Contains(r.Query, "startingAfter"):
			a := ok(`[{"id":"N_1","organizationId":"1","productTypes":[]}]`)
			a.Next = &dashboard.Link{Path: r.Path, Query: "perPage=5000&startingAfter=N_1"}
			return a
		case r.Path == "/organizations/1/networks":
			return ok(`[{"id":"N_2","organizationId":"1","productTypes":[]}]`)
		case r.Path == "/organizations/1/configTemplates":
			return ok(`[{"id":"T_1","productTypes":[]}]`)
		case r.Path == "/organizations/1/inventory/devices":
			return ok(`[{"serial":"Q1","networkId":"N_2"},{"serial":"Q2"}]`)
		case strings.HasPrefix(r.Path, "/organizations/"):
			return status(403)
		}
		return ok("[]")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		err := b.Preload(t.Context(), testKey, "2", "1")
		if f := fault.As(err); f == nil || f.Kind != fault.Forbidden {
			t.Errorf("an organization that is not to be had: %v", err)
		}
		if err := b.Preload(t.Context(), testKey, "1"); err != nil {
			t.Error(err)
		}
		before := d.count()
		for _, c := range []*Call{network("N_1", 0), network("N_2", 0), network("T_1", 0), device("Q1", 0), device("Q2", 0)} {
			a, err := b.Do(t.Context(), c)
			if err != nil || a.Organization != "1" {
				t.Errorf("%s: %+v, %v", c.ID, a, err)
			}
		}
		if n := d.count() - before; n != 5 {
			t.Errorf("%d requests for 5 calls whose owners were preloaded", n)
		}
	})
}

// TestPreloadOfAll: "*" is every organization that the key sees, and a page that
// names itself as the next one is the last.
func TestPreloadOfAll(t *testing.T) {
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		a := ok("[]")
		switch r.Path {
		case "/organizations":
			a = ok(`[{"id":"1","name":"one"},{"id":"2","name":"two"}]`)
		case "/organizations/2/networks":
			a = ok(`[{"id":"N_2","organizationId":"2","productTypes":[]}]`)
		}
		a.Next = &dashboard.Link{Path: r.Path, Query: r.Query}
		return a
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if err := b.Preload(t.Context(), testKey, "*"); err != nil {
			t.Fatal(err)
		}
		if n := d.count(); n != 7 {
			t.Errorf("%d requests for two organizations of three lists each, and the list of them", n)
		}
		if a, err := b.Do(t.Context(), network("N_2", 0)); err != nil || a.Organization != "2" || d.count() != 8 {
			t.Errorf("%+v, %v after %d requests", a, err, d.count())
		}
	})
}

// TestNothingIsListedWithoutAKey for the organization, however often it is looked up.
func TestNothingIsListedWithoutAKey(t *testing.T) {
	for _, has := range []bool{true, false} {
		d := &fakeDashboard{answer: world(map[string]string{"N_1": "1"})}
		inBubble(t, d, func(t *testing.T, b *Broker) {
			if _, err := b.Do(t.Context(), network("N_1", 0)); err != nil {
				t.Fatal(err)
			}
			_ = pause(t.Context(), 5*time.Second)
			if n := d.count("/organizations/1/networks"); (n > 0) != has {
				t.Errorf("listed %d times; there is a key: %t", n, has)
			}
		}, func(c *Config) {
			c.Owners.PrefetchAfter = 1
			c.KeyFor = func(string) (dashboard.Key, bool) { return testKey, has }
		})
	}
}
