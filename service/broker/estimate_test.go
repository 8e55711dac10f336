package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// Under lasting overload each call waits as long as its deadline lets it. What
// gets a slot must still be answered in time: a slot spent on a call that dies on
// the way is lost to all.
func TestSlotsAreNotSpentOnTheDying(t *testing.T) {
	for name, longest := range map[string]time.Duration{"quick": 200 * time.Millisecond, "slow": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			d := &fakeDashboard{}
			var random sync.Mutex
			source := rand.New(rand.NewPCG(1, 2))
			slow := func(ctx context.Context) error {
				random.Lock()
				takes := time.Duration(source.Float64() * float64(longest))
				random.Unlock()
				return pause(ctx, takes)
			}
			var died, refused, served atomic.Int64
			inBubble(t, d, func(t *testing.T, b *Broker) {
				b.config.Dashboard = slowDashboard{d, slow}
				var wg sync.WaitGroup
				for i := range 3 * 10 * 120 { // three times the budget for two minutes
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
						defer cancel()
						c := read("1", i)
						c.Priority = ratelimit.Bulk
						switch _, err := b.Do(ctx, c); {
						case err == nil:
							served.Add(1)
						case fault.As(err).Kind == fault.BudgetExhausted:
							refused.Add(1)
						default:
							died.Add(1)
						}
					})
					_ = pause(t.Context(), time.Second/30)
				}
				wg.Wait()
			})
			t.Logf("%d served, %d refused, %d died", served.Load(), refused.Load(), died.Load())
			if sent := served.Load() + died.Load(); died.Load()*50 > sent || sent < 1180 {
				t.Errorf("%d calls were sent and %d of them died on the way", sent, died.Load())
			}
		})
	}
}

// A slowDashboard takes a time of its own for each request.
type slowDashboard struct {
	*fakeDashboard
	slow func(context.Context) error
}

func (d slowDashboard) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	start := time.Now()
	if err := d.slow(ctx); err != nil {
		d.fakeDashboard.mu.Lock()
		d.requests = append(d.requests, *r)
		d.fakeDashboard.mu.Unlock()
		return &dashboard.Result{Outcome: fault.Timeout, Start: start, Duration: time.Since(start), MaybeExecuted: true, Err: err}
	}
	a := d.fakeDashboard.Attempt(ctx, r)
	a.Start, a.Duration = start, time.Since(start)
	return a
}

// An attempt that was cut short counts as a longer one, unless it had all the time
// that any takes.
func TestAmpleTime(t *testing.T) {
	t.Parallel()
	var s serviceTimes
	now := time.Now()
	s.cut("a", now, time.Second)
	if got := s.ample("a", now); got != 0 {
		t.Errorf("%v, and nothing is known", got)
	}
	for range 400 {
		s.observe("a", now, 100*time.Millisecond)
	}
	for range 100 { // the Dashboard hangs
		s.cut("a", now, 5*time.Second)
	}
	if got := s.ample("a", now); got > 120*time.Millisecond {
		t.Errorf("%v after attempts that had more than enough time", got)
	}
	for range 10 {
		s.cut("a", now, 50*time.Millisecond)
	}
	if got := s.ample("a", now); got <= 120*time.Millisecond || got > 200*time.Millisecond {
		t.Errorf("%v after one in forty had too little", got)
	}
	if got := s.usual("a", now); got > 120*time.Millisecond {
		t.Errorf("%v is usual", got)
	}
}

// TestAnAttemptThatWasCutAtTwiceTheAmpleTime says nothing; a little before, it does.
func TestAnAttemptThatWasCutAtTwiceTheAmpleTime(t *testing.T) {
	t.Parallel()
	for short, grows := range map[time.Duration]bool{0: false, 1: true} {
		var s serviceTimes
		now := time.Now()
		for range 100 {
			s.observe("a", now, 100*time.Millisecond)
		}
		before := s.ample("a", now)
		for range 50 {
			s.cut("a", now, 2*before-short)
		}
		if after := s.ample("a", now); (after > before) != grows {
			t.Errorf("cut %v before twice the ample time: %v after %v", short, after, before)
		}
	}
}

// TestNoAttemptWithoutTheTimeForIt: what is left after a failure has to be enough for
// what the operation usually takes.
func TestNoAttemptWithoutTheTimeForIt(t *testing.T) {
	d := &fakeDashboard{delay: time.Second, answer: func(*dashboard.Request) *dashboard.Result { return status(503) }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		c := read("1", 0)
		for range 100 {
			b.services.observe(c.Operation.GetId(), time.Now(), 3*time.Second)
		}
		if f := do(t, b, 3900*time.Millisecond, c)[0]; f == nil || d.count() != 1 {
			t.Errorf("%v after %d attempts", f, d.count())
		}
	})
}
