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
	// reservationEarly is how much sooner than told a call may come: clocks and timers
	// of clients are coarse.
	reservationEarly = 50 * time.Millisecond
	// reservationLasts is how long after the moment the reservation is good.
	reservationLasts = 30 * time.Second
	// mostHistories is how many classes a lane remembers something of, and mostReservations
	// how many reservations of each.
	mostHistories    = 64
	mostReservations = 1000
)

// A classHistory is what a lane remembers of a class that was refused something, also
// while nothing of it waits.
type classHistory struct {
	// shedUntil is how long the class goes on being shed at the target.
	shedUntil time.Time
	// booked is the moment that the last refusal was told to come back at.
	booked       time.Time
	reservations map[uint64]reservation
}

// A reservation is the moment kept for calls that are alike.
type reservation struct {
	at time.Time
	n  int
}

// over tells that nothing of it matters any more.
func (p *classHistory) over(now time.Time) bool {
	return now.After(p.shedUntil) && now.After(p.booked.Add(reservationLasts))
}

// history gives what is remembered of a class, made where there is nothing; nil when
// the lane remembers too many.
func (q *queue) history(now time.Time, class ratelimit.Class) *classHistory {
	p := q.histories[class]
	if p != nil {
		return p
	}
	if len(q.histories) >= mostHistories {
		for other, p := range q.histories {
			if p.over(now) {
				delete(q.histories, other)
			}
		}
		if len(q.histories) >= mostHistories {
			return nil
		}
	}
	if q.histories == nil {
		q.histories = make(map[ratelimit.Class]*classHistory)
	}
	p = &classHistory{}
	q.histories[class] = p
	return p
}

// issue keeps a moment for calls like w.
func (p *classHistory) issue(now, at time.Time, fingerprint uint64) {
	if len(p.reservations) >= mostReservations {
		for other, t := range p.reservations {
			if now.After(t.at.Add(reservationLasts)) {
				delete(p.reservations, other)
			}
		}
		if len(p.reservations) >= mostReservations {
			return
		}
	}
	if p.reservations == nil {
		p.reservations = make(map[uint64]reservation)
	}
	p.reservations[fingerprint] = reservation{at, p.reservations[fingerprint].n + 1}
}

// claim takes the reservation of a call that has come back, if it has one.
func (q *queue) claim(now time.Time, w *waiter) bool {
	p := q.histories[w.class]
	if p == nil {
		return false
	}
	t, ok := p.reservations[w.fingerprint]
	if !ok || now.Before(t.at.Add(-reservationEarly)) {
		return false
	}
	if t.n--; t.n <= 0 || now.After(t.at.Add(reservationLasts)) {
		delete(p.reservations, w.fingerprint)
	} else {
		p.reservations[w.fingerprint] = t
	}
	return !now.After(t.at.Add(reservationLasts))
}

// reserve gives a refused call of w's class a moment of its own, not before now + d
// and a turn of the class after the last one given, so that those who come back
// as told do not come back together. It returns the time until then.
func (l *lane) reserve(now time.Time, d time.Duration, w *waiter) time.Duration {
	at := now.Add(d + d/20 + slack)
	p := l.queue.history(now, w.class)
	if p != nil && p.booked.After(at) {
		at = p.booked
	}
	at = at.Add(seconds(1 / (l.rate(now, l.sched.Peek(now, l.budget)) * l.queue.share(w.class, w.weight))))
	if latest := now.Add(longestDelay); at.After(latest) {
		at = latest
	}
	if p != nil {
		p.booked = at
		p.issue(now, at, w.fingerprint)
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

// fingerprint stands for what a call asks for: calls that are alike have the same.
func fingerprint(seed maphash.Seed, r *Request) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	h.WriteString(r.Operation)
	h.WriteByte(0)
	h.WriteString(r.Path)
	h.WriteByte(0)
	h.WriteString(r.Query)
	return h.Sum64()
}
