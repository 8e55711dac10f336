package batch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
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

// TestAHoldBeginsInTheMiddle of a batch's way: after its POST, whose answer came or not, and
// before it is confirmed. It lasts for longer than anything is tried that fails. The batch is
// done afterwards, for a caller that waits and for one that has left and comes again.
func TestAHoldBeginsInTheMiddle(t *testing.T) {
	t.Parallel()
	for name, writesOnly := range map[string]bool{"all writes": true, "bulk": false} {
		for _, lost := range []bool{false, true} {
			for _, leaves := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, the answer is lost %v, the caller leaves %v", name, lost, leaves), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) {
						d := newFake()
						var ends time.Time
						d.fate = func(operation string, n int) (bool, *fault.Error) {
							reads := strings.HasPrefix(operation, "get")
							switch {
							case operation == "createOrganizationActionBatch" && n == 0:
								ends = time.Now().Add(2 * time.Hour)
								return true, lostIf(lost, &fault.Error{Kind: fault.OutcomeUnknown})
							case time.Now().Before(ends) && !(reads && writesOnly):
								return false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute}
							}
							return true, nil
						}
						b := build(t, d, 3)
						defer b.Close()
						r := Request{Caller: "me", Name: "key", Writes: mixed()[100:160]}
						if leaves {
							ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
							defer cancel()
							truth(t, d, r.Writes, apply(t, b, ctx, r), false)
						}
						truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
						for _, left := range d.batches {
							if !left.confirmed {
								t.Errorf("batch %s is left there, not confirmed", left.id)
							}
						}
					})
				})
			}
		}
	}
}

// TestAHeldCallerTakesNoPlace: its batches wait for the end of a hold; those of another
// caller, whom nobody holds, go meanwhile, and never more than may go at once.
func TestAHeldCallerTakesNoPlace(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]time.Duration{"before the POST": 0, "before it is confirmed": 150 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				b := build(t, d, 2)
				defer b.Close()
				lists := make(map[string][]Write)
				for _, caller := range []string{"me", "you"} {
					for i := range 300 {
						c := call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%s%d/groupPolicies", caller, i), `{"name":"g"}`)
						c.Caller = caller
						lists[caller] = append(lists[caller], Write{ID: fmt.Sprint(i), Call: c})
					}
				}
				first := make(chan map[string]Result)
				go func() { first <- apply(t, b, t.Context(), Request{Caller: "me", Writes: lists["me"]}) }()
				time.Sleep(from)
				say := func(caller string) {
					d.mu.Lock()
					d.held = caller
					d.mu.Unlock()
				}
				say("me")
				time.Sleep(time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				truth(t, d, lists["you"], apply(t, b, ctx, Request{Caller: "you", Writes: lists["you"]}), true)
				say("")
				truth(t, d, lists["me"], <-first, true)
				if d.most > 2 {
					t.Errorf("%d batches at once", d.most)
				}
			})
		})
	}
}

// TestAHeldDeletionTakesNoPlace: two batches are refused when they are to begin, and an
// operator holds their deletion. Those of another caller go meanwhile.
func TestAHeldDeletionTakesNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		ends := time.Now().Add(2 * time.Hour)
		d.fate = func(operation string, n int) (bool, *fault.Error) {
			switch {
			case operation == "updateOrganizationActionBatch" && n < 2:
				return false, &fault.Error{Kind: fault.BadRequest, HTTPStatus: 400, Messages: []string{"no"}}
			case operation == "deleteOrganizationActionBatch" && time.Now().Before(ends):
				return false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute}
			}
			return true, nil
		}
		b := build(t, d, 2)
		defer b.Close()
		lists := make(map[string][]Write)
		for _, caller := range []string{"me", "you"} {
			for i := range 200 {
				c := call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%s%d/groupPolicies", caller, i), `{"name":"g"}`)
				c.Caller = caller
				lists[caller] = append(lists[caller], Write{ID: fmt.Sprint(i), Call: c})
			}
		}
		first := make(chan map[string]Result)
		go func() { first <- apply(t, b, t.Context(), Request{Caller: "me", Writes: lists["me"]}) }()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		truth(t, d, lists["you"], apply(t, b, ctx, Request{Caller: "you", Writes: lists["you"]}), true)
		truth(t, d, lists["me"], <-first, true)
	})
}

// TestWhatIsHeldStaysSo: answers that say nothing of a hold, of a read or of what was sent
// before, do not take it back. The caller of what was not sent is told that it is held.
func TestWhatIsHeldStaysSo(t *testing.T) {
	t.Parallel()
	other := portWrites("1", 40, nil)
	for i := range other[20:] {
		other[20+i].Call.Key = dashboard.NewKey("another") // a batch of its own; each is synchronous
	}
	for name, writes := range map[string][]Write{"a batch that is followed": portWrites("1", 150, nil), "a batch that was sent before": other} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.takes = 80 * time.Second
				sent := false
				d.fate = func(operation string, _ int) (bool, *fault.Error) {
					if operation == "createOrganizationActionBatch" && sent {
						return false, &fault.Error{Kind: fault.BudgetExhausted, Reason: hold.Reason, RetryAfter: time.Minute}
					}
					sent = true
					return true, nil
				}
				b := build(t, d, 3)
				defer b.Close()
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
				defer cancel()
				held := 0
				for id, x := range apply(t, b, ctx, Request{Writes: writes}) {
					if f := fault.As(x.Err); x.State == NotTried {
						if held++; f.Reason != hold.Reason {
							t.Errorf("%s: %+v", id, x)
						}
					}
				}
				if held == 0 {
					t.Error("nothing was held")
				}
			})
		})
	}
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
