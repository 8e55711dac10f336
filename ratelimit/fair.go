package ratelimit

import "time"

const (
	// grace is how long a slot that has fallen due in another lane is left to
	// it. A lane pulls at the time it was told, give or take its timer and its
	// journey; after that the slot goes to whoever asks.
	grace = 20 * time.Millisecond
	// absence is how long after the time it was told a lane that has not come
	// is thought to be there still. Then what it said is forgotten.
	absence = 500 * time.Millisecond
	// horizon bounds how many slots ahead a pull looks for its own.
	horizon = 32
)

// A queue is the start-time fair queue of one budget. Every slot has a virtual
// start, the finish of the caller's last slot or the queue's virtual time,
// whichever is later, and finishes 1/weight after it; the slot that starts
// first goes first. A caller that has been away starts at the virtual time: it
// has saved nothing up, and owes nothing. The virtual time is one for all
// priorities, so what a caller spends on critical calls counts among its others.
type queue struct {
	virtual float64
	turn    int64 // counts slots, for the order of the lanes of one class
	callers []caller
	places  []place
	lanes   []lane
}

// A caller has the virtual finish of its last slot.
type caller struct {
	name   string
	finish float64
	ahead  float64 // finish, on the way through the slots to come
}

// A place is what waits of one class in one lane.
type place struct {
	class  Class
	from   string
	count  int
	weight float64
	turn   int64     // of the last slot here
	due    time.Time // since when a slot has been left for this place; zero for none

	left  int   // count and turn, on the way through the slots to come
	next  int64 //
	owner int   // index in callers
	late  bool
	freed bool // a free slot falls to it now
	kept  bool
}

// A lane is one that has said what waits in it.
type lane struct {
	from  string
	until time.Time
}

// busy tells whether anything waits.
func (q *queue) busy(now time.Time) bool {
	if q == nil || len(q.places) == 0 {
		return false
	}
	q.expire(now)
	return len(q.places) > 0
}

// expire forgets lanes that have not come for long.
func (q *queue) expire(now time.Time) {
	for i := 0; i < len(q.lanes); {
		if !now.After(q.lanes[i].until) {
			i++
			continue
		}
		q.leave(q.lanes[i].from)
	}
}

// leave forgets a lane and what waits in it.
func (q *queue) leave(from string) {
	q.lanes = drop(q.lanes, func(l lane) bool { return l.from == from })
	q.places = drop(q.places, func(p place) bool { return p.from == from })
}

// join notes what waits in a lane, in place of what it said before.
func (q *queue) join(now time.Time, from string, waiting []Waiting) {
	q.expire(now)
	for i := range q.places {
		q.places[i].kept = q.places[i].from != from
	}
	for _, w := range waiting {
		if w.Count <= 0 {
			continue
		}
		i := 0
		for i < len(q.places) && (q.places[i].class != w.Class || q.places[i].from != from) {
			i++
		}
		if i == len(q.places) {
			q.places = append(q.places, place{class: w.Class, from: from})
		}
		p := &q.places[i]
		p.count, p.weight, p.due, p.kept = w.Count, w.Share(), time.Time{}, true
	}
	q.places = drop(q.places, func(p place) bool { return !p.kept })
}

// promise notes when a lane will come again; a lane in which nothing waits any
// more is forgotten.
func (q *queue) promise(now time.Time, from string, again time.Duration) {
	q.places = drop(q.places, func(p place) bool { return p.count <= 0 })
	if again < 0 {
		q.leave(from)
		return
	}
	until := now.Add(min(again, time.Hour) + absence)
	for i := range q.lanes {
		if q.lanes[i].from == from {
			q.lanes[i].until = until
			return
		}
	}
	q.lanes = append(q.lanes, lane{from, until})
}

// walk goes through the slots to come in their order, free ones first. Those
// that are free and fall to the lane are taken; the number of the first one
// that does not is returned, counted from 1, or 0 if there is none. One that is
// free but beyond most is the number 1: it could be had at once.
func (q *queue) walk(now time.Time, from string, free, ahead, most int, take func() bool) (granted []Class, slot int) {
	q.prepare()
	virtual, turn := q.virtual, q.turn
	for n := 0; n < free+ahead; n++ {
		if n == free {
			q.settle(from)
		}
		p := q.first(virtual)
		if p == nil {
			q.settle(from)
			return granted, 0
		}
		mine := p.from == from
		switch {
		case n < free && !mine:
			if p.freed = true; p.due.IsZero() {
				p.due = now
			}
			if now.Sub(p.due) > grace {
				p.late = true
				n--
				continue
			}
		case mine && most > 0 && len(granted) >= most && n < free:
			return granted, 1
		case mine && (n >= free || !take()):
			return granted, n + 1
		}
		who := &q.callers[p.owner]
		start := max(virtual, who.ahead)
		virtual, who.ahead = start, start+1/p.weight
		turn++
		p.left, p.next = p.left-1, turn
		if mine {
			q.virtual, q.turn = max(q.virtual, start), q.turn+1
			who.finish, p.turn = who.ahead, q.turn
			p.count, p.due = p.count-1, time.Time{}
			granted = append(granted, p.class)
		}
	}
	return granted, free + ahead
}

// settle ends the time that other lanes have to fetch a slot which is not
// free for them any more.
func (q *queue) settle(from string) {
	for i := range q.places {
		if p := &q.places[i]; p.from != from && !p.freed {
			p.due = time.Time{}
		}
	}
}

// prepare finds the callers of the places and sets out from where they are.
func (q *queue) prepare() {
	for i := range q.callers {
		q.callers[i].ahead = -1
	}
	for i := range q.places {
		p := &q.places[i]
		p.left, p.next, p.late, p.freed, p.owner = p.count, p.turn, false, false, 0
		for p.owner < len(q.callers) && q.callers[p.owner].name != p.class.Caller {
			p.owner++
		}
		if p.owner == len(q.callers) {
			q.callers = append(q.callers, caller{name: p.class.Caller})
		}
		q.callers[p.owner].ahead = q.callers[p.owner].finish
	}
}

// tidy forgets the callers that owe nothing and wait for nothing.
func (q *queue) tidy() {
	q.callers = drop(q.callers, func(c caller) bool {
		if c.finish > q.virtual {
			return false
		}
		for i := range q.places {
			if q.places[i].class.Caller == c.name {
				return false
			}
		}
		return true
	})
}

// first is the place that the next slot falls to.
func (q *queue) first(virtual float64) *place {
	var best *place
	var bestStart float64
	for i := range q.places {
		p := &q.places[i]
		if p.left <= 0 || p.late {
			continue
		}
		start := max(virtual, q.callers[p.owner].ahead)
		if best == nil || before(p, start, best, bestStart) {
			best, bestStart = p, start
		}
	}
	return best
}

// before tells whether a slot of place a goes before one of place b.
func before(a *place, aStart float64, b *place, bStart float64) bool {
	switch {
	case a.class.Priority != b.class.Priority:
		return a.class.Priority < b.class.Priority
	case aStart != bStart:
		return aStart < bStart
	case a.class.Caller != b.class.Caller:
		return a.class.Caller < b.class.Caller
	case a.next != b.next:
		return a.next < b.next
	}
	return a.from < b.from
}

// shift moves every time by d, after a step of the clock.
func (q *queue) shift(d time.Duration) {
	for i := range q.places {
		if !q.places[i].due.IsZero() {
			q.places[i].due = q.places[i].due.Add(d)
		}
	}
	for i := range q.lanes {
		q.lanes[i].until = q.lanes[i].until.Add(d)
	}
}

// drop removes what matches, keeping the order.
func drop[T any](all []T, match func(T) bool) []T {
	kept := all[:0]
	for _, x := range all {
		if !match(x) {
			kept = append(kept, x)
		}
	}
	clear(all[len(kept):])
	return kept
}
