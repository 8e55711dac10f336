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
)

// world answers look-ups: network N_x belongs to the organization that the map
// names, device Q-x stands in network N_x.
func world(organizations map[string]string) func(*dashboard.Request) *dashboard.Result {
	return func(r *dashboard.Request) *dashboard.Result {
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
	d := &fakeDashboard{delay: 50 * time.Millisecond, answer: func(r *dashboard.Request) *dashboard.Result {
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
	d := &fakeDashboard{delay: 50 * time.Millisecond, answer: func(r *dashboard.Request) *dashboard.Result {
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
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		if r.Key.ID() == bad.ID() {
			return status(401)
		}
		return owners(r)
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		settled := func(id string, keys ...dashboard.Key) *Call {
			c := network(id, 0)
			c.Candidates = func() []dashboard.Key { return keys }
			c.Settle = func(string, []string) (dashboard.Key, error) { return testKey, nil }
			return c
		}
		if f := do(t, b, time.Minute, settled("N_1", bad, testKey))[0]; f != nil {
			t.Errorf("a network of the good key: %v", f)
		}
		if f := do(t, b, time.Minute, settled("N_2", bad, testKey))[0]; f == nil || f.Kind != fault.KeyRejected || f.Operation != "getNetworkClients" {
			t.Errorf("a network that may be of the bad key's: %v", f)
		}
		refused := settled("N_1", testKey)
		refused.Settle = func(string, []string) (dashboard.Key, error) {
			return dashboard.Key{}, &fault.Error{Kind: fault.CallerNotAllowed}
		}
		if f := do(t, b, time.Minute, refused)[0]; f == nil || f.Kind != fault.CallerNotAllowed || f.Operation != "getNetworkClients" {
			t.Errorf("a call that the rules refuse: %+v", f)
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
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { return status(401) }}
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

func TestMovesAndGonesAreNoticed(t *testing.T) {
	owner := map[string]string{"N_1": "1"}
	answer := world(owner)
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
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

// TestMostLookUpsOfACall: what a call names is looked up as far as it may spend that much, and what
// is known counts for nothing.
func TestMostLookUpsOfACall(t *testing.T) {
	owners := map[string]string{}
	for i := range 60 {
		owners[fmt.Sprint("N_", i)] = "1"
	}
	inBubble(t, &fakeDashboard{answer: world(owners)}, func(t *testing.T, b *Broker) {
		naming := func(from, to int) *Call {
			c := read("1", from)
			for i := from; i < to; i++ {
				c.Named = append(c.Named, Named{Scope: apiv1.Scope_SCOPE_NETWORK, ID: fmt.Sprint("N_", i)})
			}
			c.Settle = func(_ string, named []string) (dashboard.Key, error) {
				for i, o := range named {
					if o != "1" {
						t.Errorf("%s is of %q", c.Named[i].ID, o)
					}
				}
				return testKey, nil
			}
			return c
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := b.Do(ctx, naming(0, mostLookUps)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Do(ctx, naming(0, 2*mostLookUps)); err != nil {
			t.Errorf("half of them are known: %v", err)
		}
		_, err := b.Do(ctx, naming(2*mostLookUps-1, 3*mostLookUps+1))
		if f := fault.As(err); f == nil || f.Kind != fault.CallerNotAllowed || f.Reason != "NAMES_NOT_CHECKED" {
			t.Errorf("more than may be looked up: %v", err)
		}
	})
}

// A hangingDashboard never answers look-ups.
type hangingDashboard struct{ *fakeDashboard }

func (d hangingDashboard) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	a := d.fakeDashboard.Attempt(ctx, r)
	if r.Operation == askNetwork.Id {
		err := pause(ctx, time.Hour)
		return &dashboard.Result{Outcome: fault.Timeout, Start: a.Start, Duration: time.Since(a.Start), MaybeExecuted: true, Err: err}
	}
	return a
}

// TestALookUpThatHangs takes the time of one call, and not of those after it.
func TestALookUpThatHangs(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		b.config.Dashboard = hangingDashboard{d}
		if f := do(t, b, 10*time.Second, network("N_1", 0))[0]; f == nil || f.Kind != fault.DeadlineExceeded {
			t.Errorf("the first call: %v", f)
		}
		for i := range 3 {
			if f := do(t, b, 10*time.Second, network("N_1", 1+i))[0]; f != nil {
				t.Errorf("a call after it: %v", f)
			}
		}
	})
}
