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

// A refusal says that a lane does not serve a call. The call has spent nothing in
// that lane.
type refusal struct {
	why string
	// after is the delay after which the caller should come back.
	after time.Duration
	// wait is how long the call would have waited, where the wait is the reason.
	wait time.Duration
}

// Error makes a refusal an error inside this package; refuse turns it into the
// fault that the caller gets.
func (r *refusal) Error() string { return "refused: " + r.why }

// shedIntervals is the number of intervals for which a class goes on being shed
// at the target after shedding was last needed. Calls come in bursts: one
// interval often ends in a lull of the same overload. If shedding waited for the
// next standing queue each time, the waits would grow to twice the target.
const shedIntervals = 10

// shed refuses calls from the head of the classes whose queue is standing, and
// returns the time until the next look. The lock is held. Only classes of normal
// or critical priority are shed. A queue is standing when its oldest
// first-time call has waited above the target for one interval. From then on each call that reaches
// the target is refused, until no refusal has been needed for shedIntervals. The
// last call of a class stays, so that shedding never leaves a slot unused.
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

// target is the wait above which a queue counts as standing. It is the configured
// target, or the time that two calls take, where the rate has fallen so far that
// this is longer.
func (l *lane) target(now time.Time) time.Duration {
	t := l.set.config.Target
	if two := time.Duration(2 / l.rate(now, l.sched.Peek(now, l.budget)) * float64(time.Second)); two > t {
		return two
	}
	return t
}

// room makes a place for a new call, with the lock held. When the lane is full,
// the class with the most calls for its weight loses its latest call.
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

// refuseAll refuses the calls that wait and have sent nothing; with everything
// set, it refuses every waiter. The lock is held.
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

// refuse turns a lane's refusal into the fault that the caller gets.
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

// roundUp rounds a delay up to whole milliseconds, so that the printed delay is
// not shorter than the computed one.
func roundUp(d time.Duration) time.Duration {
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
