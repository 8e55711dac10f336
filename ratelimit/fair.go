package ratelimit

import (
	"cmp"
	"slices"
	"strings"
)

// A fairQueue is the start-time fair queue of one budget. Every slot has a
// virtual start and a virtual finish. The start is the finish of the caller's
// last slot or the queue's virtual time, whichever is later. The finish is
// 1/weight after the start. The slot with the earliest start goes first. A caller
// that has been away starts at the virtual time: it has saved nothing and owes
// nothing. All priorities have one virtual time, so a caller's critical calls
// count among its others.
type fairQueue struct {
	// virtual is the virtual time: the start of the last slot.
	virtual float64
	// finish is the virtual finish of each caller's last slot. A finish that is
	// not above the virtual time has no effect.
	finish map[string]float64
	// sweepAt is the number of callers at which entries without effect are
	// dropped.
	sweepAt int
}

// MostClasses bounds the classes that one step of a scheduler looks at, so that a
// step takes as long for a thousand classes as for a hundred. A step looks at the
// classes that the queue would serve first, so no class is passed over.
const MostClasses = 64

// First returns at most MostClasses of the classes in which calls wait: the first
// ones by priority, then by the virtual start of the caller's next slot, then by
// name. more is the number of the remaining classes.
func First(waiting []Waiting, start func(caller string) float64) (first []Waiting, more int) {
	if len(waiting) <= MostClasses {
		return waiting, 0
	}
	type ranked struct {
		start float64
		index int
	}
	before := func(a, b ranked) int {
		x, y := &waiting[a.index], &waiting[b.index]
		if x.Priority != y.Priority {
			return cmp.Compare(x.Priority, y.Priority)
		}
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return strings.Compare(x.Caller, y.Caller)
	}
	best := make([]ranked, 0, MostClasses)
	for i := range waiting {
		if waiting[i].Count <= 0 {
			continue
		}
		r := ranked{start(waiting[i].Caller), i}
		if len(best) == MostClasses {
			more++
			if before(r, best[MostClasses-1]) >= 0 {
				continue
			}
			best = best[:MostClasses-1]
		}
		at, _ := slices.BinarySearchFunc(best, r, before)
		best = slices.Insert(best, at, r)
	}
	first = make([]Waiting, len(best))
	for i, r := range best {
		first[i] = waiting[r.index]
	}
	return first, more
}

// fewCallers is the number of callers up to which a sweep is not worth its time.
const fewCallers = 64

// A candidate is a class in one step.
type candidate struct {
	class  Class
	weight float64
	left   int // calls that have no slot yet
	finish float64
}

// grant gives out slots in the order of the queue, as long as take succeeds and
// up to the number most. more is the number of classes that are not among the
// candidates; where there are any, the candidates have to be in the order of the
// queue. grant returns the slots, and whether calls are left without one.
func (q *fairQueue) grant(all []candidate, more, most int, take func() bool) (granted []Class, left bool) {
	var last candidate
	if more > 0 {
		last = all[len(all)-1]
		last.finish = max(q.virtual, last.finish)
	}
	for {
		c := q.first(all)
		if c == nil {
			return granted, more > 0
		}
		if more > 0 && q.before(&last, c) {
			return granted, true // one that is not among the first may come before it
		}
		if len(granted) >= most || !take() {
			return granted, true
		}
		c.left--
		granted = append(granted, c.class)
		q.spend(c.class.Caller, c.weight)
		for i := range all {
			if all[i].class.Caller == c.class.Caller {
				all[i].finish = q.finish[c.class.Caller]
			}
		}
	}
}

// candidates appends the classes in which calls wait.
func (q *fairQueue) candidates(to []candidate, waiting []Waiting) []candidate {
	for _, w := range waiting {
		if w.Count > 0 {
			to = append(to, candidate{w.Class, w.Share(), w.Count, q.finish[w.Caller]})
		}
	}
	return to
}

// first is the candidate that gets the next slot; nil when none waits.
func (q *fairQueue) first(all []candidate) *candidate {
	var best *candidate
	for i := range all {
		if c := &all[i]; c.left > 0 && (best == nil || q.before(c, best)) {
			best = c
		}
	}
	return best
}

// before tells whether a slot of candidate a goes before one of candidate b.
func (q *fairQueue) before(a, b *candidate) bool {
	if a.class.Priority != b.class.Priority {
		return a.class.Priority < b.class.Priority
	}
	if x, y := max(q.virtual, a.finish), max(q.virtual, b.finish); x != y {
		return x < y
	}
	return a.class.Caller < b.class.Caller
}

// start is the virtual start of a caller's next slot.
func (q *fairQueue) start(caller string) float64 { return max(q.virtual, q.finish[caller]) }

// spend notes a slot that a caller was granted.
func (q *fairQueue) spend(caller string, weight float64) {
	start := q.start(caller)
	q.virtual = start
	if q.finish == nil {
		q.finish, q.sweepAt = make(map[string]float64), fewCallers
	}
	q.finish[caller] = start + 1/weight
	if len(q.finish) <= q.sweepAt {
		return
	}
	for caller, finish := range q.finish {
		if finish <= q.virtual {
			delete(q.finish, caller)
		}
	}
	q.sweepAt = max(fewCallers, 2*len(q.finish))
}
