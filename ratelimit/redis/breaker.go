package redis

import (
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

const (
	// probeFirst and probeLast are how long the breaker waits before it tries
	// the store again: soon after a hiccup, and never so long that an hour's
	// outage costs more than half a second when it is over.
	probeFirst = 50 * time.Millisecond
	probeLast  = 500 * time.Millisecond
	// calm is how long the store has to hold out for the next outage to be a new
	// one. After one that comes sooner the first probe waits four times as long as
	// after the last, up to probeMost: a store that is just about too slow would
	// otherwise be left and come back to all the time, and each return empties
	// the buckets.
	calm      = 10 * time.Second
	probeMost = 5 * time.Second
	// returning is how long after coming back a budget that was not used since
	// is taken to have been spent by others alone: until they are back, too.
	returning = 3 * time.Second
)

// probeAfter is how long to wait before probe n, counted from 0, of an outage that
// followed closely on so many others.
func probeAfter(n, close int) time.Duration {
	if n == 0 {
		return min(probeFirst<<(2*min(close, 8)), probeMost)
	}
	return min(probeFirst<<min(n, 8), probeLast)
}

// A outage is one stretch of time without the store.
type outage struct {
	since time.Time
	part  float64 // of every budget, for this replica
	key   string  // of the budget whose step failed; empty for none
	close int     // how many outages it followed on closely, one after the other
	local *ratelimit.Local
}

// A history is what is to be known of the outages until now.
type history struct {
	outages  uint64
	part     float64   // of the last one
	returned time.Time // when it ended; zero for never
}

// A breaker tells whether the store is to be asked.
type breaker struct {
	mu     sync.Mutex
	now    *outage // nil while the store is well
	close  int     // of the last outage
	past   history
	failed chan struct{} // says that an outage has begun
}

func newBreaker() *breaker {
	return &breaker{failed: make(chan struct{}, 1)}
}

// alone returns the outage that lasts, or nil.
func (b *breaker) alone() *outage {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// open begins an outage, unless one lasts already.
func (b *breaker) open(next *outage) (current *outage, opened bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now != nil {
		return b.now, false
	}
	if b.close++; b.past.returned.IsZero() || next.since.Sub(b.past.returned) > calm {
		b.close = 0
	}
	next.close = b.close
	b.now = next
	b.past.outages++
	b.past.part = next.part
	select {
	case b.failed <- struct{}{}:
	default: // the one who probes has not looked yet
	}
	return next, true
}

// restore ends the outage.
func (b *breaker) restore(at time.Time) (closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.now == nil {
		return false
	}
	b.now, b.past.returned = nil, at
	return true
}

// history tells of the outages until now.
func (b *breaker) history() history {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.past
}
