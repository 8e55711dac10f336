// Package broker is the way of a call: admit, attempt, judge, again or done.
//
// A call first learns whose budget it spends (owner.go, lookup.go, learn.go) and
// then queues in the lane in front of that budget (lane.go, queue.go). A lane
// asks its scheduler for slots with what waits at that moment and binds a slot to
// a call only when the slot is there, so a call that has left costs nothing. A
// slot (slot.go) is the right to one attempt: attempt.go is the only place that
// asks the Dashboard for anything, and it takes a slot and spends it, so pages,
// retries, redirects and look-ups cannot slip past the budget. The judge then
// says whether the call goes again, and again means through the lane again.
//
// Before a lane a call passes settle.go (may its caller have what the owner owns,
// with which key) and gate.go (batches and deletions, of which an organization may
// have only so many under way). hosts.go remembers shards, preload.go learns owners
// before they are asked for, record*.go and health.go remember what became of
// attempts, explain.go says all of it in advance.
//
// What cannot be served in time is refused before anything is spent (admit.go,
// estimate.go), a queue that stands is shed from its head (shed.go), identical
// reads in flight are one attempt (flight.go), and a read that accepts an answer
// of some age may have one (cache.go).
//
// A call is made in the goroutine of who wants it, a read for all who share it in
// that of the first. A lane has a goroutine only while calls wait in it, and so has
// a read whose first caller may have to go before it is there; a few that have
// ended are kept for the next (house.go).
package broker
