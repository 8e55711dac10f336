package store

import (
	"sync"
	"time"
)

const (
	// firstPause and lastPause are how long nobody asks a store that has failed:
	// soon again after a hiccup, and never so long that an outage of an hour
	// costs more than half a second when it is over.
	firstPause = 50 * time.Millisecond
	lastPause  = 500 * time.Millisecond
)

// A breaker keeps callers from waiting for a store that is out of reach: after a
// failure one of them in a while tries, the others are told at once.
type breaker struct {
	mu       sync.Mutex
	failures int // one after the other
	until    time.Time
	trying   bool
	outages  uint64
	answered time.Time // when the latest command was sent that was answered
}

// allow tells whether a command may go to the store. One that may has to be
// reported with done.
func (b *breaker) allow(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return true
	}
	if b.trying || now.Before(b.until) {
		return false
	}
	b.trying = true
	return true
}

// done reports what became of a command that was sent at a moment. opened and closed tell
// that an outage has begun, or ended, with it. A failure begins none where a command that
// was sent later has been answered.
func (b *breaker) done(sent, now time.Time, failed bool) (opened, closed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
	if failed && sent.Before(b.answered) {
		return false, false
	}
	if !failed {
		if sent.After(b.answered) {
			b.answered = sent
		}
		closed = b.failures > 0
		b.failures = 0
		return false, closed
	}
	opened = b.failures == 0
	if opened {
		b.outages++
	}
	b.until = now.Add(min(firstPause<<min(b.failures, 8), lastPause))
	b.failures++
	return opened, false
}

// abandoned reports a command whose caller left before its end, which says nothing
// about the store.
func (b *breaker) abandoned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trying = false
}

// state is how often the store was lost, and whether it is there.
func (b *breaker) state() (outages uint64, there bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outages, b.failures == 0
}
