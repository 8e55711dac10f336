package broker

import (
	"sync"
	"time"
)

// The retry budget keeps an outage from being multiplied. A retry after a
// failure costs one token. Tokens come from attempts that succeed, and a few from
// time; not from calls. So while failures are scattered (up to a third of all
// attempts) every one is retried, and in an outage, when nothing succeeds, the
// bank runs dry and retries come to one in ten seconds: 10,000 calls into an
// outage of a minute make 16 attempts more than calls, far below the tenth of
// the traffic that the design allows.
//
// In between there is never more than one retry for two successes.
//
// A tenth of all calls, as usual budgets grant it, would do both worse: in an
// outage it lets a tenth through for nothing, and with one attempt in five
// failing it leaves every second failure without a retry.
//
// A 429 costs nothing here: it was not executed, and the lane that it stops makes
// it pay with a slot of the organization. So it is with the two 400s that are
// waited for, and with redirects.
const (
	retryBank     = 10.0 // tokens at the most, and at the start
	retryEarned   = 0.5  // by each attempt that succeeds
	retryTrickles = 0.1  // each second
)

// A retryBudget is one process's. The zero value is ready, and full.
type retryBudget struct {
	mu    sync.Mutex
	spent float64   // tokens that the bank lacks
	last  time.Time // up to when time has paid in
}

// allows tells whether a retry can be paid for at now.
func (b *retryBudget) allows(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trickle(now)
	return b.spent <= retryBank-1
}

// spend pays for one retry; false when there is nothing to pay with.
func (b *retryBudget) spend(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trickle(now)
	if b.spent > retryBank-1 {
		return false
	}
	b.spent++
	return true
}

// succeed pays in for an attempt that succeeded.
func (b *retryBudget) succeed() {
	b.mu.Lock()
	b.spent = max(b.spent-retryEarned, 0)
	b.mu.Unlock()
}

// trickle pays in what time has earned. Callers hold b.mu. A clock that goes
// back earns nothing and takes nothing.
func (b *retryBudget) trickle(now time.Time) {
	if d := now.Sub(b.last); d > 0 {
		if !b.last.IsZero() {
			b.spent = max(b.spent-d.Seconds()*retryTrickles, 0)
		}
		b.last = now
	}
}
