package lane

import (
	"hash/maphash"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A refused call is told when to come back, and the lane reserves that moment for
// it. A later call of the same caller for the same thing claims the reservation
// when it comes at the moment or not long after: it goes before the calls of its
// class that come for the first time, and is not shed. Without reservations a
// delay would be no better than a guess: as long as callers ask for more than the
// budget has, a caller that comes back as told would meet the next crowd. Shares
// between callers are the scheduler's, and reservations do not change them.
const (
	// reservationEarly is how long before its moment a call may come: the clocks
	// and timers of clients are coarse.
	reservationEarly = 50 * time.Millisecond
	// reservationLasts is how long after its moment a reservation is valid.
	reservationLasts = 30 * time.Second
	// mostHistories is the number of classes of which a lane keeps a history, and
	// mostReservations the number of reservations in each history.
	mostHistories    = 64
	mostReservations = 1000
)

// A classHistory is what a lane remembers of a class after it has refused a call
// of the class, also while no call of the class waits.
type classHistory struct {
	// shedUntil is the end of the time for which the class is shed at the target.
	shedUntil time.Time
	// booked is the moment that the last refused call was told to come back at.
	booked       time.Time
	reservations map[uint64]reservation
}

// A reservation is the moment kept for n calls with the same fingerprint.
type reservation struct {
	at time.Time
	n  int
}

// over tells that nothing in the history matters any more.
func (p *classHistory) over(now time.Time) bool {
	return now.After(p.shedUntil) && now.After(p.booked.Add(reservationLasts))
}

// history gives the history of a class, and makes one where there is none. It
// gives nil when the lane has too many.
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

// issue keeps a moment for one more call with this fingerprint.
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

// claim uses up the reservation of a call that has come back, and tells whether
// the call had a valid one.
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

// reserve gives a refused call of w's class a moment of its own, and returns the
// time until then. The moment is not before now + d, and it is one turn of the
// class after the moment given last, so that calls that come back as told do not
// come back together.
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

// share is the part of the slots that a class may count on beside the classes in
// which calls wait.
func (q *queue) share(class ratelimit.Class, weight float64) float64 {
	all := weight
	for _, c := range q.classes {
		if c.class != class && c.class.Priority <= class.Priority {
			all += c.weight
		}
	}
	return weight / all
}

// fingerprint stands for the thing that a call asks for: calls with the same
// operation, path and query have the same fingerprint.
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
