package broker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

func TestIdenticalReadsAreOneAttempt(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		var mu sync.Mutex
		seen := make(map[string]int)
		for i := range 10 {
			wg.Go(func() {
				c := read("1", 0)
				c.Caller = fmt.Sprint(i)
				a, err := b.Do(t.Context(), c)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[a.Cache]++
			})
		}
		other := read("1", 0)
		other.Key = dashboard.NewKey("another credential")
		wg.Go(func() {
			if a, err := b.Do(t.Context(), other); err != nil || a.Cache != CacheMiss {
				t.Errorf("another credential: %+v, %v", a, err)
			}
		})
		wg.Wait()
		if seen[CacheMiss] != 1 || seen[CacheCoalesced] != 9 || d.count() != 2 {
			t.Errorf("%v, %d requests", seen, d.count())
		}
	})
}

func TestFailureIsShared(t *testing.T) {
	d := &fakeDashboard{delay: time.Second, answer: func(*dashboard.Request) *dashboard.Result { return status(403) }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for _, f := range do(t, b, time.Minute, read("1", 0), read("1", 0), read("1", 0)) {
			if f == nil || f.Kind != fault.Forbidden {
				t.Errorf("%v", f)
			}
		}
		if d.count() != 1 {
			t.Errorf("%d requests", d.count())
		}
	})
}

// TestLeaderMayLeave: at once, and the read goes on for the others.
func TestLeaderMayLeave(t *testing.T) {
	d := &fakeDashboard{delay: 5 * time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		leader, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() {
			if _, err := b.Do(leader, read("1", 0)); fault.As(err) == nil || fault.As(err).Kind != fault.Cancelled || time.Since(begun) != 0 {
				t.Errorf("the leader: %v after %v", err, time.Since(begun))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			a, err := b.Do(t.Context(), read("1", 0))
			if err != nil || a.Cache != CacheCoalesced || time.Since(begun) != 5*time.Second {
				t.Errorf("the follower: %+v, %v after %v", a, err, time.Since(begun))
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

func TestLastToLeaveEndsTheAttempt(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			go func() { _, _ = b.Do(ctx, read("1", 0)) }()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		if list := b.Record().List(record.AttemptFilter{}); len(list) != 1 || list[0].Outcome != fault.Left {
			t.Errorf("record: %+v", list)
		}
	})
}

func TestFollowerHasItsOwnDeadline(t *testing.T) {
	// The leader has 1 s, the follower a minute, the Dashboard takes 5 s.
	d := &fakeDashboard{delay: 5 * time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		begun := time.Now()
		wg.Go(func() {
			f := do(t, b, time.Second, read("1", 0))[0]
			if f == nil || f.Kind != fault.DeadlineExceeded || time.Since(begun) > 1100*time.Millisecond {
				t.Errorf("the leader: %v after %v", f, time.Since(begun))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if f := do(t, b, time.Minute, read("1", 0))[0]; f != nil {
				t.Errorf("the follower: %v", f)
			}
		})
		wg.Wait()
		if d.count() != 1 {
			t.Errorf("%d requests", d.count())
		}
	})
}

func TestUrgentFollowerRaisesTheRead(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for i := range 48 {
			go func() {
				c := read("1", i)
				c.Priority = ratelimit.Bulk
				_, _ = b.Do(t.Context(), c)
			}()
		}
		synctest.Wait()
		go func() {
			c := read("1", 48)
			c.Priority = ratelimit.Bulk
			_, _ = b.Do(t.Context(), c)
		}()
		synctest.Wait()
		c := read("1", 48)
		c.Priority, c.Caller = ratelimit.Critical, "urgent"
		begun := time.Now()
		a, err := b.Do(t.Context(), c)
		if err != nil || time.Since(begun) > 200*time.Millisecond {
			t.Errorf("%+v, %v after %v", a, err, time.Since(begun))
		}
		if err := pause(t.Context(), 10*time.Second); err != nil {
			t.Fatal(err)
		}
		if d.count() != 49 {
			t.Errorf("%d requests", d.count())
		}
	})
}

func TestReuse(t *testing.T) {
	d := &fakeDashboard{delay: 10 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		ask := func(age time.Duration, change ...func(*Call)) string {
			c := read("1", 0)
			c.MaxAge = age
			for _, f := range change {
				f(c)
			}
			a, err := b.Do(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			return a.Cache
		}
		tick := func(d time.Duration) { _ = pause(t.Context(), d) }
		check := func(what, got, want string) {
			t.Helper()
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		check("first", ask(time.Minute), CacheMiss)
		tick(10 * time.Second)
		check("young enough", ask(time.Minute), CacheHit)
		check("too old", ask(5*time.Second), CacheMiss)
		check("wants a new one", ask(0), CacheMiss)
		check("again young", ask(5*time.Second), CacheHit)
		check("another credential", ask(time.Minute, func(c *Call) { c.Key = dashboard.NewKey("other") }), CacheMiss)
		check("another query", ask(time.Minute, func(c *Call) { c.Query = "x=1" }), CacheMiss)

		tick(time.Second)
		if _, err := b.Do(t.Context(), write(apiv1.Verb_VERB_PUT, "2")); err != nil {
			t.Fatal(err)
		}
		check("after a write elsewhere", ask(time.Minute), CacheHit)
		if _, err := b.Do(t.Context(), write(apiv1.Verb_VERB_PUT, "1")); err != nil {
			t.Fatal(err)
		}
		tick(time.Millisecond)
		check("after a write", ask(time.Minute), CacheMiss)
		check("and again", ask(time.Minute), CacheHit)
	})
}

func TestReadDuringAWriteIsNotKept(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		c := read("1", 0)
		c.MaxAge = time.Minute
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Do(t.Context(), c) }) // began before the write
		_ = pause(t.Context(), 500*time.Millisecond)
		wg.Go(func() { _, _ = b.Do(t.Context(), write(apiv1.Verb_VERB_PUT, "1")) })
		wg.Wait()
		a, err := b.Do(t.Context(), c)
		if err != nil || a.Cache != CacheMiss {
			t.Errorf("%+v, %v: an answer from before the write", a, err)
		}
	})
}

func TestReadAfterAWriteJoinsNoEarlierOne(t *testing.T) {
	d := &fakeDashboard{}
	d.answer = func(r *dashboard.Request) *dashboard.Result { return ok("{}") }
	d.delay = time.Second
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = b.Do(t.Context(), write(apiv1.Verb_VERB_PUT, "1")) })
		_ = pause(t.Context(), 900*time.Millisecond)
		wg.Go(func() { _, _ = b.Do(t.Context(), read("1", 0)) })
		_ = pause(t.Context(), 200*time.Millisecond) // the write is done, the read is not
		a, err := b.Do(t.Context(), read("1", 0))
		if err != nil || a.Cache != CacheMiss {
			t.Errorf("%+v, %v", a, err)
		}
		wg.Wait()
	})
}

// TestAWriteThatNamesAnotherOrganization is one of a read there, too: licenses, say, are
// moved to it.
func TestAWriteThatNamesAnotherOrganization(t *testing.T) {
	inBubble(t, &fakeDashboard{}, func(t *testing.T, b *Broker) {
		read := write(apiv1.Verb_VERB_GET, "2")
		read.MaxAge, read.Body = time.Minute, nil
		cached := func() string {
			a, err := b.Do(t.Context(), read)
			if err != nil {
				t.Fatal(err)
			}
			return a.Cache
		}
		_, _ = cached(), pause(t.Context(), time.Second)
		if got := cached(); got != CacheHit {
			t.Fatalf("a second read: %s", got)
		}
		move := write(apiv1.Verb_VERB_POST, "1")
		move.Operation.NamedOwners = []*apiv1.NamedOwner{{Property: "destOrganizationId", Location: apiv1.Location_LOCATION_BODY, Kind: apiv1.NamedOwner_KIND_ORGANIZATION}}
		if _, err := b.Do(t.Context(), move); err != nil {
			t.Fatal(err)
		}
		if got := cached(); got == CacheHit {
			t.Error("the other organization's answer from before the write is still given")
		}
	})
}

// TestAReadIsClosedForOthers by who is alone in it, and by nobody else.
func TestAReadIsClosedForOthers(t *testing.T) {
	t.Parallel()
	first, other := t.Context(), context.WithValue(t.Context(), readKey{}, 1)
	c := newSharedContext(context.Background(), first)
	if !c.join(other) || c.closeAlone() {
		t.Error("closed, and another waits")
	}
	if c.leave(other, context.Canceled); !c.closeAlone() || c.join(other) {
		t.Error("joined after it was closed")
	}
	c.leave(first, context.Canceled)
}

// TestWhatEndsForWantOfTimeIsDoneAgain when somebody with more time has joined meanwhile;
// what ends for another reason is not.
func TestWhatEndsForWantOfTimeIsDoneAgain(t *testing.T) {
	t.Parallel()
	short, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	long, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	for kind, want := range map[fault.Kind]int{fault.BudgetExhausted: 2, fault.NotFound: 1} {
		j := &callState{ctx: newSharedContext(context.Background(), short)}
		n := 0
		f := j.inTime(func() *fault.Error {
			if n++; n == 1 {
				j.ctx.(*sharedContext).join(long)
			}
			return &fault.Error{Kind: kind}
		})
		if n != want || f == nil || f.Kind != kind {
			t.Errorf("%v: done %d times, %v; want %d", kind, n, f, want)
		}
	}
}
