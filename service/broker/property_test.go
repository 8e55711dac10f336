package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
)

// A realDashboard has the buckets that the vendor documents, behind jitter on
// the way: 10 a second with a burst of 10 for an organization, whatever the path
// by which a request reaches it.
type realDashboard struct {
	jitter time.Duration
	owners map[string]string // of networks
	faults int               // percent of 502s

	mu       sync.Mutex
	random   *rand.Rand
	buckets  map[string]*bucketState
	limited  int
	requests int
}

type bucketState struct {
	tokens float64
	last   time.Time
}

func (d *realDashboard) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	start := time.Now()
	d.mu.Lock()
	d.requests++
	there := time.Duration(d.random.Int64N(int64(d.jitter)))
	back := time.Duration(d.random.Int64N(int64(100 * time.Millisecond)))
	broken := d.random.IntN(100) < d.faults
	d.mu.Unlock()
	// What has left arrives, whether or not somebody still waits for it.
	_ = pause(context.WithoutCancel(ctx), there)
	a := d.arrive(r, broken)
	if err := pause(ctx, back); err != nil {
		a = &dashboard.Result{Outcome: fault.Left, MaybeExecuted: true, Err: err}
	}
	a.Start, a.Duration = start, time.Since(start)
	return a
}

func (d *realDashboard) arrive(r *dashboard.Request, broken bool) *dashboard.Result {
	part := strings.Split(r.Path, "/")
	owner := part[2]
	switch part[1] {
	case "networks":
		owner = d.owners[part[2]]
	case "devices":
		owner = d.owners["N_"+part[2]]
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.buckets[owner]
	now := time.Now()
	if b == nil {
		b = &bucketState{tokens: 10, last: now}
		d.buckets[owner] = b
	}
	b.tokens = min(10, b.tokens+10*now.Sub(b.last).Seconds())
	b.last = now
	if b.tokens < 1 {
		d.limited++
		return status(429, "API rate limit exceeded for organization")
	}
	b.tokens--
	switch {
	case broken:
		return status(502)
	case len(part) == 3 && part[1] == "networks":
		return ok(fmt.Sprintf(`{"id":%q,"organizationId":%q,"productTypes":[]}`, part[2], owner))
	case len(part) == 3 && part[1] == "devices":
		return ok(fmt.Sprintf(`{"serial":%q,"networkId":"N_%s"}`, part[2], part[2]))
	}
	return ok("[]")
}

// TestTheDashboardNeverHasToLimit offers calls of every scope at random, more
// than the budget, with owners that have to be looked up, callers that leave and
// faults that are retried. The Dashboard's own buckets must never run dry, every
// call must have exactly one answer, and no slot may be lost.
func TestTheDashboardNeverHasToLimit(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { mixedLoad(t, seed) })
		})
	}
}

func mixedLoad(t *testing.T, seed uint64) {
	plan := rand.New(rand.NewPCG(seed, 1))
	d := &realDashboard{
		jitter: 180 * time.Millisecond, random: rand.New(rand.NewPCG(seed, 2)), faults: int(seed/2) % 3 * 5,
		buckets: make(map[string]*bucketState), owners: make(map[string]string),
	}
	const organizations, networks = 3, 12
	for i := range networks {
		d.owners[fmt.Sprint("N_", i)] = fmt.Sprint(i % organizations)
	}
	b, err := New(Config{Dashboard: d, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}, Owners: owner.Config{PrefetchAfter: int(seed/2)%2*4 - 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	known := seed%2 == 0
	if known {
		var facts []owner.Fact
		for n, o := range d.owners {
			facts = append(facts, owner.Fact{Network: n, Organization: o}, owner.Fact{Serial: n[2:], Network: n})
		}
		b.owners.Learn(time.Now(), facts)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	results := make(map[string]int)
	const calls = 2000
	for i := range calls {
		_ = pause(t.Context(), seconds(plan.ExpFloat64()/50)) // 50 a second for 30/s of budgets
		c := read(fmt.Sprint(plan.IntN(organizations)), i)
		switch plan.IntN(4) {
		case 0:
			c = network(fmt.Sprint("N_", plan.IntN(networks)), i)
		case 1:
			c = device(fmt.Sprint(plan.IntN(networks)), i)
		case 2:
			c = write([]apiv1.Verb{apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_POST, apiv1.Verb_VERB_DELETE}[plan.IntN(3)], fmt.Sprint(plan.IntN(organizations)))
		}
		c.Caller, c.Priority = string(rune('a'+plan.IntN(5))), ratelimit.Priority(plan.IntN(3))
		patience, leaves := time.Duration(plan.IntN(15_000))*time.Millisecond, plan.IntN(5) == 0
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if leaves {
				defer time.AfterFunc(patience/3, cancel).Stop()
			}
			a, err := b.Do(ctx, c)
			kind := "ok"
			if f := fault.As(err); f != nil {
				kind = f.Kind.String()
			}
			if (a == nil) == (err == nil) {
				kind = "both or neither"
			}
			mu.Lock()
			defer mu.Unlock()
			results[kind]++
		})
	}
	wg.Wait()
	synctest.Wait()
	t.Logf("%d requests for %d calls: %v", d.requests, calls, results)
	// A look-up reaches an organization that is not known to own what it is about,
	// and is paid a moment later: where the bucket is used to the full with jitter,
	// that is at most the cautious burst above it.
	if most := map[bool]int{true: 0, false: 6}[known]; d.limited > most {
		t.Errorf("the Dashboard had to limit %d of %d requests", d.limited, d.requests)
	}
	if b.Attempts() != int64(d.requests) || b.Granted() != b.Attempts() {
		t.Errorf("%d requests, %d attempts, %d slots", d.requests, b.Attempts(), b.Granted())
	}
	sum := 0
	for _, n := range results {
		sum += n
	}
	if sum != calls || results["both or neither"] > 0 || results["internal"] > 0 || results["unknown"] > 0 {
		t.Errorf("%d results of %d calls: %v", sum, calls, results)
	}
	for kind, n := range b.Waiting() {
		if n != 0 {
			t.Errorf("%d calls still wait in lanes of kind %s", n, kind)
		}
	}
	// Nothing is held back once all is over: every budget fills up again.
	_ = pause(t.Context(), time.Minute)
	synctest.Wait()
	for _, s := range [...]lane.BudgetState{b.Budget("0"), b.Budget("1"), b.Budget("2"), b.Budget("")} {
		if s.Tokens < s.Burst-0.01 {
			t.Errorf("%s has %.2f of %v tokens a minute later", s.Key, s.Tokens, s.Burst)
		}
	}
	if d.faults == 0 && results["unreachable"] > 0 {
		t.Errorf("%d calls found the Dashboard unreachable without a fault", results["unreachable"])
	}
}

func TestAnOutageDoesNotShutCallsOut(t *testing.T) {
	// The Dashboard takes 20 s for everything, then is well again: calls with 5 s
	// must get through within seconds, not when the estimate has faded.
	d := &fakeDashboard{delay: 20 * time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 8 {
			calls = append(calls, read("1", i))
		}
		do(t, b, time.Minute, calls...)
		if f := do(t, b, 5*time.Second, read("1", 100))[0]; f == nil || f.Kind != fault.DeadlineExceeded {
			t.Fatalf("the probe: %v", f)
		}
		if f := do(t, b, 5*time.Second, read("1", 101), read("1", 102)); f[0] == nil || f[1] == nil {
			t.Fatalf("calls with 5 s while 20 s are usual: %v", f)
		}
		d.mu.Lock()
		d.delay = 50 * time.Millisecond
		d.mu.Unlock()
		well := time.Now()
		for n := 200; ; n++ {
			if do(t, b, 5*time.Second, read("1", n))[0] == nil {
				break
			}
			_ = pause(t.Context(), 100*time.Millisecond)
		}
		if took := time.Since(well); took > 2*time.Second {
			t.Errorf("the first call got through %v after the Dashboard was well", took)
		}
		if f := do(t, b, 5*time.Second, read("1", 999))[0]; f != nil {
			t.Errorf("and the next: %v", f)
		}
	})
}

func TestAProbePassesEveryLane(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		c := read("1", 0)
		c.Operation.Limit = &apiv1.Limit{Requests: 10, Seconds: 1, Burst: 9, Key: "organizationId"}
		for range 10 {
			b.services.observe(c.Operation.GetId(), time.Now(), time.Minute)
		}
		if f := do(t, b, 5*time.Second, c)[0]; f != nil {
			t.Errorf("the probe: %v", f)
		}
	})
}

func TestCloseEndsEverything(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	synctest.Test(t, func(t *testing.T) {
		b := testBroker(t, d)
		var calls []*Call
		for i := range 30 {
			calls = append(calls, read("1", i), network("N_1", i))
		}
		out := make(chan []*fault.Error)
		go func() { out <- do(t, b, time.Hour, calls...) }()
		synctest.Wait()
		begun := time.Now()
		b.Close()
		for _, f := range <-out {
			if f == nil || f.Kind != fault.Draining && f.Kind != fault.Cancelled {
				t.Errorf("%v", f)
			}
		}
		if time.Since(begun) != 0 {
			t.Errorf("closing took %v", time.Since(begun))
		}
	})
}
