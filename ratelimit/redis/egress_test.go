package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/lane"
)

// An egress is three replicas that leave through one address, in a bubble: a round
// trip to the store takes no time of the bubble's.
type egress struct {
	t      *testing.T
	lanes  []*lane.Lanes
	stores []*Store
	way    way
	// patience of a call; nil for calls that wait as long as it takes.
	patience func() time.Duration

	mu   sync.Mutex
	left []time.Time
	wg   sync.WaitGroup
}

// A way leads to the store. It counts the commands about an address's budget, and is
// blocked while the store is away.
type way struct {
	counter
	blocked atomic.Bool
}

func (w *way) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if w.blocked.Load() {
			return errors.New("the store is away")
		}
		if strings.Contains(cmd.String(), "{address:") {
			w.commands.Add(1)
		}
		return next(ctx, cmd)
	}
}

// newEgress makes an egress; with a part, each replica has that of the address's rate.
func newEgress(t *testing.T, s *server, part float64) *egress {
	e := &egress{t: t}
	for range 3 {
		store := s.store(3, func(c *Config) {
			c.clock, c.Prefix = time.Now, t.Name()
			c.Client = connect(t, s.Address(), c.Timeout)
			c.Client.AddHook(&e.way)
		})
		life := lane.NewLifecycle()
		t.Cleanup(life.Close)
		c := lane.Config{Scheduler: store, Observer: ignored{}, Egress: "east"}
		if part > 0 {
			c.Egress, c.AddressRate, c.AddressBurst = "", part, 0.8*part
		}
		ls, err := lane.New(c, life)
		if err != nil {
			t.Fatal(err)
		}
		e.lanes, e.stores = append(e.lanes, ls), append(e.stores, store)
	}
	for _, store := range e.stores { // now all of them know of each other
		if err := store.announce(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// call is one call about an organization at a replica.
func (e *egress) call(replica int, organization string, result lane.Result) {
	ctx, cancel := e.t.Context(), func() {}
	if e.patience != nil {
		ctx, cancel = context.WithTimeout(ctx, e.patience())
	}
	e.wg.Go(func() {
		defer cancel()
		var slot lane.Slot
		e.lanes[replica].Assign(&slot, lane.Payer{Organization: organization})
		f := slot.Acquire(ctx, &lane.Request{
			Operation: "getOrganizationNetworks", Path: "/organizations/" + organization + "/networks", Weight: 1,
			Class: ratelimit.Class{Caller: "a", Priority: ratelimit.Bulk}, Probe: func() bool { return false },
		})
		if f != nil && e.patience != nil {
			return
		}
		if f != nil || !slot.Spend() {
			e.t.Error(f)
			return
		}
		e.mu.Lock()
		e.left = append(e.left, time.Now())
		e.mu.Unlock()
		slot.Report(time.Now(), result)
	})
}

// load makes 130 calls a second of twelve organizations, 80, 10 and 10 of a hundred
// at the three replicas; the time is the bubble's.
func (e *egress) load(length time.Duration) {
	const rate = 130
	for n := range int(length.Seconds() * rate) {
		replica := 0
		switch n % 10 {
		case 4:
			replica = 1
		case 9:
			replica = 2
		}
		e.call(replica, fmt.Sprint(n%12), lane.Result{OK: true, Answered: true})
		time.Sleep(time.Second / rate)
	}
}

// bounded holds what left against a bucket.
func (e *egress) bounded(rate, burst float64) {
	e.t.Helper()
	slices.SortFunc(e.left, time.Time.Compare)
	tokens, last := burst, e.left[0]
	for i, at := range e.left {
		tokens = min(burst, tokens+rate*at.Sub(last).Seconds()) - 1
		last = at
		if tokens < -0.01 {
			e.t.Fatalf("call %d of %d left %v after the first, %.2f tokens too early", i, len(e.left), at.Sub(e.left[0]), -tokens)
		}
	}
}

// used is the part of 100 a second that left from one moment to another.
func (e *egress) used(from, to time.Time) float64 {
	n := 0
	for _, at := range e.left {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) / to.Sub(from).Seconds() / 100
}

// steps are the round trips to the store so far.
func (e *egress) steps() (n int) {
	for _, s := range e.stores {
		n += int(s.Stats().Steps)
	}
	return n
}

// TestOneBudgetForAnEgress: three replicas use all of their address's budget whatever
// their load, at one more round trip for a call, where static parts leave much of it.
func TestOneBudgetForAnEgress(t *testing.T) {
	t.Parallel()
	shared := serve(t)
	const length = 12 * time.Second
	trips := make(map[string]float64)
	for _, c := range []struct {
		name string
		part float64
		most float64 // of 100 a second that may be used
		less float64
	}{{"one budget", 0, 1.01, 0.99}, {"static parts", 100.0 / 3, 0.7, 0.5}} {
		synctest.Test(t, func(t *testing.T) {
			e := newEgress(t, &server{shared.For(t), t}, c.part)
			start := time.Now()
			e.load(length)
			e.wg.Wait()
			e.bounded(100, 80)
			used := e.used(start.Add(4*time.Second), start.Add(length))
			trips[c.name] = float64(e.steps()) / float64(len(e.left))
			t.Logf("%s: %.4f of 100/s used, %.2f round trips a call", c.name, used, trips[c.name])
			if used < c.less || used > c.most {
				t.Errorf("%s: %.4f of 100/s used, want from %v to %v", c.name, used, c.less, c.most)
			}
		})
	}
	if more := trips["one budget"] - trips["static parts"]; more > 1 {
		t.Errorf("the address costs %.2f round trips a call, want at most one", more)
	}
}

// TestNothingIsAskedOfAnEgressInVain: where an organization's own budget refuses, the
// address is not asked.
func TestNothingIsAskedOfAnEgressInVain(t *testing.T) {
	t.Parallel()
	shared := serve(t)
	synctest.Test(t, func(t *testing.T) {
		e := newEgress(t, &server{shared.For(t), t}, 0)
		const calls = 40
		for n := range calls { // four times as many as an organization may make at once
			e.call(n%3, "1", lane.Result{OK: true, Answered: true})
		}
		e.wg.Wait()
		if n := e.way.commands.Load(); n > calls {
			t.Errorf("the address was asked %d times for %d calls", n, calls)
		}
		e.stores[0].Stop(t.Context(), time.Now(), ratelimit.Budget{Key: "organization:2", Rate: 10, Burst: 8}, 5*time.Second)
		before := e.way.commands.Load()
		start := time.Now()
		for n := range 6 {
			e.call(n%3, "2", lane.Result{OK: true, Answered: true})
		}
		time.Sleep(4 * time.Second)
		if n := e.way.commands.Load() - before; n > 0 {
			t.Errorf("the address was asked %d times while the organization was stopped", n)
		}
		e.wg.Wait()
		if took := time.Since(start); took < 5*time.Second || took > 7*time.Second {
			t.Errorf("6 calls of an organization that was stopped for 5 s took %v", took)
		}
	})
}

// TestA429OfAnEgressStopsAllOfIt: what one replica learns of the address holds for all
// organizations at all replicas that leave through it.
func TestA429OfAnEgressStopsAllOfIt(t *testing.T) {
	t.Parallel()
	shared := serve(t)
	synctest.Test(t, func(t *testing.T) {
		e := newEgress(t, &server{shared.For(t), t}, 0)
		e.call(0, "1", lane.Result{Stop: 3 * time.Second, Nameless: true})
		e.wg.Wait()
		stopped := time.Now()
		e.left = nil
		for n := range 12 {
			e.call(n%3, fmt.Sprint(10+n), lane.Result{OK: true, Answered: true})
		}
		e.wg.Wait()
		for _, at := range e.left {
			if at.Sub(stopped) < 3*time.Second {
				t.Errorf("a call left %v after the address was stopped for 3 s", at.Sub(stopped))
			}
		}
		for i, ls := range e.lanes {
			if b := ls.Budget(""); b.Key != "address:east" || b.Rate >= 100 || !b.Shared || b.Replicas != 3 {
				t.Errorf("replica %d: the address is %+v", i, b)
			}
		}
		e.left = nil
		e.call(0, "1", lane.Result{Stop: 3 * time.Second}) // it names the organization
		e.wg.Wait()
		e.left = nil
		start := time.Now()
		e.call(1, "20", lane.Result{OK: true, Answered: true})
		e.wg.Wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("a 429 of one organization held another one's call for %v", took)
		}
	})
}

// TestAnEgressWithoutItsStore: while the store is away, and when it goes and comes back,
// what leaves is never above 100 a second, and each replica goes on with its part.
func TestAnEgressWithoutItsStore(t *testing.T) {
	t.Parallel()
	own := serve(t)
	synctest.Test(t, func(t *testing.T) {
		s := &server{own.For(t), t}
		e := newEgress(t, s, 0)
		const part = 5 * time.Second
		start := time.Now()
		e.load(part)
		e.way.blocked.Store(true)
		gone := time.Now()
		e.load(part)
		if err := s.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		e.way.blocked.Store(false)
		back := time.Now()
		e.load(part)
		end := time.Now()
		e.wg.Wait()
		e.bounded(100, 80)
		with, without, again := e.used(start, gone), e.used(gone.Add(time.Second), back), e.used(back.Add(2*time.Second), end)
		t.Logf("%.3f of 100/s used with the store, %.3f without it, %.3f after", with, without, again)
		if without < 0.5 || without > 1 || again < 0.99 {
			t.Errorf("%.3f of 100/s used without the store, %.3f after", without, again)
		}
		for _, store := range e.stores {
			if n := store.Stats().Outages; n != 1 {
				t.Errorf("%d outages", n)
			}
		}
	})
}

// TestAnEgressWhoseStoreFlaps: a store that goes and comes all the time, and callers who
// leave, cost part of the budget, and never let more through; nothing is left hanging.
func TestAnEgressWhoseStoreFlaps(t *testing.T) {
	t.Parallel()
	own := serve(t)
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			e := newEgress(t, &server{own.For(t), t}, 0)
			random := rand.New(rand.NewPCG(seed, 1))
			patience := rand.New(rand.NewPCG(seed, 2))
			e.patience = func() time.Duration { return time.Duration(100+patience.IntN(3000)) * time.Millisecond }
			start := time.Now()
			e.wg.Go(func() {
				for time.Since(start) < 8*time.Second {
					e.way.blocked.Store(!e.way.blocked.Load())
					time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
				}
				e.way.blocked.Store(false)
			})
			e.load(8 * time.Second)
			end := time.Now()
			e.wg.Wait()
			e.bounded(100, 80)
			used := e.used(start.Add(2*time.Second), end)
			t.Logf("%.3f of 100/s used", used)
			if used < 0.2 {
				t.Errorf("%.3f of 100/s used", used)
			}
			for i, ls := range e.lanes {
				for kind, n := range ls.Waiting() {
					if n != 0 {
						t.Errorf("replica %d: %d calls wait for %s budgets", i, n, kind)
					}
				}
			}
		})
	}
}
