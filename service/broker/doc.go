// Package broker is the way of a call: a slot, an attempt, the judge, again or done.
//
// A call first learns whose budget it spends (owner.go) and gets a slot in the lane
// in front of that budget (package lane). A slot is the right to one attempt:
// attempt.go is the only place that asks the Dashboard for anything, and it spends
// a slot, so pages, retries, redirects and look-ups cannot slip past the budget.
// The judge (judge.go) then says whether the call goes again, and again means
// through the lane again.
//
// Before a lane a call passes settle.go (may its caller have what the owner owns,
// with which key) and gate.go (batches and deletions, of which an organization may
// have only so many under way). preload.go learns owners before they are asked for,
// explain.go says in advance what a call would cost.
//
// Identical reads in flight are one attempt (sharedread.go), and a read that accepts an
// answer of some age may have one (cache.go).
package broker
