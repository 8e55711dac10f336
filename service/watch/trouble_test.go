package watch

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
)

// TestTrouble: a Dashboard that fails for a while does not end a watch. The watcher
// hears of it once the state is twice as old as it accepts, and when that is over.
func TestTrouble(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(2, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		readers := []*reader{follow(t, all[0], watching("a", age)), follow(t, all[1], watching("b", age))}
		pass(t, 2*age)
		d.fails(503)
		pass(t, age)
		for _, r := range readers {
			r := r.got()
			if r.troubles != 0 || r.updates != 1 {
				t.Errorf("before the state is too old: %d troubles, %d updates", r.troubles, r.updates)
			}
		}
		pass(t, 10*age)
		for _, r := range readers {
			r := r.got()
			if r.troubles != 1 || r.updates != 2 {
				t.Errorf("while the Dashboard fails: %d troubles, %d updates", r.troubles, r.updates)
			}
		}
		d.fails(0)
		pass(t, 2*age)
		for _, r := range readers {
			r := r.got()
			if r.troubles != 1 || r.updates != 3 || len(r.seen) != 2 || r.err != nil {
				t.Errorf("when it is well again: %d troubles, %d updates, %v", r.troubles, r.updates, r.err)
			}
		}
	})
}

// TestTheEnd: what a later poll would meet again ends the watch of everyone, and so
// does a first poll that fails.
func TestTheEnd(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(2, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		readers := []*reader{follow(t, all[0], watching("a", age)), follow(t, all[0], watching("b", age)), follow(t, all[1], watching("c", age))}
		pass(t, 2*age)
		d.fails(404)
		pass(t, 3*age)
		for i, r := range readers {
			if f := r.ended(); f == nil || f.Kind != fault.NotFound || f.Operation != devices.GetId() {
				t.Errorf("reader %d: %v", i, f)
			}
		}
		late := follow(t, all[0], watching("d", age))
		pass(t, 2*age)
		if f := late.ended(); f == nil || f.Kind != fault.NotFound {
			t.Errorf("one that begins then: %v", f)
		}
		d.fails(503)
		late = follow(t, all[0], watching("d", age))
		pass(t, 2*time.Minute)
		if f := late.ended(); f == nil || f.Kind != fault.Unreachable {
			t.Errorf("one whose first poll fails: %v", f)
		}
		for _, r := range all {
			if r.counts.watching != 0 || len(r.pollers) != 0 || len(r.holding.states) != 0 {
				t.Errorf("%d watches, %d pollers, %d states are left", r.counts.watching, len(r.pollers), len(r.holding.states))
			}
		}
		d.fails(0)
		again := follow(t, all[0], watching("d", age))
		pass(t, age)
		if again.has() != strings.Join(fleet(2, "a"), ",") {
			t.Errorf("when it is there again: %s, %v", again.has(), again.ended())
		}
	})
}

// TestWhoDoesNotRead is sent the newest state when it does, as one difference, and holds
// one state beside the newest.
func TestWhoDoesNotRead(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(100, "a")...)
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		w, err := all[0].Open(t.Context(), watching("slow", age))
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		lazy := &reader{Watcher: w}
		u, err := w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lazy.apply(t, u)
		follow(t, all[0], watching("reads", age))
		one := all[0].holding.bytes
		for i := range 50 {
			rows := fleet(100, "a")
			rows[7] = device(7, strings.Repeat("b", i))
			d.set(rows...)
			pass(t, age)
			if n := len(all[0].holding.states); n > 2 || all[0].holding.bytes > 2*one+1000 {
				t.Fatalf("%d states of %d bytes are held", n, all[0].holding.bytes)
			}
		}
		u, err = w.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lazy.apply(t, u)
		if lazy.rows["Q7"] != device(7, strings.Repeat("b", 49)) || len(lazy.seen) != 101 || lazy.wholes != 1 {
			t.Errorf("it was sent %d rows and has %s", len(lazy.seen), lazy.rows["Q7"])
		}
		ctx, cancel := context.WithTimeout(t.Context(), age/2)
		defer cancel()
		if u, err := w.Next(ctx); fault.As(err) == nil || fault.As(err).Kind != fault.DeadlineExceeded {
			t.Errorf("then %v, %v", u, err)
		}
	})
}

// TestWatchesAreBounded for each caller and for all.
func TestWatchesAreBounded(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(1, "a")...)
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		var watchers []*Watcher
		for _, c := range []struct {
			caller string
			fit    int
		}{{"a", 4}, {"b", 4}, {"c", 2}} {
			for i := range 10 {
				w, err := all[0].Open(t.Context(), watching(c.caller, age))
				if err == nil {
					watchers = append(watchers, w)
				}
				if f := fault.As(err); (err == nil) != (i < c.fit) || err != nil && (f.Kind != fault.BudgetExhausted || f.ReasonCode() != "TOO_MANY_WATCHES") {
					t.Errorf("watch %d of caller %s: %v", i, c.caller, err)
				}
			}
		}
		watchers[0].Close()
		w, err := all[0].Open(t.Context(), watching("c", age))
		if err != nil {
			t.Errorf("after one has ended: %v", err)
		}
		w.Close()
		for _, w := range watchers[1:] {
			w.Close()
		}
		if len(all[0].callers)+len(all[0].pollers)+all[0].watching != 0 {
			t.Error("something is left")
		}
	}, func(c *Config) { c.CallerWatches, c.AllWatches = 4, 10 })
}

// TestHeldStatesAreBounded for each caller and for all: a watch without room ends with
// its reason, and one that has not read is sent the next state whole.
func TestHeldStatesAreBounded(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(100, "a")...)
	size := int64(100 * (len(device(10, "a")) + rowOverhead))
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		lazy, err := all[0].Open(t.Context(), watching("a", age))
		if err != nil {
			t.Fatal(err)
		}
		defer lazy.Close()
		slow := &reader{Watcher: lazy}
		next := func() {
			t.Helper()
			u, err := lazy.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			slow.apply(t, u)
		}
		next()
		rows := fleet(100, "a")
		rows[1] = device(1, "b")
		d.set(rows...)
		pass(t, age)
		d.set(fleet(160, "c")...) // the two together are above the caller's bound
		pass(t, age)
		if all[0].holding.bytes > 2*size {
			t.Errorf("%d bytes are held, of %d", all[0].holding.bytes, 2*size)
		}
		next()
		if slow.wholes != 2 || len(slow.rows) != 160 {
			t.Errorf("%d whole states, %d rows", slow.wholes, len(slow.rows))
		}
		d.set(fleet(300, "d")...)
		pass(t, age)
		_, err = lazy.Next(t.Context())
		if f := fault.As(err); f == nil || f.Kind != fault.BudgetExhausted || f.ReasonCode() != "WATCHES_HELD" {
			t.Errorf("a state above the bound: %v", err)
		}
	}, func(c *Config) { c.CallerBytes, c.AllBytes = 2*size, 3*size })
}

// TestHolding counts a state once for each caller and once for all.
func TestHolding(t *testing.T) {
	h := newHolding(100, 150)
	x, y, z := &State{size: 60}, &State{size: 60}, &State{size: 40}
	for i, c := range []struct {
		caller string
		s      *State
		take   bool
		ok     bool
		bytes  int64
	}{
		{"a", x, true, true, 60}, {"a", x, true, true, 60}, {"b", x, true, true, 60},
		{"a", y, true, false, 60}, {"b", z, true, true, 100}, {"a", x, false, true, 100},
		{"a", y, true, false, 100}, {"a", x, false, true, 100}, {"a", y, true, false, 100},
		{"b", x, false, true, 40}, {"a", y, true, true, 100}, {"a", y, false, true, 40}, {"b", z, false, true, 0},
	} {
		ok := true
		if c.take {
			ok = h.take(c.caller, c.s)
		} else {
			h.drop(c.caller, c.s)
		}
		if ok != c.ok || h.bytes != c.bytes {
			t.Errorf("step %d: %v, %d bytes", i, ok, h.bytes)
		}
	}
	if len(h.callers)+len(h.states) != 0 {
		t.Error("something is left")
	}
}

// TestTooLargeAState ends the watch.
func TestTooLargeAState(t *testing.T) {
	d := &fakeDashboard{perPage: 10}
	d.set(fleet(100, "a")...)
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		r := follow(t, all[0], watching("a", age))
		pass(t, age)
		if f := r.ended(); f == nil || f.Kind != fault.TooLarge || f.ReasonCode() != "WATCH_TOO_LARGE" {
			t.Errorf("%v", f)
		}
		synctest.Wait()
	}, func(c *Config) { c.StateBytes = 1000 })
}

// TestNobodyIsLeft: nothing is polled for nobody, and a poll under way ends.
func TestNobodyIsLeft(t *testing.T) {
	d := &fakeDashboard{delay: time.Minute}
	d.set(fleet(1, "a")...)
	bubble(t, d, new(memory), 1, func(t *testing.T, all []*replica) {
		w, err := all[0].Open(t.Context(), watching("a", age))
		if err != nil {
			t.Fatal(err)
		}
		pass(t, time.Second)
		w.Close()
		synctest.Wait()
		if left := all[0].broker.Record().List(record.AttemptFilter{}); len(left) != 1 || left[0].Outcome != fault.Left {
			t.Errorf("the poll under way: %+v", left)
		}
		pass(t, 5*time.Minute)
		if len(d.polls()) != 1 {
			t.Errorf("%d polls for nobody", len(d.polls()))
		}
	})
}
