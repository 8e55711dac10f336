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

// A ledger holds the budgets in the order of their last use. A bucket that is
// full and has learned nothing is the same as a new one, so those that have
// been idle for long enough are forgotten, a few by each call: without a
// goroutine, and without a pause for all of them at once.
type ledger struct {
	byKey map[string]*account
	rest  time.Duration
	// newest and oldest are the ends of the list by last use.
	newest, oldest *account
}

// An account is what is known of one budget.
type account struct {
	key     string
	ceiling float64
	bucket  bucket
	pace    *Pace  // nil while no stop has taught anything
	queue   *queue // nil while nobody has had to wait
	last    time.Time

	newer, older *account
}

// find returns the account of a key, or nil.
func (l *ledger) find(key string) *account { return l.byKey[key] }

// add puts a new account in.
func (l *ledger) add(a *account) {
	if l.byKey == nil {
		l.byKey = make(map[string]*account)
	}
	l.byKey[a.key] = a
	l.push(a)
}

// touch makes the account the one used last.
func (l *ledger) touch(a *account) {
	if l.newest == a {
		return
	}
	l.unlink(a)
	l.push(a)
}

func (l *ledger) push(a *account) {
	a.older = l.newest
	if l.newest != nil {
		l.newest.newer = a
	} else {
		l.oldest = a
	}
	l.newest = a
}

func (l *ledger) unlink(a *account) {
	if a.newer != nil {
		a.newer.older = a.older
	} else {
		l.newest = a.older
	}
	if a.older != nil {
		a.older.newer = a.newer
	} else {
		l.oldest = a.newer
	}
	a.newer, a.older = nil, nil
}

// forget drops the longest idle accounts that say nothing. One that still says
// something, but has been idle for long, goes to the other end of the list, so
// that it does not keep the others from being looked at.
func (l *ledger) forget(now time.Time) {
	for range sweep {
		a := l.oldest
		if a == nil || a == l.newest || now.Sub(a.last) < l.rest {
			return
		}
		if a.blank(now) {
			l.unlink(a)
			delete(l.byKey, a.key)
			continue
		}
		l.touch(a)
	}
}

// blank tells whether a new account would be the same.
func (a *account) blank(now time.Time) bool {
	if a.pace != nil && !a.pace.Old(now) || a.queue.busy(now) {
		return false
	}
	return a.bucket.level(now) >= float64(a.bucket.burst)-grain
}
