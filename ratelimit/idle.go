package ratelimit

import "time"

const (
	// rest is how long a budget has to be idle before forget looks at it. Without
	// it a budget with one call a second would be dropped and made again with
	// every call.
	rest = 10 * time.Second
	// sweep is the number of budgets that each call looks at. It is two, so that
	// budgets are forgotten faster than new ones come.
	sweep = 2
)

// A table holds the budgets in the order of their last use. A budget whose bucket
// is full and which has learned nothing is the same as a new one. Such budgets
// are forgotten once they have been idle for long enough, a few at each call.
// This needs no goroutine, and no pause for all of them at once.
type table struct {
	byKey map[string]*entry
	// newest and oldest are the ends of the list by last use.
	newest, oldest *entry
}

// An entry is the state of one budget.
type entry struct {
	key     string
	ceiling float64
	bucket  bucket
	pace    *Pace // nil while no stop has taught anything
	queue   fairQueue
	last    time.Time

	newer, older *entry
}

// find returns the entry of a key, or nil.
func (l *table) find(key string) *entry { return l.byKey[key] }

// add puts a new entry in.
func (l *table) add(e *entry) {
	if l.byKey == nil {
		l.byKey = make(map[string]*entry)
	}
	l.byKey[e.key] = e
	l.push(e)
}

// touch makes the entry the one used last.
func (l *table) touch(e *entry) {
	if l.newest == e {
		return
	}
	l.unlink(e)
	l.push(e)
}

func (l *table) push(e *entry) {
	e.older = l.newest
	if l.newest != nil {
		l.newest.newer = e
	} else {
		l.oldest = e
	}
	l.newest = e
}

func (l *table) unlink(e *entry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		l.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		l.oldest = e.newer
	}
	e.newer, e.older = nil, nil
}

// forget drops the longest idle budgets that are the same as new ones. An idle
// budget that differs from a new one goes to the other end of the list, so that
// it does not keep the others from being looked at.
func (l *table) forget(now time.Time) {
	for range sweep {
		e := l.oldest
		if e == nil || e == l.newest || now.Sub(e.last) < rest {
			return
		}
		if e.blank(now) {
			l.unlink(e)
			delete(l.byKey, e.key)
			continue
		}
		l.touch(e)
	}
}

// blank tells whether the entry is the same as a new one.
func (e *entry) blank(now time.Time) bool {
	if e.pace != nil && !e.pace.Old(now) {
		return false
	}
	return e.bucket.level(now) >= float64(e.bucket.burst)-grain
}
