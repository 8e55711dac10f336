package watch

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// TestThePollerDies: the next poll comes from another replica within 1.5 ages, and the
// watchers there see every state once.
func TestThePollerDies(t *testing.T) {
	for dies := range 10 {
		t.Run(fmt.Sprint(dies), func(t *testing.T) {
			d := &fakeDashboard{delay: 200 * time.Millisecond}
			rows := fleet(5, "a")
			d.set(rows...)
			bubble(t, d, new(memory), 3, func(t *testing.T, all []*replica) {
				var readers []*reader
				for i, r := range all {
					readers = append(readers, follow(t, r, watching(fmt.Sprint(i), age)))
				}
				pass(t, 5*age+time.Duration(dies)*age/10)
				d.mu.Lock()
				last, by := d.asked[len(d.asked)-1], d.by[len(d.by)-1]
				d.mu.Unlock()
				poller := int(by[0] - '0')
				all[poller].Close()
				rows = slices.Clone(rows)
				rows[1] = device(1, "b")
				d.set(rows...)
				pass(t, 3*age)
				polls := d.polls()
				next := slices.IndexFunc(polls, last.Before)
				if next < 0 || polls[next].Sub(last) > age*3/2 {
					t.Errorf("the next poll came %v after the last one of the replica that died", polls[next].Sub(last))
				}
				for i, r := range readers {
					if i == poller {
						if f := r.ended(); f == nil || f.Kind != fault.Draining {
							t.Errorf("the watch at the replica that died: %v", f)
						}
						continue
					}
					if got := r.got(); r.has() != strings.Join(rows, ",") || len(got.seen) != 6 || got.wholes != 1 {
						t.Errorf("reader %d has %s and was sent %d rows", i, r.has(), len(got.seen))
					}
				}
			})
		})
	}
}

// TestThePollerDiesBeforeTheFirstState: who begins to watch elsewhere does not wait for it
// as long as an age may be.
func TestThePollerDiesBeforeTheFirstState(t *testing.T) {
	d := &fakeDashboard{delay: 5 * time.Second}
	d.set(fleet(3, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		follow(t, all[0], watching("a", time.Hour))
		pass(t, time.Second)
		all[0].Close()
		other := follow(t, all[1], watching("b", time.Hour))
		pass(t, underWay+10*time.Second)
		if other.has() != strings.Join(fleet(3, "a"), ",") || len(d.polls()) != 2 {
			t.Errorf("%v later it has %q after %d polls", underWay+10*time.Second, other.has(), len(d.polls()))
		}
		pass(t, 50*time.Minute)
		if n := len(d.polls()); n != 2 {
			t.Errorf("%d polls in less than an age", n)
		}
	})
}

// TestTheStoreIsGone: each replica goes on for itself, and together again afterwards.
func TestTheStoreIsGone(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	d.set(fleet(4, "a")...)
	store := new(memory)
	bubble(t, d, store, 3, func(t *testing.T, all []*replica) {
		var readers []*reader
		for i := range 6 {
			readers = append(readers, follow(t, all[i%3], watching("c", age)))
		}
		pass(t, 3*age)
		for _, c := range []struct {
			gone     bool
			from, to float64
		}{{true, 2.7, 3.1}, {false, 0.9, 1.2}} {
			store.lose(c.gone)
			pass(t, 2*age)
			d.set(fleet(4, fmt.Sprint("gone ", c.gone))...)
			from := time.Now()
			pass(t, 10*age)
			if n := perAge(d.polls(), from, time.Now()); n < c.from || n > c.to {
				t.Errorf("the store gone: %v, %.2f polls for each age", c.gone, n)
			}
			for i, r := range readers {
				if want := strings.Join(fleet(4, fmt.Sprint("gone ", c.gone)), ","); r.has() != want {
					t.Errorf("the store gone: %v, reader %d has %s", c.gone, i, r.has())
				}
			}
		}
		for i, r := range readers {
			if got := r.got(); len(got.seen) != 12 || got.wholes != 1 {
				t.Errorf("reader %d was sent %d rows", i, len(got.seen))
			}
		}
	})
}

// TestTheStoreHiccups: a store that does not answer for a moment, again and again, does
// not make every replica poll, and every change is at all watchers in time.
func TestTheStoreHiccups(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	d.set(fleet(4, "a")...)
	store := new(memory)
	bubble(t, d, store, 3, func(t *testing.T, all []*replica) {
		var readers []*reader
		for i := range 3 {
			readers = append(readers, follow(t, all[i], watching("c", age)))
		}
		pass(t, 2*age)
		from := time.Now()
		for change := range 40 {
			name := fmt.Sprint("change ", change)
			d.set(fleet(4, name)...)
			for range 8 {
				store.lose(true)
				pass(t, 300*time.Millisecond)
				store.lose(false)
				pass(t, 1213*time.Millisecond)
			}
			for i, r := range readers {
				if want := strings.Join(fleet(4, name), ","); r.has() != want {
					t.Fatalf("12 s after change %d reader %d has %s", change, i, r.has())
				}
			}
		}
		if n := perAge(d.polls(), from, time.Now()); n > 1.1 {
			t.Errorf("%.2f polls for each age", n)
		}
	})
}

// TestASlowPollIsOne: a poll that takes longer than the age is not begun by others too.
func TestASlowPollIsOne(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	d.set(fleet(4, "a")...)
	bubble(t, d, new(memory), 3, func(t *testing.T, all []*replica) {
		for i := range 3 {
			follow(t, all[i], watching("c", age))
		}
		pass(t, 2*age)
		d.mu.Lock()
		d.delay = 3 * age
		d.mu.Unlock()
		pass(t, 3*age)
		from := time.Now()
		pass(t, 30*age)
		if n := perAge(d.polls(), from, time.Now()) * 3; n > 1.1 || n < 0.5 {
			t.Errorf("%.2f polls while one lasts", n)
		}
	})
}

// TestLargerThanTheStoreTakes: each replica polls for itself, and all see the state.
func TestLargerThanTheStoreTakes(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(50, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		one, two := follow(t, all[0], watching("c", age)), follow(t, all[1], watching("c", age))
		pass(t, 3*age)
		d.set(fleet(50, "b")...)
		from := time.Now()
		pass(t, 10*age)
		if want := strings.Join(slices.Sorted(slices.Values(fleet(50, "b"))), ","); one.has() != want || two.has() != want {
			t.Error("a replica has not seen the change")
		}
		if n := perAge(d.polls(), from, time.Now()); n < 1.8 || n > 2.2 {
			t.Errorf("%.2f polls of two replicas for each age", n)
		}
	}, func(c *Config) { c.SharedBytes = 100 })
}
