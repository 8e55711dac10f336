package lane

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// Why a lane refuses a call, as metrics name it.
const (
	refusedDeadline = "deadline"
	refusedLength   = "length"
	refusedShed     = "shed"
	refusedDraining = "draining"
)

// A refusal is a call that a lane does not serve. Nothing was spent on it there.
type refusal struct {
	why string
	// after is when to come back.
	after time.Duration
	// wait is how long it would have waited, where that is the reason.
	wait time.Duration
}

// Error makes a refusal an error of the lane's; the caller gets a fault.
func (r *refusal) Error() string { return "refused: " + r.why }

// shedIntervals is for how many intervals after the last need a class goes on
// being shed at the target. Calls come in gusts: one interval is often over in a
// lull of the same overload, and waiting for the next standing queue each time
// would let the waits grow to twice the target.
const shedIntervals = 10

// shed refuses calls from the head of the classes whose queue has been standing,
// with the lock held, and returns when to look again. A class of normal or
// critical priority stands when its oldest has waited above the target for the
// interval; from then on whatever reaches the target is refused, until that has
// not been needed for a while. The last of a class stays, so that shedding never
// leaves a slot unused.
func (l *lane) shed(now time.Time) (next time.Duration) {
	next = time.Hour
	if l.queue.calls == 0 || l.kind == cautiousLane {
		// Look-ups are few, slow by intent, and serve every later call: they wait
		// as long as their deadline allows.
		return next
	}
	target, interval := l.target(now), l.set.config.Interval
	for i := 0; i < len(l.queue.classes); i++ {
		c := l.queue.classes[i]
		if c.class.Priority > ratelimit.Normal || c.head.internal {
			continue
		}
		for w := c.fresh(); w != nil; w = c.fresh() {
			age := now.Sub(w.since)
			if age < target {
				c.over = time.Time{}
				if c.count > 1 {
					next = min(next, target-age)
				}
				break
			}
			if c.over.IsZero() {
				c.over = w.since.Add(target)
			}
			p := l.queue.histories[c.class]
			if p != nil && now.Before(p.shedUntil) || now.Sub(c.over) >= interval {
				if c.count == 1 {
					break
				}
				if p = l.queue.history(now, c.class); p != nil {
					p.shedUntil = now.Add(shedIntervals * interval)
				}
				l.out(w, refused, &refusal{why: refusedShed, after: l.later(now, w)})
				w.wake()
				continue
			}
			if c.count > 1 {
				next = min(next, interval-now.Sub(c.over))
			}
			break
		}
	}
	return max(next, shortestSleep)
}

// target is the wait above which a class stands: the configured one, or where
// the rate has come down so far that even two calls take longer, that.
func (l *lane) target(now time.Time) time.Duration {
	t := l.set.config.Target
	if two := time.Duration(2 / l.rate(now, l.sched.Peek(now, l.budget)) * float64(time.Second)); two > t {
		return two
	}
	return t
}

// room sees to it that a newcomer has a place, with the lock held: when the lane
// is full, that of the latest call of whoever has most.
func (l *lane) room(w *waiter, now time.Time) *refusal {
	if l.queue.calls < l.set.config.Length {
		return nil
	}
	last := l.queue.longest(w.class, w.weight)
	if last == nil {
		return &refusal{why: refusedLength, after: l.later(now, w)}
	}
	l.out(last, refused, &refusal{why: refusedLength, after: l.later(now, last)})
	last.wake()
	return nil
}

// refuseAll refuses what waits, with the lock held: calls that have sent nothing,
// or everything.
func (l *lane) refuseAll(why string, everything bool) {
	for i := 0; i < len(l.queue.classes); {
		c := l.queue.classes[i]
		before := len(l.queue.classes)
		for w := c.head; w != nil; {
			next := w.next
			if everything || !w.internal && !w.sent {
				l.out(w, refused, &refusal{why: why})
				w.wake()
			}
			w = next
		}
		if len(l.queue.classes) == before {
			i++ // else the last class has taken this one's place
		}
	}
	l.notice()
}

// refuse turns a lane's refusal into what the caller is told.
func (l *lane) refuse(operation string, r *refusal) *fault.Error {
	if r.why == refusedDraining {
		return fault.Stopping(operation)
	}
	e := &fault.Error{
		Kind: fault.BudgetExhausted, Operation: operation, Budget: l.budget.Key,
		RetryAfter: roundUp(r.after),
	}
	switch r.why {
	case refusedDeadline:
		e.Detail = "no slot of the budget in time for the call's deadline: come back after the delay, or give the call more time"
		if r.wait > 0 {
			e.Detail = "the wait for a slot of the budget is " + r.wait.Round(time.Millisecond).String() +
				", more than the call's deadline leaves: come back after the delay, or give the call more time"
		}
	case refusedLength:
		e.Detail = "too many calls wait for the budget already: come back after the delay, and spread the calls"
	case refusedShed:
		e.Detail = "more is asked of the budget than it has, and the call has waited too long to be served soon: come back after the delay"
	}
	return e
}

// roundUp gives a delay in whole milliseconds, so that what is printed is not
// sooner than what was meant.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
