package broker

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A sharedStore stands for the store of three replicas: one fair queue over what
// waits at all of them. A slot that falls to another replica lies ready for its
// next pull.
type sharedStore struct {
	*ratelimit.Local
	mu      sync.Mutex
	waiting [3][]ratelimit.Waiting
	ready   [3][]ratelimit.Class
	turn    int
	trips   int
}

// pull grants what is due to all replicas, and returns the part of one of them.
func (s *sharedStore) pull(ctx context.Context, replica int, ask ratelimit.Ask) (ratelimit.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trips++
	s.waiting[replica] = slices.Clone(ask.Waiting)
	// A slot that lies ready for a call which has left is given back.
	ready := s.ready[replica]
	s.ready[replica] = nil
	for _, class := range ready {
		if !s.hand(replica, class) {
			s.Refund(ctx, time.Now(), ask.Budget, 1, time.Now())
		}
	}
	all := ask
	all.Waiting, all.Most = nil, 0
	for _, waiting := range s.waiting {
		for _, w := range waiting {
			i := slices.IndexFunc(all.Waiting, func(x ratelimit.Waiting) bool { return x.Class == w.Class })
			if i < 0 {
				all.Waiting = append(all.Waiting, w)
			} else {
				all.Waiting[i].Count += w.Count
			}
		}
	}
	g, err := s.Local.Pull(ctx, time.Now(), all)
	for _, class := range g.Classes {
		for s.turn++; !s.hand(s.turn%3, class); s.turn++ {
		}
	}
	g.Classes, s.ready[replica] = s.ready[replica], nil
	if ask.Most > 0 && len(g.Classes) > ask.Most {
		g.Classes, s.ready[replica] = g.Classes[:ask.Most], g.Classes[ask.Most:]
		g.Again = 0
	}
	if !s.waits(replica) {
		g.Again = -1
	} else if g.Again > 0 {
		// The slots of the others come first.
		for other := range s.waiting {
			if other != replica && s.waits(other) {
				g.Again += seconds(1 / g.State.Rate)
			}
		}
	}
	return g, err
}

// waits tells whether calls wait at a replica.
func (s *sharedStore) waits(replica int) bool {
	return slices.ContainsFunc(s.waiting[replica], func(w ratelimit.Waiting) bool { return w.Count > 0 })
}

// hand lays a slot ready for a replica at which its class waits.
func (s *sharedStore) hand(replica int, class ratelimit.Class) bool {
	i := slices.IndexFunc(s.waiting[replica], func(w ratelimit.Waiting) bool { return w.Class == class && w.Count > 0 })
	if i < 0 {
		return false
	}
	s.waiting[replica][i].Count--
	s.ready[replica] = append(s.ready[replica], class)
	return true
}

// A remote is a scheduler as a replica sees one in a store: each word takes time,
// and nothing is granted but by pulling.
type remote struct {
	store   *sharedStore
	replica int
	trip    time.Duration
}

func (r remote) travel(ctx context.Context) {
	_ = pause(ctx, r.trip/2)
}

func (r remote) Pull(ctx context.Context, _ time.Time, ask ratelimit.Ask) (ratelimit.Grant, error) {
	r.travel(ctx)
	g, err := r.store.pull(ctx, r.replica, ask)
	r.travel(ctx)
	return g, err
}

func (r remote) Stop(ctx context.Context, now time.Time, b ratelimit.Budget, d time.Duration) {
	r.store.Stop(ctx, now, b, d)
}

func (r remote) Succeed(ctx context.Context, now time.Time, b ratelimit.Budget) {
	r.store.Succeed(ctx, now, b)
}

func (r remote) Refund(ctx context.Context, now time.Time, b ratelimit.Budget, n int, granted time.Time) {
	r.store.Refund(ctx, now, b, n, granted)
}

func (r remote) Peek(now time.Time, b ratelimit.Budget) ratelimit.State {
	s := r.store.Peek(now, b)
	s.Replicas, s.Shared = 3, true
	return s
}

// threeReplicas runs loads on three brokers that share one organization's budget.
func threeReplicas(t *testing.T, d time.Duration, loads [3][]load) (all map[string][]outcome, dashboard *fakeDashboard, trips int) {
	t.Helper()
	dashboard = &fakeDashboard{delay: 50 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		store := &sharedStore{Local: ratelimit.NewLocal()}
		var mu sync.Mutex
		var wg sync.WaitGroup
		all = make(map[string][]outcome)
		for i, loads := range loads {
			b := testBroker(t, dashboard, func(c *Config) {
				c.Budgets.Scheduler = remote{store: store, replica: i, trip: time.Millisecond}
			})
			defer b.Close()
			wg.Go(func() {
				for caller, out := range run(t, b, d, loads...) {
					mu.Lock()
					all[caller] = append(all[caller], out...)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		trips = store.trips
	})
	return all, dashboard, trips
}

func TestReplicasUseTheWholeBudget(t *testing.T) {
	all, d, trips := threeReplicas(t, 120*time.Second, [3][]load{
		{{caller: "a", priority: ratelimit.Normal, rate: 16}},
		{{caller: "a", priority: ratelimit.Normal, rate: 2}},
		{{caller: "a", priority: ratelimit.Normal, rate: 2}},
	})
	n, wait := served(all["a"], 0.99)
	t.Logf("%d served in 120 s, p99 wait %v, %.2f store trips a call", n, wait, float64(trips)/float64(n))
	if n < 1188 {
		t.Errorf("%d served in 120 s, want 99 %% of 1200", n)
	}
	if trips > 2*n {
		t.Errorf("%d store trips for %d calls", trips, n)
	}
	bucketCheck(t, d.times, 10, 9) // a slot travels for half a millisecond
}

func TestReplicasShareFairly(t *testing.T) {
	all, d, _ := threeReplicas(t, 120*time.Second, [3][]load{
		{{caller: "a", priority: ratelimit.Normal, rate: 6.7}, {caller: "b", priority: ratelimit.Normal, rate: 8}},
		{{caller: "a", priority: ratelimit.Normal, rate: 6.7}, {caller: "c", priority: ratelimit.Normal, rate: 0.5}},
		{{caller: "a", priority: ratelimit.Normal, rate: 6.7}},
	})
	a, _ := served(all["a"], 1)
	b, _ := served(all["b"], 1)
	c, wait := served(all["c"], 0.99)
	t.Logf("a %d, b %d, c %d of %d with p99 wait %v", a, b, c, len(all["c"]), wait)
	if math.Abs(float64(a-b)) > 0.03*float64(a) {
		t.Errorf("a was served %d times, b %d", a, b)
	}
	if c != len(all["c"]) || wait > time.Second {
		t.Errorf("c: %d of %d, p99 wait %v", c, len(all["c"]), wait)
	}
	bucketCheck(t, d.times, 10, 9)
}
