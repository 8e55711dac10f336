package broker

import (
	"errors"
	"sync"
	"testing"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

// TestAHintSteersTheBudgetAlone: it says who pays for the one call, until an answer
// contradicts it. Nothing else is done in its name.
func TestAHintSteersTheBudgetAlone(t *testing.T) {
	d := &fakeDashboard{answer: world(map[string]string{"N_1": "1"})}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		hinted := func(n int) *Call {
			c := network("N_1", n)
			c.Organization = "2"
			return c
		}
		a, err := b.Do(t.Context(), hinted(0))
		if err != nil || a.Organization != "" || d.count() != 1 || b.Budget("2").Attempts != 1 {
			t.Fatalf("%+v, %v, %d requests, %d of the hint's budget", a, err, d.count(), b.Budget("2").Attempts)
		}
		if list := b.Record().List(record.AttemptFilter{Organization: "2"}); len(list) != 0 {
			t.Errorf("on record for the hint: %+v", list)
		}
		c := network("N_1", 0)
		c.Operation, c.Path, c.Query, c.Organization = askNetwork, "/networks/N_1", "", "2"
		if a, err = b.Do(t.Context(), c); err != nil || a.Organization != "1" {
			t.Fatalf("%+v, %v", a, err)
		}
		if a, err = b.Do(t.Context(), hinted(1)); err != nil || a.Organization != "1" {
			t.Fatalf("after the contradiction: %+v, %v", a, err)
		}
		if s := b.Budget("1"); s.Burst-s.Tokens < 1.9 {
			t.Errorf("the owner has paid for %v of the two attempts that are known to be its", s.Burst-s.Tokens)
		}
	})
}

// TestNoAssumptionBecomesAFact: whatever a caller says or the broker believes, an
// answer that names no organization teaches none, and rules are asked for the true one.
func TestNoAssumptionBecomesAFact(t *testing.T) {
	id := func(op string, scope apiv1.Scope, path, id string) *Call {
		return &Call{Operation: operation(op, apiv1.Verb_VERB_GET, scope), Caller: "a", Key: testKey, Path: path, ID: id, Organization: "A"}
	}
	for name, teach := range map[string]*Call{
		"a device":                             id("getDevice", apiv1.Scope_SCOPE_DEVICE, "/devices/Q-1", "Q-1"),
		"a network's devices":                  id("getNetworkDevices", apiv1.Scope_SCOPE_NETWORK, "/networks/N_1/devices", "N_1"),
		"a device in a network":                id("updateDevice", apiv1.Scope_SCOPE_DEVICE, "/devices/Q-1", "Q-1"),
		"a network that names no organization": id("getNetwork", apiv1.Scope_SCOPE_NETWORK, "/networks/N_1", "N_1"),
	} {
		t.Run(name, func(t *testing.T) {
			silent := true
			truth := world(map[string]string{"N_1": "B"})
			d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
				switch {
				case r.Path == "/networks/N_1/devices":
					return ok(`[{"serial":"Q-1","networkId":"N_1"}]`)
				case r.Path == "/networks/N_1" && silent:
					return ok(`{"id":"N_1","productTypes":["switch"]}`)
				}
				return truth(r)
			}}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				if _, err := b.Do(t.Context(), teach); err != nil {
					t.Fatal(err)
				}
				silent = false
				for _, c := range []*Call{device("Q-1", 1), network("N_1", 1)} {
					c.Organization = "A" // the caller's rule is for A alone
					asked := "?"
					c.Settle = func(organization string, _ []string) (dashboard.Key, error) {
						asked = organization
						return testKey, nil
					}
					if _, err := b.Do(t.Context(), c); err != nil || asked != "B" {
						t.Errorf("%s: the rule was asked for %q, %v", c.Path, asked, err)
					}
				}
			})
		})
	}
}

// TestTheAgeOfAnOwner: reading a network's devices every hour does not make what was
// once looked up of the network true for ever.
func TestTheAgeOfAnOwner(t *testing.T) {
	owners := map[string]string{"N_1": "1"}
	truth := world(owners)
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		if r.Path == "/networks/N_1/devices" {
			return ok(`[{"serial":"Q-1","networkId":"N_1"}]`)
		}
		return truth(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for hour := range 26 {
			c := network("N_1", hour)
			c.Operation, c.Path = operation("getNetworkDevices", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_NETWORK), "/networks/N_1/devices"
			a, err := b.Do(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]string{true: "1", false: "2"}[hour < 25]; a.Organization != want {
				t.Errorf("after %d hours: %q, want %q", hour, a.Organization, want)
			}
			owners["N_1"] = "2" // moved by another application
			_ = pause(t.Context(), time.Hour)
		}
	})
}

// TestAHintReachesNothingShared: a write under a wrong hint is seen by reads of the
// true owner, and no shard is learned for the hint's organization.
func TestAHintReachesNothingShared(t *testing.T) {
	moved := false
	truth := world(map[string]string{"N_1": "B"})
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		if moved && r.Host == "" {
			a := status(307)
			a.Outcome, a.Location = fault.Redirect, &dashboard.Target{Host: "https://n9.meraki.com", Path: r.Path, Query: r.Query}
			return a
		}
		a := truth(r)
		a.Host = r.Host
		return a
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		kept := func() string {
			c := network("N_1", 0)
			c.MaxAge = time.Hour
			a, err := b.Do(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			return a.Cache
		}
		kept()
		if got := kept(); got != CacheHit {
			t.Fatal(got)
		}
		b.owners.Doubt(time.Now().Add(time.Hour), "N_1") // its owner is not known any more
		c := network("N_1", 0)
		c.Operation, c.Organization = operation("updateNetworkThing", apiv1.Verb_VERB_PUT, apiv1.Scope_SCOPE_NETWORK), "A"
		_ = pause(t.Context(), time.Second)
		if _, err := b.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_ = pause(t.Context(), time.Second)
		if got := kept(); got != CacheMiss {
			t.Errorf("after a write under a wrong hint: %s", got)
		}
		b.owners.Doubt(time.Now().Add(time.Hour), "N_1")
		moved = true
		c = network("N_1", 7)
		c.Organization = "A"
		if _, err := b.Do(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if host := b.owners.Shards.Find("A"); host != "" {
			t.Errorf("the hint's organization is asked at %s from now on", host)
		}
	})
}

// TestFailingLookUpsFallBack: where the Dashboard fails to tell the owner, the call
// goes through the cautious lane; the next ones do not wait for the look-up.
func TestFailingLookUpsFallBack(t *testing.T) {
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		if r.Path == "/networks/N_1" {
			return status(503)
		}
		return ok("[]")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if _, err := b.Do(t.Context(), network("N_1", 0)); err != nil {
			t.Fatalf("the call failed with its look-up: %v", err)
		}
		asked := d.count("/networks/N_1")
		if _, err := b.Do(t.Context(), network("N_1", 1)); err != nil || d.count("/networks/N_1") != asked {
			t.Errorf("%v, looked up %d times more", err, d.count("/networks/N_1")-asked)
		}
		if b.Budget("").Attempts != int64(d.count()) {
			t.Error("an attempt did not pay the address")
		}
		// A rule is not asked on a guess: who may not have everything is told to come again.
		c := network("N_1", 2)
		c.Settle = func(string, []string) (dashboard.Key, error) { t.Error("asked"); return testKey, nil }
		if _, err := b.Do(t.Context(), c); fault.As(err) == nil || fault.As(err).Kind != fault.Unreachable {
			t.Errorf("a call under a rule: %v", err)
		}
		bucketCheck(t, d.times, 1, 1)
	})
}

// TestTemplatesAreLearnedOnAMiss: an id that is no network's may be a template's, which
// only the lists of templates name.
func TestTemplatesAreLearnedOnAMiss(t *testing.T) {
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		switch r.Path {
		case "/networks/L_1":
			return status(404)
		case "/organizations":
			return ok(`[{"id":"1"},{"id":"2"}]`)
		case "/organizations/2/configTemplates":
			return ok(`[{"id":"L_1","productTypes":["switch"]}]`)
		}
		return ok("[]")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if a, err := b.Do(t.Context(), network("L_1", 0)); err != nil {
			t.Fatalf("%+v, %v", a, err)
		}
		_ = pause(t.Context(), 5*time.Second)
		if a, err := b.Do(t.Context(), network("L_1", 1)); err != nil || a.Organization != "2" {
			t.Errorf("%+v, %v", a, err)
		}
		if n := d.count("/organizations"); n != 1 {
			t.Errorf("organizations were listed %d times", n)
		}
	}, func(c *Config) { c.Owners.PrefetchAfter = 3 })
}

// TestTemplatesAreListedWithTheKeyOfTheirOrganization: the key at hand may see an
// organization that it is not there for.
func TestTemplatesAreListedWithTheKeyOfTheirOrganization(t *testing.T) {
	var mu sync.Mutex
	keys := make(map[string]string)
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		mu.Lock()
		defer mu.Unlock()
		keys[r.Path] = r.Key.ID()
		switch r.Path {
		case "/networks/L_1":
			return status(404)
		case "/organizations":
			return ok(`[{"id":"1"},{"id":"2"},{"id":"3"}]`)
		}
		return ok("[]")
	}}
	second := dashboard.NewKey("second")
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if _, err := b.Do(t.Context(), network("L_1", 0)); err != nil {
			t.Fatal(err)
		}
		_ = pause(t.Context(), 5*time.Second)
		for o, want := range map[string]string{"1": testKey.ID(), "2": second.ID(), "3": ""} {
			if got := keys["/organizations/"+o+"/configTemplates"]; got != want {
				t.Errorf("organization %s: the key %q; want %q", o, got, want)
			}
		}
	}, func(c *Config) {
		c.Owners.PrefetchAfter = 3
		c.KeyFor = func(organization string) (dashboard.Key, bool) {
			key, ok := map[string]dashboard.Key{"1": testKey, "2": second}[organization]
			return key, ok
		}
	})
}

// TestALookUpThatFails in whatever way: the call goes on, unless it would meet the same.
func TestALookUpThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer dashboard.Result
		kind   fault.Kind // the call's; Unknown where it goes on
	}{
		"400":        {*status(400), fault.Unknown},
		"401":        {*status(401), fault.KeyRejected},
		"403":        {*status(403), fault.Unknown},
		"404":        {*status(404), fault.Unknown},
		"409":        {*status(409), fault.Unknown},
		"422":        {*status(422), fault.Unknown},
		"500":        {*status(500), fault.Unknown},
		"501":        {*status(501), fault.Unknown},
		"504":        {*status(504), fault.Unknown},
		"a redirect": {dashboard.Result{Outcome: fault.Redirect, Status: 302, Refusal: "leads to a host outside of the vendor's domains"}, fault.Unknown},
		"HTML":       {dashboard.Result{Outcome: fault.Garbled, Status: 200, Err: errors.New("a 2xx whose body is not JSON")}, fault.Unknown},
		"too large":  {dashboard.Result{Outcome: fault.Garbled, Status: 200, Err: dashboard.ErrTooLarge}, fault.Unknown},
		"no answer":  {dashboard.Result{Outcome: fault.Reset, MaybeExecuted: true}, fault.Unknown},
		"too slow":   {dashboard.Result{Outcome: fault.Timeout, MaybeExecuted: true}, fault.Unknown},
		"{}":         {*ok("{}"), fault.Unknown},
		"nothing":    {dashboard.Result{Outcome: fault.OK, Status: 204}, fault.Unknown},
	} {
		d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
			if r.Path == "/networks/N_1" {
				a := c.answer
				return &a
			}
			return ok("[]")
		}}
		inBubble(t, d, func(t *testing.T, b *Broker) {
			f := do(t, b, time.Minute, network("N_1", 0))[0]
			if c.kind == fault.Unknown && f != nil || c.kind != fault.Unknown && (f == nil || f.Kind != c.kind) {
				t.Errorf("%s: %v", name, f)
			}
		})
	}
}
