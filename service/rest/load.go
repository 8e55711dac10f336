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
// a thousand. Answers are held until the client has read them.
var (
	callerRequests = bound{requests: 256, bytes: 32 << 20}
	allRequests    = bound{requests: 1024, bytes: 128 << 20}
	callerAnswers  = bound{requests: callerRequests.requests, bytes: 64 << 20}
	allAnswers     = bound{requests: allRequests.requests, bytes: 512 << 20}
)

// What is beyond the bounds is told to come again.
var (
	tooManyRequests = fault.Error{Kind: fault.BudgetExhausted, Reason: "TOO_MANY_REQUESTS", RetryAfter: time.Second,
		Detail: "too many requests are under way, or too many bytes of their bodies; nothing was sent; come back after the delay, with fewer at once"}
	answersNotRead = fault.Error{Kind: fault.BudgetExhausted, Reason: "ANSWERS_NOT_READ", RetryAfter: time.Second,
		Detail: "the answers before this one are not being read by the client; read them, or ask for less at a time; a write has been executed, and the same request again gets its outcome"}
)

// A load counts what is under way: requests, or answers. One alone is never too much
// for its caller.
type load struct {
	caller, all bound
	refusal     fault.Error

	mu      sync.Mutex
	total   bound
	callers map[string]bound
}

// enter counts one more of a caller, or refuses it. leave counts it out.
func (l *load) enter(caller string, bytes int64) (leave func(), f *fault.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, total := l.callers[caller].plus(1, bytes), l.total.plus(1, bytes)
	if own.requests > 1 && own.above(l.caller) || total.above(l.all) {
		refusal := l.refusal
		return nil, &refusal
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
