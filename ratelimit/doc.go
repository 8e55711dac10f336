// Package ratelimit shares out what a budget allows: so many requests a second
// and a small burst, for everyone who draws on it together. It knows no HTTP,
// no gRPC and no Meraki; it imports nothing of ours, and time is a parameter
// everywhere.
//
// # Slots are bound late, by pulling
//
// A lane (the queue in front of one budget) says what waits in it, as classes of
// calls with counts and weights, and is told which classes have a slot now and
// when to ask again. Only then does it choose the call, so a call that has left
// in the meantime has cost nothing. A Scheduler is a token bucket under a
// start-time fair queue: strictly by priority, then among callers by weight,
// whatever the number of calls each of them has waiting.
//
// There are two schedulers, which pass the same tests (package
// ratelimittest): Local in one process, with golang.org/x/time/rate as the
// bucket, and ratelimit/redis, where several processes draw on one budget by
// means of one atomic script.
//
// # What a 429 teaches
//
// Stop holds a budget for as long as the server asked, empties its bucket (so
// that no burst follows the pause) and multiplies its rate by 0.7. Successes
// give 0.2 a second back, each, up to a mark: the throughput between the last
// two stops, which is what the others leave to us. Above the mark the rate
// rises slowly, until enough has been spent without a refusal to prove that
// the others have gone. Pace is that arithmetic.
//
// # Two budgets for one call
//
// An attempt that two budgets have to pay (its organization's and the source
// address's) pays both or neither. The lane takes from the wider one first, as
// many slots as it has calls for; pulls from the narrower one with that number
// as Ask.Most; and gives back, with Refund, what the narrower one did not
// grant. Slots that are held for the moment between the two are not lost to
// anybody: a refund makes them available at once. In one process there is one
// lane for a budget; lanes that share the wider budget wait in its lane. Where the
// wider one is in a store, too, it is asked last, for what the narrower one has
// granted, so that no round trip is made in vain.
//
// # The bound
//
// In any window of t seconds a Scheduler grants at most burst + rate x t slots
// of a budget, through stops, refunds, restarts and replicas that die; a slot
// that is granted and not spent is lost, never spent twice. Check says whether
// a rate and a burst, after the jitter of delivery, fit what the server allows.
package ratelimit
