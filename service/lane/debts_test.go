package lane

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// TestASlotGivenBackPaysADebt: the debt takes the organization's part, and the address
// gets back its own, which the look-up has paid before.
func TestASlotGivenBackPaysADebt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.Burst, c.AddressRate = 1, 0.001 })
		var s Slot
		ls.Assign(&s, Payer{Organization: "1"})
		if f := s.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
			t.Fatal(f)
		}
		ls.Owe("1", 1)
		synctest.Wait()
		s.GiveBack()
		if o, a := ls.Budget("1"), ls.Budget(""); o.Tokens > 0.01 || o.Waiting != 0 || a.Tokens < a.Burst-1e-6 {
			t.Errorf("the organization: %+v; the address: %+v", o, a)
		}
	})
}

// TestACallThatHasItsSlotIsNotRaised back into the queue.
func TestACallThatHasItsSlotIsNotRaised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.Burst = 1 })
		var slots [2]Slot // the second has to wait
		for i := range slots {
			ls.Assign(&slots[i], Payer{Organization: "1"})
			if f := slots[i].Acquire(t.Context(), ask("a", ratelimit.Bulk)); f != nil {
				t.Fatal(f)
			}
		}
		slots[1].Raise(ratelimit.Critical)
		l := ls.organization("1")
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.queue.length != 0 {
			t.Errorf("%d wait, and all have what they came for", l.queue.length)
		}
	})
}

// TestDebtsPayTheOrganizationAlone: the look-up that they are for has paid the address.
func TestDebtsPayTheOrganizationAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.AddressRate = 0.001 }) // what it has paid stays paid
		ls.Owe("1", 12)                                             // more than the burst of 8: four of them wait
		pause(t.Context(), time.Second)
		if o, a := ls.Budget("1"), ls.Budget(""); o.Tokens < 5.9 || o.Tokens > 6.1 || a.Tokens < a.Burst-1e-6 {
			t.Errorf("the organization has %.2f tokens, the address %.2f of %v", o.Tokens, a.Tokens, a.Burst)
		}
	})
}

// TestWhoLeavesLastEndsThePulling at that moment: the goroutine, and what the
// scheduler was told of those who waited, do not stay until the next slot is due.
func TestWhoLeavesLastEndsThePulling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.Rate, c.Burst = 0.01, 1 })
		var first, second Slot
		for _, s := range []*Slot{&first, &second} {
			ls.Assign(s, Payer{Organization: "1"})
		}
		if f := first.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
			t.Fatal(f)
		}
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan *fault.Error)
		go func() { done <- second.Acquire(ctx, ask("a", ratelimit.Normal)) }()
		synctest.Wait()
		l := ls.organization("1")
		pulling := func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.driving
		}
		if !pulling() {
			t.Fatal("nobody pulls while a call waits")
		}
		leave()
		<-done
		synctest.Wait()
		if pulling() {
			t.Error("somebody still pulls, and nobody waits")
		}
	})
}
