package lane

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// longestDelay bounds the delay that a refusal tells the caller: an estimate of a
// longer wait says nothing any more.
const longestDelay = 10 * time.Minute

// shortestAttempt is the time that a deadline has to leave for an attempt when no
// service time of the operation is known. It is less than any round trip to the
// Dashboard takes, and enough to refuse the call before the caller has gone.
const shortestAttempt = 10 * time.Millisecond

// slack is added to every delay that a refusal tells, and a twentieth of the
// delay with it: the wait is an estimate, and a caller that comes back a moment
// too soon pays with another round.
const slack = 200 * time.Millisecond

// rate is the number of slots a second that the lane may count on. It is the
// budget's rate in force. Where other replicas spend the same budget, it is the
// pace at which this replica has been served, but never below an even share.
func (l *lane) rate(now time.Time, s ratelimit.State) float64 {
	r := s.Rate
	if r <= 0 {
		r = l.budget.Rate
	}
	if s.Replicas > 1 {
		if p := l.pace.rate(now); p > 0 && p < r {
			r = max(p, r/float64(s.Replicas))
		}
	}
	return r
}

// wait estimates how long a new call of a class would wait for its slot: the rest
// of a stop, then the calls ahead of it at the lane's rate. The lock is held.
func (l *lane) wait(now time.Time, class ratelimit.Class, weight float64) time.Duration {
	s := l.sched.Peek(now, l.budget)
	var d time.Duration
	if s.StoppedUntil.After(now) {
		d = s.StoppedUntil.Sub(now)
	}
	if need := float64(l.queue.ahead(class, weight)+1) - s.Tokens; need > 0 {
		d += seconds(need / l.rate(now, s))
	}
	return d
}

// waitLeast is the time during which the lane grants no slot to any call: the
// rest of a stop, and the time until the budget has a token.
func (l *lane) waitLeast(now time.Time) time.Duration {
	l.mu.Lock() // the pace belongs to the goroutine that pulls
	defer l.mu.Unlock()
	s := l.sched.Peek(now, l.budget)
	d := max(0, s.StoppedUntil.Sub(now))
	if s.Tokens < 1 {
		d += seconds((1 - s.Tokens) / l.rate(now, s))
	}
	return d
}

// foresee estimates the wait as wait does, and takes the address's lane into
// account: a call pays both budgets at the same moment, so the longer of the two
// waits counts.
func (l *lane) foresee(now time.Time, class ratelimit.Class, weight float64) time.Duration {
	d := l.wait(now, class, weight)
	if l.address != nil {
		l.address.mu.Lock()
		d = max(d, l.address.wait(now, class, weight))
		l.address.mu.Unlock()
	}
	return d
}

// fits refuses a call that would not be answered within left; service is how long
// its attempt usually takes once the call has a slot. The refusal names the
// moment at which the call would be in time. When only the service time speaks
// against the call, probe decides.
func (l *lane) fits(now time.Time, w *waiter, left, service time.Duration, probe func() bool) *refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.foresee(now, w.class, w.weight)
	if w.sent {
		// A call that has made attempts goes first, so only a stop can hold it.
		wait = max(0, l.sched.Peek(now, l.budget).StoppedUntil.Sub(now))
	}
	if wait+service <= left || service > left && wait+shortestAttempt <= left && probe() {
		return nil
	}
	if !w.returning && l.queue.claim(now, w) {
		w.returning = true
		return nil
	}
	if service > left {
		// The call would not fit into an empty lane either. It needs more time;
		// the delay only says when the lane is free.
		return &refusal{why: refusedDeadline, wait: wait + service, after: l.reserve(now, wait, w)}
	}
	return &refusal{why: refusedDeadline, wait: wait, after: l.reserve(now, wait+service-left, w)}
}

// later is the delay after which a refused call would find room: after a stop,
// after the calls that would go before it, and after the calls that were refused
// and told a moment before it.
func (l *lane) later(now time.Time, w *waiter) time.Duration {
	s := l.sched.Peek(now, l.budget)
	var d time.Duration
	if s.StoppedUntil.After(now) {
		d = s.StoppedUntil.Sub(now)
	}
	return l.reserve(now, d+seconds(float64(l.queue.ahead(w.class, w.weight))/l.rate(now, s)), w)
}

// seconds turns a number of seconds into a duration, at most a million seconds.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 1e6) * float64(time.Second))
}

// A pace is the speed at which slots have come while calls were waiting for them.
type pace struct {
	gap  float64 // seconds between two slots, smoothed
	last time.Time
	busy bool
}

// served notes n slots that came at once. busy tells that more calls wait.
func (p *pace) served(now time.Time, n int, busy bool) {
	if n > 0 {
		if dt := now.Sub(p.last).Seconds(); p.busy && dt > 0 {
			gap := dt / float64(n)
			if p.gap == 0 {
				p.gap = gap
			} else {
				p.gap += 0.1 * (gap - p.gap)
			}
		}
		p.last = now
	}
	p.busy = busy
}

// rate is the pace in slots a second; 0 when it is not known.
func (p *pace) rate(now time.Time) float64 {
	if p.gap == 0 || now.Sub(p.last) > time.Minute {
		return 0
	}
	return 1 / max(p.gap, now.Sub(p.last).Seconds()/4, 1e-6)
}
