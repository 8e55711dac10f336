package watch

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// TestRulesThatCannotBeAsked are asked again soon, and not when the thing is read next.
func TestRulesThatCannotBeAsked(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		var refusal atomic.Pointer[fault.Error]
		var asked atomic.Int32
		q := watching("barred", time.Hour)
		q.Ask = func(context.Context) (*broker.Call, error) {
			asked.Add(1)
			if f := refusal.Load(); f != nil {
				return nil, f
			}
			return devicesCall("barred", "1"), nil
		}
		r := follow(t, all[0], q)
		pass(t, time.Minute)
		refusal.Store(&fault.Error{Kind: fault.Unreachable})
		d.set(fleet(3, "b")...)
		pass(t, time.Hour)
		before := asked.Load()
		pass(t, 10*time.Minute)
		if n := asked.Load() - before; n > 130 {
			t.Errorf("the rules were asked %d times in 10 minutes", n)
		}
		refusal.Store(nil)
		pass(t, time.Minute)
		if r.has() != strings.Join(fleet(3, "b"), ",") {
			t.Errorf("a minute after the rules can be asked again: %s", r.has())
		}
	})
}

// A brokenGate fails for one replica alone.
type brokenGate struct {
	gate
	broken *atomic.Bool
	after  time.Duration // Retry-After
}

func (g brokenGate) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	if !g.broken.Load() {
		return g.gate.Attempt(ctx, r)
	}
	a := &dashboard.Result{Start: time.Now(), Outcome: fault.GatewayError, Status: 503, MaybeExecuted: true}
	if g.after > 0 {
		a.Outcome, a.Status, a.RetryAfter, a.HasRetryAfter = fault.Limited, 429, g.after, true
	}
	return a
}

// TestOneReplicaCannotReachTheDashboard: the others read for it.
func TestOneReplicaCannotReachTheDashboard(t *testing.T) {
	for _, age := range []time.Duration{time.Second, 10 * time.Second, time.Minute} {
		d := &fakeDashboard{}
		d.set(fleet(3, "a")...)
		var broken atomic.Bool
		store := new(memory)
		bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
			one := newReplicaAt(t, brokenGate{gate{d, "0"}, &broken, 0}, store, nil)
			defer one.close()
			first := follow(t, one, watching("c", age))
			pass(t, age/2)
			two := newReplica(t, d, "1", store)
			defer two.close()
			second := follow(t, two, watching("c", age))
			pass(t, 3*age)
			broken.Store(true)
			pass(t, age+30*time.Second) // its broker tries several times before it gives up
			for _, name := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
				d.set(fleet(3, name)...)
				pass(t, age*3/2+2*time.Second)
				if want := strings.Join(fleet(3, name), ","); first.has() != want || second.has() != want {
					t.Errorf("age %v: 1.5 ages and 2 s after the change to %s the broken one has %s, the other %s", age, name, first.has(), second.has())
				}
			}
			if got := first.got(); got.troubles > 1 {
				t.Errorf("age %v: it was told of %d troubles", age, got.troubles)
			}
		})
	}
}

// TestTroubleThatLastsIsTold when the state is twice as old as the watcher accepts, also
// where the Dashboard wants to be left alone for longer, and not when it is asked next.
func TestTroubleThatLastsIsTold(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	var broken atomic.Bool
	bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
		one := newReplicaAt(t, brokenGate{gate{d, "0"}, &broken, 5 * time.Minute}, nil, nil)
		defer one.close()
		readers := []*reader{follow(t, one, watching("c", age)), follow(t, one, watching("d", 3*age))}
		pass(t, age/2)
		broken.Store(true)
		pass(t, 2*age)
		for i, r := range readers {
			if n := r.got().troubles; n != 1-i {
				t.Errorf("reader %d was told of %d troubles after 2.5 ages of the younger", i, n)
			}
		}
		pass(t, 4*age)
		for i, r := range readers {
			if n := r.got().troubles; n != 1 {
				t.Errorf("reader %d was told of %d troubles after 2.2 ages of the older", i, n)
			}
		}
	})
}

// TestWhoIsHeldHoldsNobodyElse: while an operator holds one of the callers, another one's
// name is on the polls.
func TestWhoIsHeldHoldsNobodyElse(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
		holds := hold.New(hold.Config{Log: slog.New(slog.DiscardHandler)})
		one := newReplicaAt(t, gate{d, "0"}, nil, holds)
		defer one.close()
		follow(t, one, watching("held", age))
		free := follow(t, one, watching("free", age))
		pass(t, age/2)
		if _, err := holds.Place(t.Context(), time.Now(), hold.Hold{Scope: hold.CallerBulk, Name: "held", Reason: "too much"}, time.Hour); err != nil {
			t.Fatal(err)
		}
		d.set(fleet(3, "b")...)
		pass(t, age*3/2)
		if want := strings.Join(fleet(3, "b"), ","); free.has() != want || free.got().troubles > 0 {
			t.Errorf("the caller who is not held has %s, and was told of %d troubles", free.has(), free.got().troubles)
		}
	})
}

// A slowGate takes its time for one replica alone, which reads at the beginning.
type slowGate struct {
	gate
	delay *atomic.Int64
}

func (g slowGate) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	a := g.gate.Attempt(ctx, r)
	select {
	case <-time.After(time.Duration(g.delay.Load())):
	case <-ctx.Done():
		a.Outcome, a.Status, a.Err = fault.Left, 0, ctx.Err()
	}
	return a
}

// A link is a store as one replica reaches it.
type link struct {
	*memory
	cut atomic.Bool
}

func (l *link) Get(ctx context.Context, key string) ([]byte, error) {
	if l.cut.Load() {
		return nil, errGone
	}
	return l.memory.Get(ctx, key)
}

func (l *link) Set(ctx context.Context, key string, value []byte, expiry time.Duration) error {
	if l.cut.Load() {
		return errGone
	}
	return l.memory.Set(ctx, key, value, expiry)
}

func (l *link) SetNew(ctx context.Context, key string, value []byte, expiry time.Duration) (bool, error) {
	if l.cut.Load() {
		return false, errGone
	}
	return l.memory.SetNew(ctx, key, value, expiry)
}

// TestAReadingThatComesLate: a replica whose claim has run out while it read does not put
// what it has in the place of a newer reading, and takes that over.
func TestAReadingThatComesLate(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	store := new(memory)
	bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
		var delay atomic.Int64
		way, other := &link{memory: store}, &link{memory: store}
		one := newReplicaAt(t, slowGate{gate{d, "0"}, &delay}, way, nil)
		defer one.close()
		first := follow(t, one, watching("c", age))
		pass(t, age/2)
		two := newReplica(t, d, "1", other)
		defer two.close()
		follow(t, two, watching("c", age))
		delay.Store(int64(age * 3 / 2))
		pass(t, age*45/100)
		other.cut.Store(true)
		pass(t, age/10) // one reads
		other.cut.Store(false)
		pass(t, age/20)
		way.cut.Store(true)
		d.set(fleet(3, "b")...)
		pass(t, age*5/4) // two reads
		way.cut.Store(false)
		polls := len(d.polls())
		pass(t, age/2) // one comes to its end
		three := newReplica(t, d, "2", store)
		defer three.close()
		third := follow(t, three, watching("c", age))
		pass(t, time.Second)
		want := strings.Join(fleet(3, "b"), ",")
		if first.has() != want || third.has() != want || len(d.polls()) != polls {
			t.Errorf("one has %s, who comes then %q, after %d more polls", first.has(), third.has(), len(d.polls())-polls)
		}
		for _, p := range one.pollers { // the same for what it failed to read
			p.complain(t.Context(), &fault.Error{Kind: fault.Unreachable}, age)
			newest := p.latest.asked
			p.latest.asked = newest.Add(-age)
			p.complain(t.Context(), &fault.Error{Kind: fault.Unreachable}, age)
			if h, err := readHead(t.Context(), p.shared, p.id); err != nil || !h.Asked.Equal(newest) || h.Trouble == nil {
				t.Errorf("the reading of %v is said to be the newest, that of %v is: %+v, %v", p.latest.asked, newest, h, err)
			}
		}
	})
}

// TestTheLastWatcherLeavesInTheMiddle of a poll: those at other replicas do not wait for it.
func TestTheLastWatcherLeavesInTheMiddle(t *testing.T) {
	d := &fakeDashboard{delay: 2 * time.Second}
	d.set(fleet(3, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		var watchers [2]*Watcher
		for i := range watchers {
			var err error
			if watchers[i], err = all[i].Open(t.Context(), watching("c", age)); err != nil {
				t.Fatal(err)
			}
			pass(t, age*3/10)
		}
		pass(t, age/2) // one of them reads
		d.set(fleet(3, "b")...)
		d.mu.Lock()
		reads := int(d.by[len(d.by)-1][0] - '0')
		d.mu.Unlock()
		watchers[reads].Close()
		stays := watchers[1-reads]
		defer stays.Close()
		pass(t, 3*time.Second)
		u, err := stays.Next(t.Context())
		if err != nil || len(d.polls()) != 3 {
			t.Fatalf("%v, after %d polls", err, len(d.polls()))
		}
		has := make(map[string]string)
		mirror(t, has, u, 1<<20)
		if has["Q1"] != device(1, "b") {
			t.Errorf("it has %v", has)
		}
	})
}

// A pagedGate takes a time of its own for each page.
type pagedGate struct {
	gate
	takes map[string]time.Duration // by query
}

func (g pagedGate) Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result {
	a := g.gate.Attempt(ctx, r)
	<-time.After(g.takes[r.Query])
	return a
}

// TestReadingsThatOverlap are not one newer than the other: the one that began later may
// have read the last page earlier. No row goes back.
func TestReadingsThatOverlap(t *testing.T) {
	d := &fakeDashboard{perPage: 1}
	d.set(fleet(2, "a")...)
	store := new(memory)
	bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
		way := &link{memory: store}
		way.cut.Store(true)
		one := newReplicaAt(t, pagedGate{gate{d, "0"}, map[string]time.Duration{"": 2 * time.Second}}, way, nil)
		defer one.close()
		first := follow(t, one, watching("c", age))
		pass(t, time.Second/2)
		two := newReplicaAt(t, pagedGate{gate{d, "1"}, map[string]time.Duration{"": time.Second / 2, "after=1": 2 * time.Second}}, store, nil)
		defer two.close()
		second := follow(t, two, watching("c", age))
		pass(t, time.Second)
		d.set(fleet(2, "b")...)
		pass(t, 3*time.Second)
		way.cut.Store(false)
		pass(t, 2*age)
		for _, r := range []*reader{first, second} {
			if got := r.got(); len(got.seen) > 4 || r.has() != strings.Join(fleet(2, "b"), ",") {
				t.Errorf("it was sent %s", got.seen)
			}
		}
	})
}

// TestAPollThatDoesNotEnd is a trouble once the state is twice as old as the watcher accepts,
// and 10 s, at the replica that polls and at those that wait for it.
func TestAPollThatDoesNotEnd(t *testing.T) {
	for _, age := range []time.Duration{time.Second, 10 * time.Second} {
		d := &fakeDashboard{}
		d.set(fleet(3, "a")...)
		bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
			readers := []*reader{follow(t, all[0], watching("c", age)), follow(t, all[1], watching("d", age))}
			pass(t, age/2)
			d.mu.Lock()
			d.delay = 50 * time.Second
			d.mu.Unlock()
			late := max(2*age, 10*time.Second)
			for want, d := range []time.Duration{late - age/2 - time.Millisecond, age + time.Millisecond} {
				pass(t, d)
				for i, r := range readers {
					if n := r.got().troubles; n != want {
						t.Errorf("age %v: reader %d was told of %d troubles, want %d", age, i, n, want)
					}
				}
			}
			d.mu.Lock()
			d.delay = 0
			d.mu.Unlock()
			pass(t, 50*time.Second+2*age)
			for i, r := range readers {
				if got := r.got(); got.updates != 3 || got.troubles != 1 || len(got.seen) != 3 {
					t.Errorf("age %v: when it is over reader %d was sent %+v", age, i, got)
				}
			}
		})
	}
}
