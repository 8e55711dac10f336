package broker

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A load is calls of one caller that come at random, rate a second.
type load struct {
	caller   string
	priority ratelimit.Priority
	weight   float64
	rate     float64
	at       int // calls at once at the start, besides
	timeout  time.Duration
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// An outcome is what became of one call.
type outcome struct {
	caller string
	wait   time.Duration // in lanes, of those served
	fault  *fault.Error
}

// run offers loads to one organization for a time and gives what became of all calls.
func run(t *testing.T, b *Broker, d time.Duration, loads ...load) map[string][]outcome {
	t.Helper()
	var mu sync.Mutex
	out := make(map[string][]outcome)
	var wg sync.WaitGroup
	call := func(l load, n int) {
		timeout := l.timeout
		if timeout == 0 {
			timeout = time.Minute
		}
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		c := read("1", n)
		c.Caller, c.Priority, c.Weight, c.Query = l.caller, l.priority, l.weight, l.caller+c.Query
		a, err := b.Do(ctx, c)
		o := outcome{caller: l.caller, fault: fault.As(err)}
		if err == nil {
			o.wait = a.Queue
		}
		mu.Lock()
		defer mu.Unlock()
		out[l.caller] = append(out[l.caller], o)
	}
	for i, l := range loads {
		random := rand.New(rand.NewPCG(uint64(i), 1))
		wg.Go(func() {
			n := 0
			for ; n < l.at; n++ {
				number := n
				wg.Go(func() { call(l, number) })
			}
			if l.rate == 0 {
				return
			}
			end := time.Now().Add(d)
			for {
				if pause(t.Context(), seconds(random.ExpFloat64()/l.rate)) != nil || time.Now().After(end) {
					return
				}
				n++
				number := n
				wg.Go(func() { call(l, number) })
			}
		})
	}
	wg.Wait()
	return out
}

// served counts successes and gives a percentile of their waits.
func served(all []outcome, percentile float64) (n int, wait time.Duration) {
	var waits []time.Duration
	for _, o := range all {
		if o.fault == nil {
			waits = append(waits, o.wait)
		}
	}
	if len(waits) == 0 {
		return 0, 0
	}
	slices.Sort(waits)
	return len(waits), waits[min(len(waits)-1, int(percentile*float64(len(waits))))]
}

func TestOverloadSheds(t *testing.T) {
	// Demand of 1.2 times the budget for 300 s.
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		all := run(t, b, 300*time.Second, load{caller: "a", priority: ratelimit.Normal, rate: 12})["a"]
		n, wait := served(all, 0.99)
		t.Logf("%d of %d served, p99 wait %v", n, len(all), wait)
		if n < 2970 {
			t.Errorf("%d served in 300 s, want at least 99 %% of 3000", n)
		}
		if wait > 1200*time.Millisecond {
			t.Errorf("p99 wait of those served is %v", wait)
		}
		for _, o := range all {
			if o.fault != nil && (o.fault.Kind != fault.BudgetExhausted || o.fault.RetryAfter <= 0) {
				t.Fatalf("refused with %+v", o.fault)
			}
		}
		bucketCheck(t, d.times, 10, 8)
	})
}

func TestTheDelayHolds(t *testing.T) {
	// Demand of 1.2 times the budget, and whoever is refused comes back when told.
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var mu sync.Mutex
		var refused, held int
		var waits, delays []time.Duration
		var wg sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 12 * 120 {
			_ = pause(t.Context(), seconds(random.ExpFloat64()/12))
			wg.Go(func() {
				for try := range 20 {
					a, err := b.Do(t.Context(), read("1", i))
					mu.Lock()
					if err == nil {
						waits = append(waits, a.Queue)
						if try == 1 {
							held++
						}
						mu.Unlock()
						return
					}
					f := fault.As(err)
					if try == 0 {
						refused++
						delays = append(delays, f.RetryAfter)
					}
					mu.Unlock()
					_ = pause(t.Context(), f.RetryAfter)
				}
			})
		}
		wg.Wait()
		slices.Sort(waits)
		slices.Sort(delays)
		p99, longest := waits[len(waits)*99/100], delays[len(delays)-1]
		t.Logf("%d refused, %d served when they came back; p99 wait %v, longest delay %v", refused, held, p99, longest)
		if float64(held) < 0.99*float64(refused) {
			t.Errorf("%d of %d were served when they came back as told", held, refused)
		}
		if p99 > 1200*time.Millisecond {
			t.Errorf("p99 wait %v", p99)
		}
		if longest > 40*time.Second {
			t.Errorf("told to come back after %v", longest)
		}
		if took := d.times[len(d.times)-1].Sub(d.times[0]); took > 150*time.Second {
			t.Errorf("1440 calls took %v", took)
		}
	})
}

func TestBulkWaitsAsLongAsItMay(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		all := run(t, b, 0, load{caller: "a", priority: ratelimit.Bulk, at: 200})["a"]
		if n, wait := served(all, 1); n != 200 || wait < 19*time.Second {
			t.Errorf("%d of 200 served, the last after %v", n, wait)
		}
	})
}

func TestOneCallersQueueIsNotAnothers(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		all := run(t, b, 40*time.Second,
			load{caller: "many", priority: ratelimit.Bulk, at: 500},
			load{caller: "few", priority: ratelimit.Bulk, rate: 0.5})
		if n, wait := served(all["few"], 0.99); n != len(all["few"]) || wait > time.Second {
			t.Errorf("the small caller: %d of %d served, p99 wait %v", n, len(all["few"]), wait)
		}
		if n, _ := served(all["many"], 1); n != 500 {
			t.Errorf("the large caller: %d of 500 served", n)
		}
	})
}

func TestWeights(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		all := run(t, b, 120*time.Second,
			load{caller: "a", priority: ratelimit.Normal, weight: 3, rate: 20},
			load{caller: "b", priority: ratelimit.Normal, weight: 1, rate: 20})
		a, _ := served(all["a"], 1)
		c, _ := served(all["b"], 1)
		if ratio := float64(a) / float64(c); ratio < 2.85 || ratio > 3.15 {
			t.Errorf("weights 3:1 gave %d:%d = %.2f", a, c, ratio)
		}
		if a+c < 1190 {
			t.Errorf("%d served in 120 s", a+c)
		}
	})
}

func TestCriticalGoesFirst(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		all := run(t, b, 60*time.Second,
			load{caller: "bulk", priority: ratelimit.Bulk, rate: 120, timeout: 20 * time.Second},
			load{caller: "critical", priority: ratelimit.Critical, rate: 5, timeout: 2 * time.Second})
		if n, wait := served(all["critical"], 0.99); float64(n) < 0.994*float64(len(all["critical"])) {
			t.Errorf("critical: %d of %d served, p99 wait %v", n, len(all["critical"]), wait)
		}
		a, _ := served(all["critical"], 1)
		c, _ := served(all["bulk"], 1)
		if a+c < 590 {
			t.Errorf("%d served in 60 s", a+c)
		}
	})
}

func TestFullLaneMakesRoomForOthers(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		results := make(chan *fault.Error, 40)
		for i := range 28 {
			wg.Go(func() {
				c := read("1", i)
				c.Priority = ratelimit.Bulk
				_, err := b.Do(t.Context(), c)
				results <- fault.As(err)
			})
		}
		synctest.Wait() // 8 have gone, 20 wait: the lane is full
		c := read("1", 100)
		c.Priority = ratelimit.Bulk
		if f := do(t, b, time.Minute, c)[0]; f == nil || f.Kind != fault.BudgetExhausted || f.RetryAfter < 2*time.Second {
			t.Errorf("the caller who has filled the lane: %+v", f)
		}
		other := read("1", 101)
		other.Caller, other.Priority = "b", ratelimit.Bulk
		if f := do(t, b, time.Minute, other)[0]; f != nil {
			t.Errorf("another caller: %v", f)
		}
		wg.Wait()
		close(results)
		refused := 0
		for f := range results {
			if f != nil {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d calls lost their place, want 1", refused)
		}
	}, func(c *Config) { c.Budgets.Length = 20 })
}

func TestAddressIsPaidWithTheOrganization(t *testing.T) {
	// Thirty organizations with 8 calls at once and more behind: the address
	// allows 20 a second and a burst of 10 for all of them.
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 300 {
			c := read(string(rune('A'+i%30)), i)
			c.Priority = ratelimit.Bulk
			calls = append(calls, c)
		}
		begun := time.Now()
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		took := time.Since(begun)
		if took < 14500*time.Millisecond || took > 15*time.Second {
			t.Errorf("300 calls over an address with 20/s took %v, want 14.5 s", took)
		}
		bucketCheck(t, d.times, 20, 10)
	}, func(c *Config) { c.Budgets.AddressRate, c.Budgets.AddressBurst = 20, 10 })
}

// TestNeverMoreThanTheBudget offers random sequences of calls, departures and
// 429s, and holds what left against the bucket.
func TestNeverMoreThanTheBudget(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 7))
		d := &fakeDashboard{delay: time.Duration(random.IntN(200)) * time.Millisecond}
		limited := random.IntN(3) * 5 // percent
		d.answer = nil
		if limited > 0 {
			var mu sync.Mutex
			d.answer = func(*dashboard.Request) *dashboard.Result {
				mu.Lock()
				defer mu.Unlock()
				if random.IntN(100) < limited {
					return status(429)
				}
				if random.IntN(100) < 5 {
					return status(502)
				}
				return ok("{}")
			}
		}
		inBubble(t, d, func(t *testing.T, b *Broker) {
			calls := 300
			plan := rand.New(rand.NewPCG(seed, 8))
			var wg sync.WaitGroup
			var mu sync.Mutex
			answers := 0
			for i := range calls {
				_ = pause(t.Context(), time.Duration(plan.IntN(100))*time.Millisecond)
				c := read("1", i)
				c.Caller = string(rune('a' + plan.IntN(4)))
				c.Priority = ratelimit.Priority(plan.IntN(3))
				patience := time.Duration(plan.IntN(5000)) * time.Millisecond
				leaves := plan.IntN(4) == 0
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					if leaves {
						stop := time.AfterFunc(patience/2, cancel)
						defer stop.Stop()
					}
					defer cancel()
					a, err := b.Do(ctx, c)
					if (a == nil) == (err == nil) {
						t.Errorf("answer %v and error %v", a, err)
					}
					mu.Lock()
					answers++
					mu.Unlock()
				})
			}
			wg.Wait()
			if answers != calls {
				t.Errorf("%d answers to %d calls", answers, calls)
			}
			bucketCheck(t, d.times, 10, 8)
			synctest.Wait() // those who left are still on their way out
			if n := b.Waiting()["organization"]; n != 0 {
				t.Errorf("%d calls still wait", n)
			}
		})
	}
}

// TestShare: a caller that may have a tenth of the budget gets one slot a second
// of ten, the others the rest, and is told so before it asks.
func TestShare(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		start := time.Now()
		var calls []*Call
		for i := range 4 {
			c := read("1", i)
			c.Share = 0.1
			calls = append(calls, c)
		}
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(start); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("4 calls of a tenth of the budget took %v", took)
		}
		e, err := b.Explain(t.Context(), calls[0])
		if err != nil || e.Wait < 900*time.Millisecond || e.Organization != "1" {
			t.Errorf("the next one of its: %+v, %v", e, err)
		}
		if e, err = b.Explain(t.Context(), read("1", 9)); err != nil || e.Wait != 0 {
			t.Errorf("one of another caller's: %+v, %v", e, err)
		}
	})
}
