package broker

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/owner"
)

func batch(organization string) *Call {
	c := write(apiv1.Verb_VERB_POST, organization)
	c.Operation.Id, c.Path = createBatch, "/organizations/"+organization+"/actionBatches"
	return c
}

// crowdOf wraps an answer so that the most requests under way at once are counted.
type crowdOf struct {
	mu          sync.Mutex
	inside, top int
}

func (c *crowdOf) delay(d *fakeDashboard, each time.Duration, answer string, t *testing.T) {
	d.answer = func(*dashboard.Request) *dashboard.Result {
		c.mu.Lock()
		c.inside++
		c.top = max(c.top, c.inside)
		c.mu.Unlock()
		_ = pause(t.Context(), each)
		c.mu.Lock()
		c.inside--
		c.mu.Unlock()
		return ok(answer)
	}
}

func TestFiveBatchesAtATime(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var crowd crowdOf
		crowd.delay(d, 3*time.Second, "{}", t)
		var calls []*Call
		for range 12 {
			calls = append(calls, batch("1"))
		}
		calls = append(calls, batch("2"))
		begun := time.Now()
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(begun); took < 9*time.Second || took > 10*time.Second {
			t.Errorf("12 batches of 3 s, five at a time, took %v", took)
		}
		if crowd.top != 6 { // five of one organization, one of the other
			t.Errorf("%d under way at once", crowd.top)
		}
		if len(b.gates.m) != 0 {
			t.Errorf("%d gates are left", len(b.gates.m))
		}
	})
}

func TestUnfinishedBatchesCount(t *testing.T) {
	n := 0
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		n++
		return ok(fmt.Sprintf(`{"id":"%d","confirmed":true,"synchronous":false,"status":{"completed":false,"failed":false}}`, n))
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for range 5 {
			if _, err := b.Do(t.Context(), batch("1")); err != nil {
				t.Fatal(err)
			}
		}
		begun := time.Now()
		done := make(chan error)
		go func() { _, err := b.Do(t.Context(), batch("1")); done <- err }()
		synctest.Wait()
		if n != 5 {
			t.Fatalf("%d were sent while five are not finished", n)
		}
		// One of them is seen to be done.
		b.gates.batch(time.Now(), "1", []byte(`[{"id":"3","confirmed":true,"status":{"completed":true}}]`))
		if err := <-done; err != nil || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if _, err := b.Do(t.Context(), batch("1")); err != nil || time.Since(begun) != unfinishedMemory {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// TestWhoLeavesAGatesQueue leaves the others their places in it.
func TestWhoLeavesAGatesQueue(t *testing.T) {
	inBubble(t, &fakeDashboard{delay: 10 * time.Second}, func(t *testing.T, b *Broker) {
		begun := time.Now()
		stays := make(chan []*fault.Error)
		go func() {
			stays <- do(t, b, time.Minute, batch("1"), batch("1"), batch("1"), batch("1"), batch("1"), batch("1"))
		}()
		synctest.Wait()
		if f := do(t, b, time.Second, batch("1"))[0]; f == nil || time.Since(begun) != time.Second {
			t.Errorf("the seventh: %v after %v", f, time.Since(begun))
		}
		for _, f := range <-stays {
			if f != nil {
				t.Error(f)
			}
		}
		if time.Since(begun) != 20*time.Second {
			t.Errorf("six batches of 10 s took %v", time.Since(begun))
		}
	})
}

func TestTooManyBatchesHoldsTheNext(t *testing.T) {
	n := 0
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		if n++; n == 1 {
			return status(400, "Too many concurrently executing batches. Maximum is 5 confirmed but not yet executed batches.")
		}
		return ok("{}")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		out := make(chan time.Duration, 2)
		for range 2 {
			go func() {
				if _, err := b.Do(t.Context(), batch("1")); err != nil {
					t.Error(err)
				}
				out <- time.Since(begun)
			}()
			synctest.Wait()
		}
		first, second := <-out, <-out
		if first < 2*time.Second || second < 15*time.Second {
			t.Errorf("done after %v and %v: one was refused at once, the other came after it", first, second)
		}
		if s := b.Budget("1"); s.Rate != 10 {
			t.Errorf("the organization's rate is %v", s.Rate)
		}
	})
}

func TestNetworksAreDeletedOneAtATime(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var crowd crowdOf
		crowd.delay(d, time.Second, "", t)
		var facts []owner.Fact
		var calls []*Call
		for i := range 4 {
			id := fmt.Sprint("N_", i)
			facts = append(facts, owner.Fact{Network: id, Organization: "1"})
			c := network(id, 0)
			c.Operation, c.Path = operation(deleteNetwork, apiv1.Verb_VERB_DELETE, apiv1.Scope_SCOPE_NETWORK), "/networks/"+id
			calls = append(calls, c)
		}
		b.owners.Learn(time.Now(), facts)
		begun := time.Now()
		// Three make it or are on their way; the last still waits when its time is over.
		late := 0
		for _, f := range do(t, b, 2900*time.Millisecond, calls...) {
			if f != nil {
				late++
			}
		}
		if took := time.Since(begun); crowd.top != 1 || late != 1 || took != 3*time.Second {
			t.Errorf("%d at once, %d late, %v", crowd.top, late, took)
		}
	})
}

func TestDrainEmptiesGates(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		out := make(chan []*fault.Error)
		calls := []*Call{batch("1"), batch("1"), batch("1"), batch("1"), batch("1"), batch("1")}
		go func() { out <- do(t, b, time.Minute, calls...) }()
		synctest.Wait()
		b.Drain()
		refused := 0
		for _, f := range <-out {
			if f != nil && f.Kind == fault.Draining {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d of 6 refused, want the one that waited", refused)
		}
	})
}

// TestWhatAGateSaysOfItsLimit: one at a time, or a few.
func TestWhatAGateSaysOfItsLimit(t *testing.T) {
	remove := write(apiv1.Verb_VERB_DELETE, "1")
	remove.Operation.Id = deleteNetwork
	for want, c := range map[string]*Call{"may have one at a time": remove, "may have only a few at a time": batch("1")} {
		inBubble(t, &fakeDashboard{delay: 30 * time.Second}, func(t *testing.T, b *Broker) {
			said := ""
			for _, f := range do(t, b, 10*time.Second, c, c, c, c, c, c) {
				if f != nil && strings.Contains(f.Detail, "may have") {
					said = f.Detail
				}
			}
			if !strings.Contains(said, want) {
				t.Errorf("%q; want %q", said, want)
			}
		})
	}
}

// TestABatchOfAnotherApplication counts from the first answer that tells of it.
func TestABatchOfAnotherApplication(t *testing.T) {
	t.Parallel()
	g := gates{batches: 1}
	now := time.Now()
	g.batch(now, "1", []byte(`[{"id":"x","confirmed":true,"status":{}}]`))
	e := g.m[gateKey{"1", createBatch}]
	if e == nil || e.open(now) <= 0 || e.open(now.Add(unfinishedMemory)) != 0 {
		t.Errorf("%+v", e)
	}
}

// TestABatchThatEndsIsAWrite: what was read while it was under way is not given after it
// is known to have ended.
func TestABatchThatEndsIsAWrite(t *testing.T) {
	for name, c := range map[string]struct{ path, open, ended string }{
		"by its id":  {"/organizations/1/actionBatches/7", `{"id":"7","confirmed":true,"status":{}}`, `{"id":"7","confirmed":true,"status":{"completed":true}}`},
		"in a list":  {"/organizations/1/actionBatches", `[{"id":"7","confirmed":true,"status":{}}]`, `[{"id":"7","confirmed":true,"status":{"completed":true}}]`},
		"and failed": {"/organizations/1/actionBatches/7", `{"id":"7","confirmed":true,"status":{}}`, `{"id":"7","confirmed":true,"status":{"failed":true}}`},
	} {
		said := c.open
		d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
			if strings.Contains(r.Path, "actionBatches") {
				return ok(said)
			}
			return ok("{}")
		}}
		inBubble(t, d, func(t *testing.T, b *Broker) {
			look := read("1", 0)
			look.Operation, look.Path, look.Query = operation("getOrganizationActionBatches", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_ORGANIZATION), c.path, ""
			other := read("1", 1)
			other.MaxAge = time.Hour
			for _, want := range []struct{ said, cache string }{{c.open, CacheMiss}, {c.open, CacheHit}, {c.ended, CacheMiss}} {
				said = want.said
				if _, err := b.Do(t.Context(), look); err != nil {
					t.Fatal(err)
				}
				_ = pause(t.Context(), time.Second)
				if a, err := b.Do(t.Context(), other); err != nil || a.Cache != want.cache {
					t.Errorf("%s, %s: %v, %v; want %s", name, said, a.Cache, err, want.cache)
				}
				_ = pause(t.Context(), time.Second)
			}
		})
	}
}
