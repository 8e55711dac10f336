package batch

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// TestCallerLeaves: what has not been sent is not sent, what has been sent is finished,
// and the list under its key goes on from there.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		r := Request{Name: "key", Writes: portWrites("1", 1000, nil)}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		states := make(map[State]int)
		for _, x := range apply(t, b, ctx, r) {
			states[x.State]++
			if x.State == Pending && x.Batch == "" {
				t.Errorf("%+v", x)
			}
		}
		if states[Done] != 300 || states[Pending] != 300 || states[NotTried] != 400 {
			t.Errorf("%v", states)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(d.executed); n != 600 {
			t.Errorf("%d writes are done a minute after", n)
		}
		for range 2 {
			for id, x := range apply(t, b, t.Context(), r) {
				if x.State != Done {
					t.Fatalf("%s: %+v", id, x)
				}
			}
		}
		for path, n := range d.executed {
			if n != 1 {
				t.Errorf("%s was written %d times", path, n)
			}
		}
		other := Request{Caller: "me", Name: "key", Writes: portWrites("1", 999, nil)}
		if err := b.Apply(t.Context(), t.Context(), other, nil); fault.As(err).ReasonCode() != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("%v", err)
		}
	})
}

// TestCallerLeavesBeforeASlot: a batch that waits for one is not sent when its caller
// leaves, and is when the list comes again.
func TestCallerLeavesBeforeASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		busy := true
		d.fate = func(string, int) (bool, *fault.Error) {
			return !busy, lostIf(busy, &fault.Error{Kind: fault.BudgetExhausted, RetryAfter: time.Hour})
		}
		b := build(t, d, 3)
		defer b.Close()
		writes := append(portWrites("1", 150, nil), Write{ID: "reboot", Call: call("rebootDevice", "/devices/Q1-99/reboot", "")})
		r := Request{Name: "key", Writes: writes}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for id, x := range apply(t, b, ctx, r) {
			if x.State != NotTried || fault.As(x.Err).Kind != fault.DeadlineExceeded {
				t.Errorf("%s: %+v", id, x)
			}
		}
		busy = false
		for id, x := range apply(t, b, t.Context(), r) {
			if x.State != Done {
				t.Errorf("%s: %+v", id, x)
			}
		}
	})
}

// TestTheNextReaderComesBeforeTheLastHasGone: the list goes on for the new one.
func TestTheNextReaderComesBeforeTheLastHasGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		r := Request{Caller: "me", Name: "key", Writes: portWrites("1", 1000, nil)}
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan error)
		go func() { first <- b.Apply(ctx, context.Background(), r, func([]Result) error { return nil }) }()
		time.Sleep(d.latency / 2) // the first batches are on their way
		leave()
		synctest.Wait() // the first reader waits for what it has sent
		for id, x := range apply(t, b, t.Context(), r) {
			if x.State != Done {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

// TestCallerThatCannotBeTold: when a result reaches nobody, nothing more is sent.
func TestCallerThatCannotBeTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		gone := errors.New("gone")
		err := b.Apply(t.Context(), t.Context(), Request{Caller: "me", Writes: portWrites("1", 2000, nil)}, func([]Result) error { return gone })
		if !errors.Is(err, gone) {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := len(d.executed); n > 700 {
			t.Errorf("%d writes are made", n)
		}
	})
}

// TestLongBatchesArePending: they have not failed, and are followed again for who asks
// again.
func TestLongBatchesArePending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.takes = time.Hour
		b := build(t, d, 3)
		defer b.Close()
		writes := portWrites("1", 150, nil)
		writes = append(writes, Write{ID: "after", Call: call("updateDeviceSwitchPort", writes[0].Call.Path, `{}`)})
		r := Request{Name: "key", Writes: writes}
		for id, x := range apply(t, b, t.Context(), r) {
			if want := map[bool]State{true: NotTried, false: Pending}[id == "after"]; x.State != want || x.Err == nil || want == Pending && x.Batch == "" {
				t.Errorf("%s: %+v", id, x)
			}
		}
		time.Sleep(time.Hour)
		for id, x := range apply(t, b, t.Context(), r) {
			if x.State != Done {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if d.executed[writes[0].Call.Path] != 2 || d.executed[writes[1].Call.Path] != 1 {
			t.Error("written twice")
		}
	})
}

// TestValidateOnly changes nothing, names what is wrong, and leaves no batch behind.
func TestValidateOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.atPost = true
		b := build(t, d, 3)
		defer b.Close()
		writes := portWrites("1", 101, func(i int) bool { return i == 17 || i == 80 })
		writes = append(writes, Write{ID: "reboot", Call: call("rebootDevice", "/devices/Q1-1/reboot", "")})
		for id, r := range apply(t, b, t.Context(), Request{ValidateOnly: true, Writes: writes}) {
			want := map[string]State{"17": Failed, "80": Failed, "reboot": NotTried}[id]
			if want == 0 {
				want = Valid
			}
			if r.State != want {
				t.Errorf("%s: %+v", id, r)
			}
		}
		if len(d.batches) != 0 || len(d.executed) != 0 {
			t.Errorf("%d batches and %d writes are left", len(d.batches), len(d.executed))
		}
	})
}

// TestWrongLists are refused as a whole, and nothing is sent.
func TestWrongLists(t *testing.T) {
	t.Parallel()
	d := newFake()
	b := build(t, d, 3)
	defer b.Close()
	change := func(n int, how func([]Write)) []Write {
		w := portWrites("1", n, nil)
		if how != nil {
			how(w)
		}
		return w
	}
	for want, writes := range map[string][]Write{
		"no writes":            nil,
		"10001 writes":         change(10_001, nil),
		"has an id of 0 bytes": change(2, func(w []Write) { w[1].ID = "" }),
		`has the id "0"`:       change(2, func(w []Write) { w[1].ID = "0" }),
		"more than 100 writes": change(101, func(w []Write) {
			for i := range w {
				w[i].Group = "g"
			}
		}),
		"no action batch carries": change(2, func(w []Write) {
			w[1] = Write{ID: "x", Group: "g", Call: call("rebootDevice", "/devices/Q1-1/reboot", "")}
		}),
		"not in one organization": change(2, func(w []Write) {
			w[0].Group, w[1].Group = "g", "g"
			w[1].Call = call("updateDeviceSwitchPort", "/devices/Q2-1/switch/ports/1", "{}")
		}),
	} {
		err := b.Apply(t.Context(), t.Context(), Request{Writes: writes}, func([]Result) error { t.Error("a result"); return nil })
		if f := fault.As(err); f == nil || f.Kind != fault.BadRequest || !strings.Contains(f.Detail, want) || !strings.HasPrefix(f.Field, "writes") {
			t.Errorf("%s: %v", want, err)
		}
	}
	if n := d.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestOwnersThatAreNotFound fail their own writes, and their groups with them.
func TestOwnersThatAreNotFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		writes := portWrites("1", 30, nil)
		writes[4].Call = call("updateDeviceSwitchPort", "/devices/Qunknown/switch/ports/1", "{}")
		writes[4].Group, writes[5].Group = "g", "g"
		out := apply(t, b, t.Context(), Request{Writes: writes})
		if out["4"].State != Failed || fault.As(out["4"].Err).Kind != fault.NotFound || out["5"].State != NotTried || out["6"].State != Done {
			t.Errorf("%+v", out)
		}
	})
}

// TestKeysThatMayMakeNoBatches: the writes go by themselves.
func TestKeysThatMayMakeNoBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.fate = func(op string, n int) (bool, *fault.Error) {
			no := op == "createOrganizationActionBatch"
			return !no, lostIf(no, &fault.Error{Kind: fault.Forbidden, HTTPStatus: 403})
		}
		b := build(t, d, 3)
		defer b.Close()
		for id, r := range apply(t, b, t.Context(), Request{Writes: portWrites("1", 300, nil)}) {
			if r.State != Done {
				t.Errorf("%s: %+v", id, r)
			}
		}
		if n := d.calls["createOrganizationActionBatch"]; n > 8 {
			t.Errorf("%d batches were tried", n)
		}
	})
}

// TestKeptListsAreBounded: a new name is refused while the outcomes of others are kept,
// and taken when their time is over.
func TestKeptListsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b, err := New(Config{Contract: theContract(), Dashboard: d, Kept: 100, CallerKept: 50})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		apply(t, b, t.Context(), Request{Caller: "a", Name: "first", Writes: portWrites("1", 30, nil)})
		for _, caller := range []string{"a", "b"} {
			r := Request{Caller: caller, Name: "second", Writes: portWrites("1", 30, nil)}
			err := b.Apply(t.Context(), t.Context(), r, func([]Result) error { return nil })
			if refused := fault.As(err) != nil && fault.As(err).ReasonCode() == "OUTCOMES_FULL"; refused != (caller == "a") {
				t.Errorf("%s: %v", caller, err)
			}
		}
		apply(t, b, t.Context(), Request{Caller: "a", Writes: portWrites("1", 30, nil)}) // without a name nothing is kept
		time.Sleep(25 * time.Hour)
		apply(t, b, t.Context(), Request{Caller: "a", Name: "second", Writes: portWrites("1", 30, nil)})
	})
}

// TestABatchThatFailsInPart is none that has done nothing: what it created is not created
// again, and the outcome of its writes is said to be unknown.
func TestABatchThatFailsInPart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.partial = true
		b := build(t, d, 3)
		defer b.Close()
		r := Request{Writes: mixed()[120:160]} // one of them is wrong
		for id, x := range apply(t, b, t.Context(), r) {
			if f := fault.As(x.Err); x.State != Failed || f.Kind != fault.OutcomeUnknown || x.Batch == "" || len(f.Messages) == 0 {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if d.created == 0 {
			t.Error("nothing was created")
		}
		for path, n := range d.executed {
			if n != 1 {
				t.Errorf("%s was made %d times", path, n)
			}
		}
	})
}

// TestWhatComesAfterAnUnknownWrite of the same resource is not sent: the first may still be
// made, after it. Who sends the list again has read what became of it.
func TestWhatComesAfterAnUnknownWrite(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"in a batch": 50, "by itself": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.takes = 5 * time.Minute
				unseen := true
				d.fate = func(operation string, n int) (bool, *fault.Error) {
					lost := unseen && (operation == "createOrganizationActionBatch" || operation == "updateDeviceSwitchPort" && n == 0)
					blind := unseen && operation == "getOrganizationActionBatches"
					return !blind, lostIf(lost || blind, &fault.Error{Kind: fault.OutcomeUnknown})
				}
				b := build(t, d, 3)
				defer b.Close()
				writes := portWrites("1", n, nil)
				path := writes[0].Call.Path
				r := Request{Name: "key", Writes: append(writes, Write{ID: "after", Call: call("updateDeviceSwitchPort", path, `{"name":"after"}`)})}
				for id, x := range apply(t, b, t.Context(), r) {
					f := fault.As(x.Err)
					if right := f != nil && (id == "after" && x.State == NotTried && f.Reason == "WAITS_FOR_ANOTHER" || id != "after" && f.Kind == fault.OutcomeUnknown); !right {
						t.Errorf("%s: %+v", id, x)
					}
				}
				time.Sleep(d.takes) // it is made now
				d.mu.Lock()
				unseen = false
				d.settle()
				d.mu.Unlock()
				if x := apply(t, b, t.Context(), r)["after"]; x.State != Done || d.values[path] != `{"name":"after"}` {
					t.Errorf("%+v, and it is %s", x, d.values[path])
				}
			})
		})
	}
}

// TestABatchThatIsDeletedUnheard: its confirmation was refused, or failed again and again, and
// it was deleted, of which the answer was lost. Nothing was done, and that is known at once.
func TestABatchThatIsDeletedUnheard(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]*fault.Error{"refused": bad("not now"), "failed": {Kind: fault.Dashboard, HTTPStatus: 500}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.fate = func(operation string, n int) (bool, *fault.Error) {
					confirms := operation == "updateOrganizationActionBatch" && n < map[string]int{"refused": 1, "failed": mostFailures}[name]
					deletes := operation == "deleteOrganizationActionBatch" && n == 0
					if confirms {
						return false, of
					}
					return true, lostIf(deletes, &fault.Error{Kind: fault.Malformed, HTTPStatus: 204})
				}
				b := build(t, d, 3)
				defer b.Close()
				begun := time.Now()
				for id, x := range apply(t, b, t.Context(), Request{Writes: mixed()[128:160]}) {
					if want := map[string]State{"refused": Done, "failed": NotTried}[name]; x.State != want {
						t.Errorf("%s: %+v", id, x)
					}
				}
				if took := time.Since(begun); took > 20*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
