// Package lane is the queue in front of one budget: who waits, who is next, who is
// refused.
//
// A call asks for a slot (slot.go), which is the right to one attempt. It queues in
// the lane in front of the budget that pays (lane.go, queue.go). A lane asks its
// scheduler for slots with what waits at that moment and binds a slot to a call only
// when the slot is there (drive.go; egress.go where replicas share the address's
// budget), so a call that has left costs nothing. What cannot be served in time is
// refused before anything is spent (wait.go), a queue that stands is shed from its head
// (shed.go), and who comes back at the moment that it was told has a place
// (reservation.go). lanes.go finds the lane of a budget, budget.go shows what is in it.
//
// A lane has a goroutine only while calls wait in it (lifecycle.go).
package lane

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A laneKind is what kind of budget a lane stands in front of.
type laneKind uint8

const (
	organizationLane laneKind = iota
	addressLane
	cautiousLane
	operationLane
	shareLane
)

// String is the kind as metrics name it.
func (k laneKind) String() string {
	return [...]string{"organization", "address", "unknown", "operation", "share"}[k]
}

// A taker is a scheduler that can grant one slot at once while nobody waits for
// the budget: the way of a call that finds its lane empty. A scheduler in the
// store is none, there even an empty lane has to be asked about.
type taker interface {
	Take(now time.Time, b ratelimit.Budget) bool
}

// A lane is the queue in front of one budget. While something waits in it, one
// goroutine (drive) pulls slots for it; an idle lane has none.
type lane struct {
	kind laneKind
	// id is the organization's, the credential's, or "operation parameter".
	id     string
	budget ratelimit.Budget
	sched  ratelimit.Scheduler
	taker  taker // sched, where it can; nil otherwise
	// address is the lane of the egress address, which pays with every slot of an
	// organization; nil for the address's own lane and for operations' lanes.
	address *lane
	set     *Lanes

	mu      sync.Mutex
	queue   queue
	driving bool
	news    chan struct{} // of capacity 1; wakes drive
	fresh   bool          // a class waits that the scheduler has not been told of
	// lacking tells that the scheduler had no slot for some that wait, in the
	// address's lane.
	lacking bool
	pace    pace

	attempts, limited atomic.Int64
	used              atomic.Int64  // unix nanoseconds of the last call
	stamp             atomic.Uint64 // Lanes.changes when the lane last changed
	// proved tells that an attempt has been answered well: the budget is
	// somebody's, not that of an id that does not exist.
	proved atomic.Bool
}

// touch marks the lane as changed, for those who watch budgets.
func (l *lane) touch() { l.set.change(&l.stamp) }

// notice wakes drive, if it runs. It never blocks.
func (l *lane) notice() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// take grants a slot at once when nobody waits and the budget has one. It is the
// whole of admission for a call that finds its lane empty, and allocates nothing.
func (l *lane) take(now time.Time) bool {
	if l.taker == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue.length > 0 {
		return false
	}
	if l.address != nil && !l.address.take(now) {
		return false
	}
	if l.taker.Take(now, l.budget) {
		return true
	}
	if l.address != nil {
		l.address.pass(1, asked{own: now})
	}
	return false
}

// await waits in the lane, which w has joined, for one slot. It returns nil when w
// has it; a *refusal when the lane would no longer have it; the context's error when
// the caller left first, in which case a slot that came at that moment is passed on.
// release is called once, when the wait lasts.
func (l *lane) await(ctx context.Context, w *waiter, release func()) error {
	var late <-chan time.Time
	hold := time.NewTimer(holdMost)
	defer hold.Stop()
	for waits := true; waits; {
		if latest := w.latest(); !latest.IsZero() {
			t := time.NewTimer(time.Until(latest))
			defer t.Stop()
			late = t.C
		}
		select {
		case <-w.ready:
			waits = false
		case now := <-late:
			if now.Before(w.latest()) {
				continue // somebody with more time has joined the read
			}
			l.leave(w, &refusal{why: refusedDeadline})
			waits = false
		case <-hold.C:
			release()
		case <-ctx.Done():
			l.leave(w, nil)
			waits = false
		}
	}
	switch w.state {
	case granted:
		return nil
	case refused:
		return w.refusal
	default:
		return ctx.Err()
	}
}

// join puts w into the queue and sees to it that somebody pulls. It refuses when
// the broker drains or the queue is full.
func (l *lane) join(w *waiter) *refusal {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	w.state, w.refusal = waiting, nil
	if w.since.IsZero() {
		w.since = now
	}
	if !w.internal {
		if l.set.life.Draining() && !w.sent {
			return &refusal{why: refusedDraining}
		}
		if r := l.room(w, now); r != nil {
			return r
		}
		w.returning = w.returning || l.queue.claim(now, w)
		l.set.config.Observer.Queued(l.kind.String(), w.class.Priority, 1)
	}
	fresh := l.queue.push(w)
	w.at.Store(l)
	l.touch()
	if l.driving {
		// More of a class that waits already is no news to the scheduler: the
		// lane tells the new count when it pulls next.
		if fresh {
			l.fresh = true
			l.notice()
		}
		return nil
	}
	if l.news == nil {
		l.news = make(chan struct{}, 1)
	}
	if !l.set.life.Go(l.drive) {
		l.out(w, refused, &refusal{why: refusedDraining})
		return w.refusal
	}
	l.driving = true
	return nil
}

// out takes w from the queue with the lock held. The caller of out wakes it
// where somebody else waits for it.
func (l *lane) out(w *waiter, s waiterState, r *refusal) {
	l.queue.remove(w)
	w.at.Store(nil)
	w.state, w.refusal = s, r
	if !w.internal {
		l.set.config.Observer.Queued(l.kind.String(), w.class.Priority, -1)
	}
	l.touch()
}

// leave takes w out if it still waits, with a refusal or, when r is nil, because
// its caller has left; in that case a slot that it was just granted goes on.
func (l *lane) leave(w *waiter, r *refusal) {
	l.mu.Lock()
	switch {
	case w.state == waiting && r != nil:
		r.after = l.later(time.Now(), w)
		l.out(w, refused, r)
	case w.state == waiting:
		l.out(w, gone, nil)
	case w.state == granted && r == nil:
		w.state = gone
		l.mu.Unlock()
		l.pass(1, w.asked)
		return
	}
	if l.queue.length == 0 && l.driving {
		l.notice() // so that drive ends
	}
	l.mu.Unlock()
}

// raise moves w to a higher priority, if it still waits here.
func (l *lane) raise(w *waiter, p ratelimit.Priority) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.at.Load() != l || p >= w.class.Priority {
		return
	}
	if !w.internal {
		l.set.config.Observer.Queued(l.kind.String(), w.class.Priority, -1)
		l.set.config.Observer.Queued(l.kind.String(), p, 1)
	}
	l.queue.remove(w)
	w.class.Priority = p
	if l.queue.push(w) {
		l.fresh = true
		l.notice()
	}
	l.touch()
}
