package broker

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

// world answers look-ups: network N_x belongs to the organization that the map
// names, device Q-x stands in network N_x.
func world(organizations map[string]string) func(*dashboard.Request) *dashboard.Answer {
	return func(r *dashboard.Request) *dashboard.Answer {
		part := strings.Split(strings.TrimPrefix(r.Path, "/"), "/")
		if len(part) != 2 {
			return ok("[]")
		}
		switch {
		case part[0] == "networks" && organizations[part[1]] != "":
			return ok(fmt.Sprintf(`{"id":%q,"organizationId":%q,"productTypes":["switch"]}`, part[1], organizations[part[1]]))
		case part[0] == "devices" && strings.HasPrefix(part[1], "Q-"):
			return ok(fmt.Sprintf(`{"serial":%q,"networkId":"N_%s"}`, part[1], part[1][2:]))
		case part[0] == "devices" && strings.HasPrefix(part[1], "X-"):
			return ok(fmt.Sprintf(`{"serial":%q,"networkId":null}`, part[1]))
		}
		return status(404)
	}
}

func TestOwnerIsLookedUpOnceForAll(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond, answer: world(map[string]string{"N_1": "1"})}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 5 {
			calls = append(calls, network("N_1", i), device("Q-1", i))
		}
		for _, f := range do(t, b, 20*time.Second, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if n := d.count("/networks/N_1"); n != 1 {
			t.Errorf("the network was looked up %d times", n)
		}
		if n := d.count("/devices/Q-1"); n != 1 {
			t.Errorf("the device was looked up %d times", n)
		}
		// Look-ups and calls, all of them, are in the organization's account.
		if s := b.Budget("1"); s.Attempts != 10 {
			t.Errorf("%d attempts in the organization's lane", s.Attempts)
		}
		bucketCheck(t, d.times, 10, 9)
	})
}

func TestLookUpsPay(t *testing.T) {
	// Twenty networks of one organization, unknown: their look-ups go at the
	// cautious rate, and the organization pays for them afterwards.
	owners := make(map[string]string)
	for i := range 20 {
		owners[fmt.Sprint("N_", i)] = "1"
	}
	d := &fakeDashboard{answer: world(owners)}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 20 {
			calls = append(calls, network(fmt.Sprint("N_", i), 0))
			calls[i].Priority = 2
		}
		begun := time.Now()
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(begun); took < 19*time.Second {
			t.Errorf("20 look-ups at 1 a second took %v", took)
		}
		bucketCheck(t, d.times, 10, 8)
	})
}

func TestManyLookUpsBecomeOneList(t *testing.T) {
	owners := make(map[string]string)
	var rows []string
	for i := range 50 {
		id := fmt.Sprint("N_", i)
		owners[id] = "1"
		rows = append(rows, fmt.Sprintf(`{"id":%q,"organizationId":"1","productTypes":[]}`, id))
	}
	one := world(owners)
	d := &fakeDashboard{delay: 50 * time.Millisecond, answer: func(r *dashboard.Request) *dashboard.Answer {
		if r.Path == "/organizations/1/networks" {
			return ok("[" + strings.Join(rows, ",") + "]")
		}
		return one(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 50 {
			calls = append(calls, network(fmt.Sprint("N_", i), 0))
			calls[i].Priority = 2
		}
		begun := time.Now()
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("50 calls on 50 unknown networks took %v", took)
		}
		if n := d.count("/organizations/1/networks"); n != 1 {
			t.Errorf("listed %d times", n)
		}
		bucketCheck(t, d.times, 10, 8)
	}, func(c *Config) { c.Owners.PrefetchAfter = 3 })
}

func TestManyUnknownDevices(t *testing.T) {
	// Twenty devices in twenty networks, all unknown, called at once at normal
	// priority: a few look-ups, then one list, and nobody is refused.
	owners := make(map[string]string)
	var rows []string
	var calls []*Call
	for i := range 20 {
		owners[fmt.Sprint("N_", i)] = "1"
		rows = append(rows, fmt.Sprintf(`{"serial":"Q-%d","networkId":"N_%d"}`, i, i))
		calls = append(calls, device(fmt.Sprint("Q-", i), 0))
	}
	one := world(owners)
	d := &fakeDashboard{delay: 50 * time.Millisecond, answer: func(r *dashboard.Request) *dashboard.Answer {
		if r.Path == "/organizations/1/inventory/devices" {
			return ok("[" + strings.Join(rows, ",") + "]")
		}
		return one(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("took %v", took)
		}
		if n := d.count("/organizations/1/inventory/devices"); n != 1 {
			t.Errorf("listed %d times", n)
		}
		bucketCheck(t, d.times, 10, 9)
	}, func(c *Config) { c.Owners.PrefetchAfter = 3 })
}

// TestLookUpAsksForTheIDAlone: an id that is no id leads to no other operation.
func TestLookUpAsksForTheIDAlone(t *testing.T) {
	d := &fakeDashboard{answer: world(nil)}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		c := network("N_1/clients?x", 0)
		c.Path = "/networks/N_1%2Fclients%3Fx/clients"
		do(t, b, time.Minute, c)
		if d.count("/networks/N_1%2Fclients%3Fx") != 1 || d.count() != 2 {
			t.Errorf("asked for %+v", d.requests)
		}
	})
}

// TestOneKeyOfSeveralIsRejected: it hides only the organizations that it serves.
func TestOneKeyOfSeveralIsRejected(t *testing.T) {
	bad := dashboard.NewKey("ffffffffffffffffffffffffffffffffffffffff")
	owners := world(map[string]string{"N_1": "1"})
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
		if r.Key.ID() == bad.ID() {
			return status(401)
		}
		return owners(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		settled := func(id string, keys ...dashboard.Key) *Call {
			c := network(id, 0)
			c.Candidates = func() []dashboard.Key { return keys }
			c.Settle = func(string) (dashboard.Key, error) { return testKey, nil }
			return c
		}
		if f := do(t, b, time.Minute, settled("N_1", bad, testKey))[0]; f != nil {
			t.Errorf("a network of the good key: %v", f)
		}
		if f := do(t, b, time.Minute, settled("N_2", bad, testKey))[0]; f == nil || f.Kind != fault.KeyRejected {
			t.Errorf("a network that may be of the bad key's: %v", f)
		}
	})
}

func TestUnknownOwners(t *testing.T) {
	d := &fakeDashboard{answer: world(nil)}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		// The network is not to be had, but calls on it may be: as with templates.
		for i := range 3 {
			if _, err := b.Do(t.Context(), network("T_1", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n := d.count("/networks/T_1"); n != 1 {
			t.Errorf("asked %d times for what is not there", n)
		}
		// A device that is in no network.
		if _, err := b.Do(t.Context(), device("X-1", 0)); err != nil {
			t.Fatal(err)
		}
		if n := d.count("/devices/X-1"); n != 1 || d.count() != 6 {
			t.Errorf("%d look-ups of the device, %d requests in all", n, d.count())
		}
		bucketCheck(t, d.times, 1, 1)
		// After a while it is asked again.
		if err := pause(t.Context(), 31*time.Second); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Do(t.Context(), network("T_1", 9)); err != nil {
			t.Fatal(err)
		}
		if n := d.count("/networks/T_1"); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
}

func TestFailedLookUpFailsTheCall(t *testing.T) {
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Answer { return status(401) }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		f := do(t, b, 20*time.Second, network("N_1", 0))[0]
		if f == nil || f.Kind != fault.KeyRejected || f.Operation != "getNetworkClients" || d.count() != 1 {
			t.Errorf("%+v after %d requests", f, d.count())
		}
	})
}

func TestWaiterWhoLeavesDoesNotEndTheLookUp(t *testing.T) {
	d := &fakeDashboard{delay: 2 * time.Second, answer: world(map[string]string{"N_1": "1"})}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.Do(ctx, network("N_1", 0)); fault.As(err).Kind != fault.Cancelled {
				t.Errorf("the one who left: %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := b.Do(t.Context(), network("N_1", 1)); err != nil {
				t.Errorf("the one who stayed: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if n := d.count("/networks/N_1"); n != 1 {
			t.Errorf("looked up %d times", n)
		}
	})
}

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
			d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
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
					c.Settle = func(organization string) (dashboard.Key, error) {
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
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
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
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
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
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
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
		c.Settle = func(string) (dashboard.Key, error) { t.Error("asked"); return testKey, nil }
		if _, err := b.Do(t.Context(), c); fault.As(err) == nil || fault.As(err).Kind != fault.Unreachable {
			t.Errorf("a call under a rule: %v", err)
		}
		bucketCheck(t, d.times, 1, 1)
	})
}

// TestTemplatesAreLearnedOnAMiss: an id that is no network's may be a template's, which
// only the lists of templates name.
func TestTemplatesAreLearnedOnAMiss(t *testing.T) {
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
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

func TestMovesAndGonesAreNoticed(t *testing.T) {
	owner := map[string]string{"N_1": "1"}
	answer := world(owner)
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Answer {
		if r.Path == "/networks/N_1/clients" && r.Query == "n=404" {
			return status(404)
		}
		return answer(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ask := func(n int) string {
			a, err := b.Do(t.Context(), network("N_1", n))
			if err != nil {
				return fault.As(err).Kind.String()
			}
			return a.Organization
		}
		if got := ask(0); got != "1" {
			t.Fatal(got)
		}
		move := write(apiv1.Verb_VERB_POST, "1")
		move.Operation.Id, move.Path, move.Body = "createNetworkMove", "/organizations/1/networks/moves", []byte(`{"networkIds":["N_1"]}`)
		owner["N_1"] = "2"
		if _, err := b.Do(t.Context(), move); err != nil {
			t.Fatal(err)
		}
		if got := ask(1); got != "2" {
			t.Errorf("after the move: %s", got)
		}
		owner["N_1"] = "3"
		if got := ask(404); got != "not found" {
			t.Fatal(got)
		}
		if got := ask(2); got != "2" {
			t.Errorf("a 404 a moment after the look-up: %s", got)
		}
		if err := pause(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if got := ask(404); got != "not found" {
			t.Fatal(got)
		}
		if got := ask(3); got != "3" {
			t.Errorf("after a 404: %s", got)
		}
	})
}
