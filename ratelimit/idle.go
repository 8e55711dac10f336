package ratelimit

import "time"

const (
	// rest is how long a budget has to be left alone before it is looked at to
	// be forgotten; without it a budget with one call a second would come and
	// go with every call.
	rest = 10 * time.Second
	// sweep is how many budgets are looked at by each call. Two, so that what
	// is forgotten outruns what is new.
	sweep = 2
)

// A table holds the budgets in the order of their last use. A bucket that is full
// and has learned nothing is the same as a new one, so those that have been idle
// for long enough are forgotten, a few by each call: without a goroutine, and
// without a pause for all of them at once.
type table struct {
	byKey map[string]*entry
	// newest and oldest are the ends of the list by last use.
	newest, oldest *entry
}

// An entry is what is known of one budget.
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

// forget drops the longest idle entries that say nothing. One that still says
// something, but has been idle for long, goes to the other end of the list, so
// that it does not keep the others from being looked at.
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

// blank tells whether a new entry would be the same.
func (e *entry) blank(now time.Time) bool {
	if e.pace != nil && !e.pace.Old(now) {
		return false
	}
	return e.bucket.level(now) >= float64(e.bucket.burst)-grain
}
