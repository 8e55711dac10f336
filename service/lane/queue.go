package lane

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A waiterState is the state of a waiter. It changes once, under the lock of the
// lane in which the waiter waits.
type waiterState uint8

const (
	waiting waiterState = iota
	granted
	refused
	gone
)

// A waiter is one place in a lane. Most waiters stand for a call; see internal
// for the others.
type waiter struct {
	class  ratelimit.Class
	weight float64
	since  time.Time // when this wait began
	// ctx is the call's context, whose deadline may move while the call waits;
	// nil for a waiter without a deadline. service is the time that the deadline
	// has to leave for an attempt.
	ctx     context.Context
	service time.Duration
	// sent tells that the call has made attempts before: it finishes also while
	// the broker drains.
	sent bool
	// returning tells that the call comes back: for another attempt, or after a
	// refusal at the moment that the refusal named. It goes first in its class
	// and is not shed.
	returning bool
	// fingerprint stands for the thing that the call asks for (see the function).
	fingerprint uint64
	// internal marks a waiter that stands for no call, but for a lane that wants
	// slots of the address, or for a debt. It is neither shed nor refused nor
	// counted against the length.
	internal bool
	// debt tells that the slot is already spent, by a look-up that was made
	// before the owner was known.
	debt bool
	// unmet tells that the scheduler had no slot when it was asked with the waiter,
	// which is an internal one.
	unmet bool
	// ready is closed when the state has changed; nil where tell is used.
	ready chan struct{}
	// tell is the lane that an internal waiter notifies of the change.
	tell *lane

	state waiterState
	// asked is when the slot was asked for; it is set with granted.
	asked asked
	// refusal is set with refused.
	refusal *refusal

	prev, next *waiter
	in         *classQueue
	// at is the lane in which the waiter waits, for goroutines that do not know
	// the lane.
	at atomic.Pointer[lane]
}

// asked holds the times at which the two parts of a slot were asked for: the
// lane's own part, and the address's where there is one. A slot that is given
// back names these times.
type asked struct{ own, address time.Time }

// latest is the latest moment at which the waiter can use a slot; zero when there
// is no such limit.
func (w *waiter) latest() time.Time {
	if w.ctx == nil {
		return time.Time{}
	}
	deadline, ok := w.ctx.Deadline()
	if !ok {
		return time.Time{}
	}
	return deadline.Add(-w.service)
}

// wake tells the goroutine that waits, or the lane, that the state has changed.
func (w *waiter) wake() {
	if w.ready != nil {
		close(w.ready)
	}
	if w.tell != nil {
		w.tell.notice()
	}
}

// A classQueue holds the calls of one caller at one priority: first the calls
// that come back, then the others, each group oldest first.
type classQueue struct {
	class      ratelimit.Class
	weight     float64
	count      int
	head, tail *waiter
	index      int // in queue.classes
	// over is the moment since which the oldest first-time call has waited above
	// the target; zero when none has.
	over time.Time
}

// fresh gives the oldest call of a class that comes for the first time; nil when
// all calls come back.
func (c *classQueue) fresh() *waiter {
	w := c.head
	for w != nil && w.returning {
		w = w.next
	}
	return w
}

// A queue holds the waiters of a lane. The zero queue is empty. It has no lock of
// its own.
type queue struct {
	classes []*classQueue
	byClass map[ratelimit.Class]*classQueue
	// length counts all waiters; calls leaves out the internal ones.
	length, calls int
	// histories holds a history for each class that was refused a call.
	histories map[ratelimit.Class]*classHistory
}

// push adds w to its class, a call that comes back before the others, and tells
// whether the class is new in the queue.
func (q *queue) push(w *waiter) (fresh bool) {
	c := q.byClass[w.class]
	if c == nil {
		fresh = true
		c = &classQueue{class: w.class, index: len(q.classes)}
		if q.byClass == nil {
			q.byClass = make(map[ratelimit.Class]*classQueue)
		}
		q.byClass[w.class] = c
		q.classes = append(q.classes, c)
	}
	c.weight = w.weight
	at := c.tail // the waiter after which w goes
	for at != nil && (w.returning && !at.returning || w.returning == at.returning && at.since.After(w.since)) {
		at = at.prev
	}
	w.in, w.prev = c, at
	if at == nil {
		w.next, c.head = c.head, w
	} else {
		w.next, at.next = at.next, w
	}
	if w.next == nil {
		c.tail = w
	} else {
		w.next.prev = w
	}
	c.count++
	q.length++
	if !w.internal {
		q.calls++
	}
	return fresh
}

// remove takes w out of the queue. It forgets a class that has become empty.
func (q *queue) remove(w *waiter) {
	c := w.in
	if w.prev == nil {
		c.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		c.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.in, w.prev, w.next = nil, nil, nil
	c.count--
	q.length--
	if !w.internal {
		q.calls--
	}
	if c.count > 0 {
		return
	}
	delete(q.byClass, c.class)
	last := len(q.classes) - 1
	q.classes[c.index] = q.classes[last]
	q.classes[c.index].index = c.index
	q.classes[last] = nil
	q.classes = q.classes[:last]
}

// oldest is the head of a class; nil when no call of the class waits.
func (q *queue) oldest(class ratelimit.Class) *waiter {
	if c := q.byClass[class]; c != nil {
		return c.head
	}
	return nil
}

// first is the waiter that would be served next if shares did not count: the
// oldest of the highest priority. It is nil when the queue is empty.
func (q *queue) first() *waiter {
	var best *waiter
	for _, c := range q.classes {
		w := c.head
		if best == nil || w.class.Priority < best.class.Priority ||
			w.class.Priority == best.class.Priority && w.since.Before(best.since) {
			best = w
		}
	}
	return best
}

// waiting lists the classes for the scheduler, appended to dst.
func (q *queue) waiting(dst []ratelimit.Waiting) []ratelimit.Waiting {
	for _, c := range q.classes {
		dst = append(dst, ratelimit.Waiting{Class: c.class, Count: c.count, Weight: c.weight})
	}
	return dst
}

// ahead estimates how many waiters would be served before a new call of a class:
// all waiters of higher priority, all of its own class, and, of each other caller
// at its priority, as many as that caller's share lets through in the meantime.
func (q *queue) ahead(class ratelimit.Class, weight float64) int {
	own := 1
	if c := q.byClass[class]; c != nil {
		own += c.count
	}
	n := own - 1
	for _, c := range q.classes {
		switch {
		case c.class == class || c.class.Priority > class.Priority:
		case c.class.Priority < class.Priority:
			n += c.count
		default:
			n += min(c.count, int(float64(own)*c.weight/weight+0.5))
		}
	}
	return n
}

// longest is the latest call of the class with the most calls for its weight,
// among the classes of a priority no higher than the newcomer's. It is nil when
// the newcomer's own class has the most: the newcomer then has no other caller's
// place to take.
func (q *queue) longest(newcomer ratelimit.Class, weight float64) *waiter {
	var most *classQueue
	share := func(c *classQueue) float64 { return float64(c.count) / c.weight }
	for _, c := range q.classes {
		if c.class.Priority < newcomer.Priority || c.tail.internal {
			continue
		}
		if most == nil || c.class.Priority > most.class.Priority ||
			c.class.Priority == most.class.Priority && share(c) > share(most) {
			most = c
		}
	}
	if most == nil || most.class == newcomer {
		return nil
	}
	if most.class.Priority == newcomer.Priority {
		own := 1.0
		if c := q.byClass[newcomer]; c != nil {
			own += float64(c.count)
		}
		if own/weight >= share(most) {
			return nil
		}
	}
	return most.tail
}
