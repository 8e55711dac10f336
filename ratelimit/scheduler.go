package ratelimit

import (
	"context"
	"time"
)

// A Scheduler decides whose turn it is. Its methods may be called at the same
// time from several goroutines. now is the caller's clock; a scheduler in a
// store goes by the store's own.
type Scheduler interface {
	// Pull says what waits here and takes what is granted. An ask replaces what
	// was said before for its budget: an empty one takes it back. An error means
	// that nothing is granted and nothing is known; Local never blocks and never
	// fails.
	Pull(ctx context.Context, now time.Time, ask Ask) (Grant, error)
	// Stop is for an attempt that the server refused for its rate: nothing is
	// granted for d, and the rate gives way.
	Stop(ctx context.Context, now time.Time, b Budget, d time.Duration)
	// Succeed is for an attempt that the server did not refuse for its rate:
	// the rate recovers.
	Succeed(ctx context.Context, now time.Time, b Budget)
	// Refund gives back n slots that will not be spent. granted is the time at
	// which they were pulled or taken, as it was given then. A slot comes back as
	// far as the bucket would not have overflowed without it: the later it is
	// given back, the less is left of it, and after a stop nothing.
	Refund(ctx context.Context, now time.Time, b Budget, n int, granted time.Time)
	// Peek tells what is known of a budget, without a round trip to a store.
	Peek(now time.Time, b Budget) State
}

// An Ask is what waits in one lane.
type Ask struct {
	Budget Budget
	// Waiting holds each class once.
	Waiting []Waiting
	// Most is how many slots can be used now; 0 or less for as many as there are.
	Most int
}

// A Grant is the answer to an Ask.
type Grant struct {
	// Classes that have a slot now, one for each slot, in order.
	Classes []Class
	// Again is when to pull next if something still waits: at the lane's next
	// slot or sooner, since others may come and leave. Less than 0 when
	// nothing is left: pull on news only.
	Again time.Duration
	// State after the pull.
	State State
}
