package lane

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// longestDelay bounds what a refusal tells the caller to wait: beyond it the
// estimate says nothing any more.
const longestDelay = 10 * time.Minute

// shortestAttempt is what has to be left of a deadline for an attempt to make
// sense where nothing is known of the operation: less than any round trip to
// the Dashboard takes, and enough to say no before the caller has gone.
const shortestAttempt = 10 * time.Millisecond

// slack is added to every such delay, and a twentieth: the wait is an estimate,
// and coming back a moment too soon costs the caller another round.
const slack = 200 * time.Millisecond

// rate is what the lane may count on, requests a second: the budget's at this
// moment, or where other replicas have their part in it, the pace at which this
// one has been served, never below an even share.
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

// wait is about how long a newcomer of a class would wait for its slot, with the
// lock held: what is ahead of it at the lane's rate, after a stop.
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

// waitLeast is how long nobody gets a slot here, whoever is first: the rest of a
// stop, and the time until the budget has a token.
func (l *lane) waitLeast(now time.Time) time.Duration {
	s := l.sched.Peek(now, l.budget)
	d := max(0, s.StoppedUntil.Sub(now))
	if s.Tokens < 1 {
		d += seconds((1 - s.Tokens) / l.rate(now, s))
	}
	return d
}

// foresee is as wait, the address's lane regarded: it is paid at the same moment,
// so the longer wait of the two is the wait.
func (l *lane) foresee(now time.Time, class ratelimit.Class, weight float64) time.Duration {
	d := l.wait(now, class, weight)
	if l.address != nil {
		l.address.mu.Lock()
		d = max(d, l.address.wait(now, class, weight))
		l.address.mu.Unlock()
	}
	return d
}

// fits says whether a call that has to be answered within left, and usually takes
// service once it has its slot, would be in time. When not, the refusal names the
// moment at which it would. Where only the service time speaks against it, probe
// has the last word.
func (l *lane) fits(now time.Time, w *waiter, left, service time.Duration, probe func() bool) *refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := l.foresee(now, w.class, w.weight)
	if w.sent {
		// It goes first, so only a stop can hold it.
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
		// It would not fit an empty lane either: more time is what it needs, and
		// the delay is only when the lane is free.
		return &refusal{why: refusedDeadline, wait: wait + service, after: l.reserve(now, wait, w)}
	}
	return &refusal{why: refusedDeadline, wait: wait, after: l.reserve(now, wait+service-left, w)}
}

// later is when a call that is refused now would find room: after a stop and
// after what would go before it, and after those that were told so before it.
func (l *lane) later(now time.Time, w *waiter) time.Duration {
	s := l.sched.Peek(now, l.budget)
	var d time.Duration
	if s.StoppedUntil.After(now) {
		d = s.StoppedUntil.Sub(now)
	}
	return l.reserve(now, d+seconds(float64(l.queue.ahead(w.class, w.weight))/l.rate(now, s)), w)
}

// seconds turns a number of seconds into a duration, bounded.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 1e6) * float64(time.Second))
}

// A pace is how fast slots have come while calls were waiting for them.
type pace struct {
	gap  float64 // seconds between two slots, smoothed
	last time.Time
	busy bool
}

// served notes n slots that came at once; busy tells that more calls wait.
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

// rate is in slots a second; 0 when it is not known.
func (p *pace) rate(now time.Time) float64 {
	if p.gap == 0 || now.Sub(p.last) > time.Minute {
		return 0
	}
	return 1 / max(p.gap, now.Sub(p.last).Seconds()/4, 1e-6)
}
