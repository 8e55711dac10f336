package lane

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// An inStore is a scheduler that cannot grant a slot without being asked for one.
type inStore struct{ ratelimit.Scheduler }

// TestWhatALaneHoldsAtRestIsGivenBack: where replicas share the address, a call that
// leaves while it has its organization's part alone leaves no part taken.
func TestWhatALaneHoldsAtRestIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) {
			c.Scheduler, c.Egress = inStore{ratelimit.NewLocal()}, "e"
			c.AddressRate, c.AddressBurst = 1, 1
		})
		var first, second Slot
		ls.Assign(&first, Payer{Organization: "1"})
		if f := first.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
			t.Fatal(f)
		}
		ls.Assign(&second, Payer{Organization: "2"})
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan struct{})
		go func() {
			_ = second.Acquire(ctx, ask("a", ratelimit.Normal))
			close(left)
		}()
		pause(t.Context(), 5*time.Millisecond)
		if n := ls.Budget("2").Tokens; n > 7.1 {
			t.Fatalf("%.2f tokens: the organization's part is not taken, so there is nothing to see", n)
		}
		leave()
		<-left
		pause(t.Context(), time.Millisecond)
		if o, a := ls.Budget("2"), ls.Budget(""); o.Tokens < o.Burst-0.01 || a.Waiting != 0 {
			t.Errorf("the organization: %+v; the address: %+v", o, a)
		}
		ls.address.mu.Lock()
		defer ls.address.mu.Unlock()
		if n := ls.address.queue.length; n != 0 {
			t.Errorf("%d tickets are left in the address's lane", n)
		}
	})
}

// TestASlotWaitsForTheAddressNotForLong: the organization's part goes back when the
// address has had no slot for it at once, and is asked for again with one.
func TestASlotWaitsForTheAddressNotForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) {
			c.Scheduler, c.Egress = inStore{ratelimit.NewLocal()}, "e"
			c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 0.5, 2, 1, 1
		})
		var slots [2]Slot
		got := make(chan time.Time, 2)
		for i := range slots {
			ls.Assign(&slots[i], Payer{Organization: "1"})
			go func() {
				if f := slots[i].Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
					t.Error(f)
				}
				got <- time.Now()
			}()
		}
		first := <-got
		pause(t.Context(), 500*time.Millisecond)
		if n := ls.Budget("1").Tokens; n < 1 {
			t.Errorf("%.2f tokens: a part is held for which the address has no slot", n)
		}
		if d := (<-got).Sub(first); d < 900*time.Millisecond || d > 1100*time.Millisecond {
			t.Errorf("the second went %v after the first, and the address has one a second", d)
		}
	})
}

// TestAnEmptyAddressIsAskedForOne: of those who wait, one organization's part is taken to
// find out, not all.
func TestAnEmptyAddressIsAskedForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) {
			c.Scheduler, c.Egress = inStore{ratelimit.NewLocal()}, "e"
			c.Rate, c.Burst, c.AddressRate, c.AddressBurst = 0.5, 6, 1, 1
		})
		var other Slot
		ls.Assign(&other, Payer{Organization: "2"})
		if f := other.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
			t.Fatal(f)
		}
		l := ls.organization("1")
		for range 3 {
			l.queue.push(&waiter{class: classOf(ratelimit.Normal, "a"), weight: 1})
		}
		p := puller{classes: l.queue.waiting(nil), length: 3, class: classOf(ratelimit.Normal, "a"), weight: 1}
		l.pull(t.Context(), time.Now(), &p)
		if n := ls.Budget("1").Tokens; n != 5 || len(p.pairs.classes) != 1 {
			t.Errorf("%.2f tokens of 6: one is taken to ask the address with", n)
		}
		l.part(&p.pairs)
	})
}

// TestWhoIsToldThatTheAddressLacks slots: lanes, of the tickets that the scheduler was
// asked with. A call that waits there itself is nobody's ticket.
func TestWhoIsToldThatTheAddressLacks(t *testing.T) {
	t.Parallel()
	ls := lanesOf(t)
	l, of := ls.address, ls.organization("1")
	of.news = make(chan struct{}, 1)
	call := &waiter{class: classOf(ratelimit.Normal, "a"), weight: 1, since: noon}
	asked := &waiter{class: classOf(ratelimit.Normal, "a"), weight: 1, since: noon, internal: true, tell: of}
	later := &waiter{class: classOf(ratelimit.Normal, "a"), weight: 1, since: noon.Add(time.Second), internal: true, tell: of}
	for _, w := range []*waiter{call, asked, later} {
		l.queue.push(w)
	}
	l.lack(noon, 3)
	if call.unmet || !asked.unmet || later.unmet || len(of.news) != 1 {
		t.Errorf("unmet: a call %t, who was there %t, who came later %t; %d told", call.unmet, asked.unmet, later.unmet, len(of.news))
	}
}
