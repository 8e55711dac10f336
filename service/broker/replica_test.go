package broker

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A remote is a scheduler as a replica sees one in a store: each word takes time,
// and nothing is granted but by pulling.
type remote struct {
	local   *ratelimit.Local
	replica string
	trip    time.Duration
	mu      *sync.Mutex
	trips   *int
}

func (r remote) travel(ctx context.Context) {
	_ = pause(ctx, r.trip/2)
}

func (r remote) Pull(ctx context.Context, _ time.Time, ask ratelimit.Ask) (ratelimit.Grant, error) {
	r.travel(ctx)
	r.mu.Lock()
	*r.trips++
	r.mu.Unlock()
	ask.From = r.replica
	g, err := r.local.Pull(ctx, time.Now(), ask)
	r.travel(ctx)
	return g, err
}

func (r remote) Stop(ctx context.Context, now time.Time, b ratelimit.Budget, d time.Duration) {
	r.local.Stop(ctx, now, b, d)
}

func (r remote) Succeed(ctx context.Context, now time.Time, b ratelimit.Budget) {
	r.local.Succeed(ctx, now, b)
}

func (r remote) Refund(ctx context.Context, now time.Time, b ratelimit.Budget, n int) {
	r.local.Refund(ctx, now, b, n)
}

func (r remote) Peek(now time.Time, b ratelimit.Budget) ratelimit.State {
	s := r.local.Peek(now, b)
	s.Replicas, s.Shared = 3, true
	return s
}

// threeReplicas runs loads on three brokers that share one organization's budget.
func threeReplicas(t *testing.T, d time.Duration, loads [3][]load) (all map[string][]outcome, dashboard *fakeDashboard, trips int) {
	t.Helper()
	dashboard = &fakeDashboard{delay: 50 * time.Millisecond}
	synctest.Test(t, func(t *testing.T) {
		store := ratelimit.NewLocal(ratelimit.LocalConfig{})
		var mu sync.Mutex
		var wg sync.WaitGroup
		all = make(map[string][]outcome)
		for i, loads := range loads {
			b := testBroker(t, dashboard, func(c *Config) {
				c.Scheduler = remote{local: store, replica: fmt.Sprint("r", i), trip: time.Millisecond, mu: &mu, trips: &trips}
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
