package broker

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

// slower changes how long the fake Dashboard takes from the next attempt on.
func (d *fakeDashboard) slower(delay time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.delay = delay
}

// TestLeaderOutOfTime: it has to reply at its deadline, although the read has
// followers with more time. They begin it once more, together.
func TestLeaderOutOfTime(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() {
			f := do(t, b, 10*time.Second, read("1", 0))[0]
			if f == nil || f.Kind != fault.DeadlineExceeded || time.Since(begun) != 10*time.Second {
				t.Errorf("the leader: %v after %v", f, time.Since(begun))
			}
		})
		synctest.Wait()
		d.slower(2 * time.Second)
		for range 5 {
			wg.Go(func() {
				if f := do(t, b, 20*time.Second, read("1", 0))[0]; f != nil || time.Since(begun) != 12*time.Second {
					t.Errorf("a follower: %v after %v", f, time.Since(begun))
				}
			})
		}
		wg.Wait()
		if d.count() != 2 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestLeadersOutOfTimeOneAfterTheOther: where the Dashboard hangs, callers whose
// deadlines pass in a row do not send an attempt each.
func TestLeadersOutOfTimeOneAfterTheOther(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { do(t, b, 10*time.Second, read("1", 0)) })
			_ = pause(t.Context(), 50*time.Millisecond)
		}
		wg.Wait()
		if d.count() > 3 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestLeaderOutOfTimeInTheQueue: nothing has been sent, and the follower goes
// on, also where the flight is made apart and lasts as long as the follower.
func TestLeaderOutOfTimeInTheQueue(t *testing.T) {
	t.Run("leading", func(t *testing.T) { leaderOutOfTimeInTheQueue(t, 5*time.Second) })
	t.Run("apart", func(t *testing.T) { leaderOutOfTimeInTheQueue(t, 2*time.Second) })
}

func leaderOutOfTimeInTheQueue(t *testing.T, patience time.Duration) {
	first := true
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Answer {
		if first {
			first = false
			a := status(429)
			a.HasRetryAfter, a.RetryAfter = true, 8*time.Second
			return a
		}
		return ok("{}")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		c := read("1", 1)
		c.Priority = ratelimit.Bulk
		for b.config.Budgets.Scheduler.(*ratelimit.Local).Take(time.Now(), ratelimit.Budget{Key: "organization:1", Rate: 10, Burst: 8}) {
		}
		wg.Go(func() { do(t, b, time.Minute, read("1", 0)) }) // meets the 429
		synctest.Wait()
		begun := time.Now()
		wg.Go(func() {
			f := do(t, b, patience, c)[0]
			if f == nil || f.Kind != fault.BudgetExhausted || time.Since(begun) > patience {
				t.Errorf("the leader: %v after %v", f, time.Since(begun))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if f := do(t, b, time.Minute, c)[0]; f != nil {
				t.Errorf("the follower: %v", f)
			}
		})
		wg.Wait()
		if d.count() != 3 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestLeaderWithNoTimeForAnother: its attempt has failed and it has no time for
// one more, but its follower has.
func TestLeaderWithNoTimeForAnother(t *testing.T) {
	var mu sync.Mutex
	first := true
	d := &fakeDashboard{delay: 9990 * time.Millisecond}
	d.answer = func(*dashboard.Request) *dashboard.Answer {
		mu.Lock()
		defer mu.Unlock()
		if first {
			first = false
			a := status(503)
			a.HasRetryAfter, a.RetryAfter = true, time.Second
			return a
		}
		return ok("{}")
	}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		wg.Go(func() {
			if f := do(t, b, 10*time.Second, read("1", 0))[0]; f == nil || f.Kind != fault.Unreachable {
				t.Errorf("the leader: %v", f)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if f := do(t, b, time.Minute, read("1", 0))[0]; f != nil {
				t.Errorf("the follower: %v", f)
			}
		})
		wg.Wait()
		if d.count() != 2 {
			t.Errorf("%d requests", d.count())
		}
	})
}

func TestFollowerMayLeave(t *testing.T) {
	d := &fakeDashboard{delay: 5 * time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		follower, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() {
			if a, err := b.Do(t.Context(), read("1", 0)); err != nil || a.Cache != CacheMiss {
				t.Errorf("the leader: %+v, %v", a, err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := b.Do(follower, read("1", 0)); fault.As(err) == nil || fault.As(err).Kind != fault.Cancelled || time.Since(begun) != 0 {
				t.Errorf("the follower: %v after %v", err, time.Since(begun))
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if d.count() != 1 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestAllLeaveTheLeaderFirst: it does not stay for followers that have left too.
func TestAllLeaveTheLeaderFirst(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		begun := time.Now()
		for i := range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
			time.AfterFunc(time.Duration(i+1)*time.Second, cancel)
			wg.Go(func() {
				if _, err := b.Do(ctx, read("1", 0)); fault.As(err) == nil || fault.As(err).Kind != fault.Cancelled {
					t.Errorf("%v", err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if time.Since(begun) != 3*time.Second || d.count() != 1 {
			t.Errorf("%d requests, the last one was over after %v", d.count(), time.Since(begun))
		}
	})
}

// TestPanicInFlight: every member gets a fault, and the next read is a new one.
func TestPanicInFlight(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"led": time.Minute, "apart": 2 * time.Second} {
		t.Run(name, func(t *testing.T) {
			d := &fakeDashboard{delay: time.Second}
			d.answer = func(*dashboard.Request) *dashboard.Answer { panic("a bug") } // what the test is about
			inBubble(t, d, func(t *testing.T, b *Broker) {
				for _, f := range do(t, b, timeout, read("1", 0), read("1", 0), read("1", 0)) {
					if f == nil || f.Kind != fault.Internal {
						t.Errorf("%v", f)
					}
				}
				d.answer = nil
				if f := do(t, b, timeout, read("1", 0))[0]; f != nil {
					t.Error(f)
				}
				if d.count() != 2 {
					t.Errorf("%d requests", d.count())
				}
			})
		})
	}
}

// TestDrainAndCloseInFlight: Drain lets what has been sent arrive; Close ends it,
// and is not over before it has ended.
func TestDrainAndCloseInFlight(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"led": time.Minute, "apart": 3 * time.Second} {
		t.Run(name, func(t *testing.T) {
			d := &fakeDashboard{delay: time.Second}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				var wg sync.WaitGroup
				wg.Go(func() {
					for _, f := range do(t, b, timeout, read("1", 0), read("1", 0)) {
						if f != nil {
							t.Errorf("while draining: %v", f)
						}
					}
				})
				synctest.Wait()
				b.Drain()
				wg.Wait()
			})
			d = &fakeDashboard{delay: time.Hour}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				var wg sync.WaitGroup
				wg.Go(func() {
					for _, f := range do(t, b, timeout, read("1", 0), read("1", 0)) {
						if f == nil || f.Kind != fault.Cancelled {
							t.Errorf("after closing: %v", f)
						}
					}
				})
				synctest.Wait()
				b.Close()
				if list := b.Record().List(record.AttemptFilter{}); len(list) != 1 || list[0].Outcome != fault.Left {
					t.Errorf("closed before the attempt was over: %+v", list)
				}
				wg.Wait()
				if f := do(t, b, timeout, read("1", 0))[0]; f == nil || f.Kind != fault.Draining {
					t.Errorf("after closing: %v", f)
				}
			})
		})
	}
}

// TestLeaderLeavesAHangingRead: the flight that it has left to others still ends.
func TestLeaderLeavesAHangingRead(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() { _, _ = b.Do(ctx, read("1", 0)) })
		synctest.Wait()
		wg.Go(func() {
			if f := do(t, b, 5*time.Minute, read("1", 0))[0]; f == nil || time.Since(begun) > 6*time.Minute {
				t.Errorf("the follower: %v after %v", f, time.Since(begun))
			}
		})
		synctest.Wait()
		cancel()
		_ = pause(t.Context(), 11*time.Second)
		if n := d.count(); n != 2 {
			t.Errorf("%d requests, 11 s after one with 10 s that hangs", n)
		}
		wg.Wait()
	})
}
