package batch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// TestHeldLists: a list of which an operator holds the writes waits, and says so, once for
// each hold; its caller, whose time is up, has the hold as the reason; afterwards it
// goes on.
func TestHeldLists(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		detail := "held until noon"
		d.fate = func(operation string, _ int) (bool, *fault.Error) {
			if detail == "" || operation == "getOrganizationActionBatch" {
				return true, nil
			}
			return false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute, Detail: detail}
		}
		say := func(text string) {
			d.mu.Lock()
			detail = text
			d.mu.Unlock()
		}
		b := build(t, d, 3)
		defer b.Close()
		var told []string
		r := Request{Name: "key", Held: func(f *fault.Error) error { told = append(told, f.Detail); return nil },
			Writes: append(portWrites("1", 150, nil), Write{ID: "reboot", Call: call("rebootDevice", "/devices/Q1-99/reboot", "")})}
		short, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for id, x := range apply(t, b, short, r) {
			if f := fault.As(x.Err); x.State != NotTried || f.Reason != hold.Reason || f.Operation == "" || f.RetryAfter != time.Minute {
				t.Errorf("%s: %+v", id, x)
			}
		}
		go func() {
			time.Sleep(30 * time.Second)
			// Two batches of the list, and what goes by itself.
			if all := b.UnderWay(10); len(all) != 1 || all[0].Held != 3 || all[0].Organization != "1" {
				t.Errorf("%+v", all)
			}
			say("held until one")
			time.Sleep(2 * time.Minute)
			say("")
		}()
		for id, x := range apply(t, b, t.Context(), r) {
			if x.State != Done {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if len(told) != 3 || told[0] != "held until noon" || told[1] != told[0] || told[2] != "held until one" {
			t.Errorf("%q", told)
		}
		if all := b.UnderWay(10); len(all) != 0 {
			t.Errorf("%+v", all)
		}
	})
}

// TestHeldPolls: a batch that has begun is followed as long as ever while its caller's bulk
// is held, which its polls are.
func TestHeldPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.fate = func(operation string, n int) (bool, *fault.Error) {
			if operation == "getOrganizationActionBatch" && n < 2*mostFailures {
				return false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute}
			}
			return true, nil
		}
		b := build(t, d, 3)
		defer b.Close()
		for id, x := range apply(t, b, t.Context(), Request{Writes: portWrites("1", 50, nil)}) {
			if x.State != Done {
				t.Errorf("%s: %+v", id, x)
			}
		}
	})
}
