package rest

import (
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A bound says how much may be under way at once: requests, and bytes of their bodies.
type bound struct {
	requests int
	bytes    int64
}

// The bounds for one caller and for all are far above what the budgets let through:
// 100 requests leave in a second, and the queues in front of the budgets refuse at
// a thousand.
var (
	usualCallerBound = bound{requests: 256, bytes: 32 << 20}
	usualBound       = bound{requests: 1024, bytes: 128 << 20}
)

// A load counts the requests that are under way.
type load struct {
	caller, all bound

	mu      sync.Mutex
	total   bound
	callers map[string]bound
}

// enter counts one more request of a caller, or refuses it. leave counts it out.
func (l *load) enter(caller string, bytes int64) (leave func(), f *fault.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, total := l.callers[caller].plus(1, bytes), l.total.plus(1, bytes)
	if own.above(l.caller) || total.above(l.all) {
		return nil, &fault.Error{Kind: fault.BudgetExhausted, Reason: "TOO_MANY_REQUESTS", RetryAfter: time.Second,
			Detail: "too many requests are under way, or too many bytes of their bodies; nothing was sent; come back after the delay, with fewer at once"}
	}
	if l.callers == nil {
		l.callers = make(map[string]bound)
	}
	l.callers[caller], l.total = own, total
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.total = l.total.plus(-1, -bytes)
		if own := l.callers[caller].plus(-1, -bytes); own.requests == 0 {
			delete(l.callers, caller)
		} else {
			l.callers[caller] = own
		}
	}, nil
}

func (b bound) plus(requests int, bytes int64) bound {
	return bound{b.requests + requests, b.bytes + bytes}
}

func (b bound) above(most bound) bool { return b.requests > most.requests || b.bytes > most.bytes }
