package lane

import (
	"hash/maphash"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A call that is refused is told when to come back, and that moment is kept for
// it: a later call of the same caller for the same thing, not before the moment
// and not long after, goes before those of its class that come for the first
// time, and is not shed. Without that a delay would be no better than a guess:
// as long as more is asked than there is, whoever comes back meets the next
// crowd. Shares between callers are the scheduler's and do not change.
const (
	// ticketEarly is how much sooner than told a call may come: clocks and timers
	// of clients are coarse.
	ticketEarly = 50 * time.Millisecond
	// ticketLasts is how long after the moment the ticket is good.
	ticketLasts = 30 * time.Second
	// mostPasts is how many classes a lane remembers something of, and mostTickets
	// how many tickets of each.
	mostPasts   = 64
	mostTickets = 1000
)

// A past is what a lane remembers of a class that was refused something, also
// while nothing of it waits.
type past struct {
	// shedUntil is how long the class goes on being shed at the target.
	shedUntil time.Time
	// booked is the moment that the last refusal was told to come back at.
	booked  time.Time
	tickets map[uint64]ticket
}

// A ticket is the moment kept for calls that are alike.
type ticket struct {
	at time.Time
	n  int
}

// over tells that nothing of it matters any more.
func (p *past) over(now time.Time) bool {
	return now.After(p.shedUntil) && now.After(p.booked.Add(ticketLasts))
}

// past gives what is remembered of a class, made where there is nothing; nil when
// the lane remembers too many.
func (q *queue) past(now time.Time, class ratelimit.Class) *past {
	p := q.pasts[class]
	if p != nil {
		return p
	}
	if len(q.pasts) >= mostPasts {
		for other, p := range q.pasts {
			if p.over(now) {
				delete(q.pasts, other)
			}
		}
		if len(q.pasts) >= mostPasts {
			return nil
		}
	}
	if q.pasts == nil {
		q.pasts = make(map[ratelimit.Class]*past)
	}
	p = &past{}
	q.pasts[class] = p
	return p
}

// issue keeps a moment for calls like w.
func (p *past) issue(now, at time.Time, thing uint64) {
	if len(p.tickets) >= mostTickets {
		for other, t := range p.tickets {
			if now.After(t.at.Add(ticketLasts)) {
				delete(p.tickets, other)
			}
		}
		if len(p.tickets) >= mostTickets {
			return
		}
	}
	if p.tickets == nil {
		p.tickets = make(map[uint64]ticket)
	}
	p.tickets[thing] = ticket{at, p.tickets[thing].n + 1}
}

// redeem takes the ticket of a call that has come back, if it has one.
func (q *queue) redeem(now time.Time, w *waiter) bool {
	p := q.pasts[w.class]
	if p == nil {
		return false
	}
	t, ok := p.tickets[w.thing]
	if !ok || now.Before(t.at.Add(-ticketEarly)) {
		return false
	}
	if t.n--; t.n <= 0 || now.After(t.at.Add(ticketLasts)) {
		delete(p.tickets, w.thing)
	} else {
		p.tickets[w.thing] = t
	}
	return !now.After(t.at.Add(ticketLasts))
}

// book gives a refused call of w's class a moment of its own, not before now + d
// and a turn of the class after the last one given, so that those who come back
// as told do not come back together. It returns the time until then.
func (l *lane) book(now time.Time, d time.Duration, w *waiter) time.Duration {
	at := now.Add(d + d/20 + slack)
	p := l.queue.past(now, w.class)
	if p != nil && p.booked.After(at) {
		at = p.booked
	}
	at = at.Add(seconds(1 / (l.rate(now, l.sched.Peek(now, l.budget)) * l.queue.share(w.class, w.weight))))
	if latest := now.Add(longestDelay); at.After(latest) {
		at = latest
	}
	if p != nil {
		p.booked = at
		p.issue(now, at, w.thing)
	}
	return at.Sub(now)
}

// share is the part of the slots that a class may count on beside those that wait.
func (q *queue) share(class ratelimit.Class, weight float64) float64 {
	all := weight
	for _, c := range q.classes {
		if c.class != class && c.class.Priority <= class.Priority {
			all += c.weight
		}
	}
	return weight / all
}

// thing is what a call asks for, in short: calls that are alike have the same.
func thing(seed maphash.Seed, r *Request) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(r.Operation)
	h.WriteByte(0)
	h.WriteString(r.Path)
	h.WriteByte(0)
	h.WriteString(r.Query)
	return h.Sum64()
}
