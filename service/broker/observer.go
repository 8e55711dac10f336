package broker

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// An Observer is told what happens, for metrics. Its methods are called from many
// goroutines at once, some with a lane's lock held: they must be quick and must
// not call the broker. None of what they are given is a filled path.
type Observer interface {
	// Waited: a slot was granted after d. Budget is the kind of the budget:
	// "organization", "address", "unknown", "operation" or "share".
	Waited(budget string, priority ratelimit.Priority, d time.Duration)
	// Attempted: an attempt ended.
	Attempted(operation string, outcome fault.Outcome, status int, d time.Duration)
	// Judged: the verdict on an attempt: "done", "again" or "give up".
	Judged(operation, verdict string)
	// Refused: a call was refused before an attempt: "deadline", "length",
	// "shed", "draining".
	Refused(budget string, priority ratelimit.Priority, why string)
	// Queued: the number of calls waiting in all lanes of a kind changed by n.
	Queued(budget string, priority ratelimit.Priority, n int)
	// Cached: how a read came by its answer: "miss", "coalesced" or "hit".
	Cached(result string)
	// LookedUp: an owner had to be looked up: "found", "unknown" or "failed".
	LookedUp(kind, result string)
}

// deaf is the observer of a broker that was given none.
type deaf struct{}

func (deaf) Waited(string, ratelimit.Priority, time.Duration)    {}
func (deaf) Attempted(string, fault.Outcome, int, time.Duration) {}
func (deaf) Judged(string, string)                               {}
func (deaf) Refused(string, ratelimit.Priority, string)          {}
func (deaf) Queued(string, ratelimit.Priority, int)              {}
func (deaf) Cached(string)                                       {}
func (deaf) LookedUp(string, string)                             {}
