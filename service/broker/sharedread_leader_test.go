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

// TestLeaderOutOfTime: who began the read has to be answered at its deadline; the
// read goes on for those with more time.
func TestLeaderOutOfTime(t *testing.T) {
	d := &fakeDashboard{delay: 12 * time.Second}
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
		for range 5 {
			wg.Go(func() {
				if f := do(t, b, 20*time.Second, read("1", 0))[0]; f != nil || time.Since(begun) != 12*time.Second {
					t.Errorf("a follower: %v after %v", f, time.Since(begun))
				}
			})
		}
		wg.Wait()
		if d.count() != 1 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestTheLastToWaitIsToldOfItsAttempts: whose deadline ends the read learns what
// the read has met.
func TestTheLastToWaitIsToldOfItsAttempts(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		f := do(t, b, 10*time.Second, read("1", 0))[0]
		if f == nil || f.Kind != fault.DeadlineExceeded || len(f.Attempts) != 1 || time.Since(begun) != 10*time.Second {
			t.Errorf("%+v after %v", f, time.Since(begun))
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
		if d.count() != 1 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestLeaderOutOfTimeInTheQueue: nothing has been sent, and the read waits on for
// the follower.
func TestLeaderOutOfTimeInTheQueue(t *testing.T) {
	const patience = 5 * time.Second
	first := true
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
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
			if f == nil || f.Kind != fault.DeadlineExceeded || time.Since(begun) != patience {
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
	d.answer = func(*dashboard.Request) *dashboard.Result {
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
			if f := do(t, b, 10*time.Second, read("1", 0))[0]; f == nil || f.Kind != fault.DeadlineExceeded {
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

// TestPanicInASharedRead: every member gets a fault, and the next read is a new one.
func TestPanicInASharedRead(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	d.answer = func(*dashboard.Request) *dashboard.Result { panic("a bug") } // what the test is about
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for _, f := range do(t, b, time.Minute, read("1", 0), read("1", 0), read("1", 0)) {
			if f == nil || f.Kind != fault.Internal {
				t.Errorf("%v", f)
			}
		}
		d.answer = nil
		if f := do(t, b, time.Minute, read("1", 0))[0]; f != nil {
			t.Error(f)
		}
		if d.count() != 2 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestDrainAndCloseDuringASharedRead: Drain lets what has been sent arrive; Close
// ends it, and is not over before it has ended.
func TestDrainAndCloseDuringASharedRead(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for _, f := range do(t, b, time.Minute, read("1", 0), read("1", 0)) {
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
			for _, f := range do(t, b, time.Minute, read("1", 0), read("1", 0)) {
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
		if f := do(t, b, time.Minute, read("1", 0))[0]; f == nil || f.Kind != fault.Draining {
			t.Errorf("after closing: %v", f)
		}
	})
}

// TestNobodyJoinsWhatEndsForWantOfTime: a read that is refused for want of time
// takes nobody along who has more of it.
func TestNobodyJoinsWhatEndsForWantOfTime(t *testing.T) {
	t.Parallel()
	now := time.Now()
	until := func(d time.Duration) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), now.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	c := newSharedContext(t.Context(), until(time.Minute))
	if !c.join(until(time.Hour)) || c.final(now.Add(time.Minute)) {
		t.Error("somebody with more time has joined, and the read ends")
	}
	if deadline, _ := c.Deadline(); !deadline.Equal(now.Add(time.Hour)) {
		t.Errorf("the deadline is %v, not that of who has most time", deadline)
	}
	if !c.final(now.Add(time.Hour)) || c.join(until(2*time.Hour)) {
		t.Error("somebody joins what has ended")
	}
	c.cancel(nil)
}
