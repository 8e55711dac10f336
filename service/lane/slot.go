package lane

import (
	"context"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A Payer names the budgets that an attempt spends.
type Payer struct {
	// Organization is the owner of the resource that the call is about; empty
	// where the owner is not known.
	Organization string
	// Credential names the cautious budget, which pays where the owner is not
	// known. With neither, the egress address alone pays.
	Credential string
	// Operation and Parameter name the operation's own limit, where it has one.
	Operation *apiv1.Operation
	Parameter string
	// Caller may spend no more than Share of the organization's budget; 0 means
	// all of it.
	Caller string
	Share  float64
}

// A Request is what a call tells the lanes in order to get a slot.
type Request struct {
	// Operation is the vendor's operationId. Operation, Path and Query identify
	// the thing that the call asks for: by them a lane recognizes a call that
	// comes back after a refusal.
	Operation, Path, Query string
	Class                  ratelimit.Class
	Weight                 float64
	// Sent tells that the call has made attempts before: it finishes also while
	// the broker drains. Ahead lets a first attempt go before the others of its
	// class.
	Sent, Ahead bool
	// Usual and Ample are the times within which 90 and 99 of 100 attempts of the
	// operation end; 0 when too little is known.
	Usual, Ample time.Duration
	// Probe decides about a call against which only Usual speaks.
	Probe func() bool
}

// A Slot is the right to one attempt at one moment. It is empty until its lanes
// have granted it (Acquire), and empty again once it is spent or given back. No
// attempt is made without a slot, and no slot serves for a second attempt.
type Slot struct {
	payer     *lane // the lane that pays, and the address with it
	operation *lane // the lane of the operation's own limit; nil where it has none
	share     *lane // the lane of the caller's part of the organization's budget; nil where it may spend all
	// asked is when the slots of the three lanes were asked for.
	asked  [3]asked
	state  atomic.Uint32
	waiter waiter
	// raised is a priority higher than the call's own, given by a more urgent
	// call that waits for the same answer. It is stored as priority + 1; 0 means
	// none.
	raised atomic.Uint32
	waited time.Duration
}

const (
	slotEmpty uint32 = iota
	slotHeld
)

// Assign chooses the lanes that have to grant a slot.
func (ls *Lanes) Assign(s *Slot, p Payer) {
	s.operation, s.share = ls.operation(p.Operation, p.Parameter), nil
	switch {
	case p.Organization != "":
		s.payer = ls.organization(p.Organization)
		s.share = ls.share(p.Organization, p.Caller, p.Share)
	case p.Credential != "":
		s.payer = ls.cautious(p.Credential)
	default:
		s.payer = ls.address
	}
}

// Budget is the key of the budget that pays.
func (s *Slot) Budget() string { return s.payer.budget.Key }

// Waited is the sum of all waits for the slot.
func (s *Slot) Waited() time.Duration { return s.waited }

// Spend empties the slot for an attempt. It returns false when the slot was empty
// already.
func (s *Slot) Spend() bool { return s.state.CompareAndSwap(slotHeld, slotEmpty) }

// GiveBack empties the slot without an attempt, so that another call may have it.
func (s *Slot) GiveBack() {
	if s.Spend() {
		s.payer.set.granted.Add(-1)
		for i, l := range s.lanes() {
			if l != nil {
				l.pass(1, s.asked[i])
			}
		}
	}
}

// lanes are the lanes that grant the slot, in the order in which they grant it.
func (s *Slot) lanes() [3]*lane { return [...]*lane{s.operation, s.share, s.payer} }

// class is the class in which a call waits now: its own class, at the raised
// priority where there is one.
func (s *Slot) class(c ratelimit.Class) ratelimit.Class {
	if r := s.raised.Load(); r > 0 {
		c.Priority = min(c.Priority, ratelimit.Priority(r-1))
	}
	return c
}

// Raise gives a call a higher priority, also while the call waits.
func (s *Slot) Raise(p ratelimit.Priority) {
	for {
		old := s.raised.Load()
		if old > 0 && ratelimit.Priority(old-1) <= p {
			return
		}
		if s.raised.CompareAndSwap(old, uint32(p)+1) {
			break
		}
	}
	if l := s.waiter.at.Load(); l != nil {
		l.raise(&s.waiter, p)
	}
}

// Acquire gets the slot for a call's next attempt. It refuses at once a call that
// cannot be in time, and spends nothing on it.
func (s *Slot) Acquire(ctx context.Context, r *Request) *fault.Error {
	at, err := s.acquire(ctx, r)
	if err == nil {
		return nil
	}
	refused, ok := err.(*refusal)
	if !ok {
		return fault.Ended(r.Operation, err, "waiting for a slot of the budget "+at.budget.Key)
	}
	at.set.config.Observer.Refused(at.kind.String(), r.Class.Priority, refused.why)
	return at.refuse(r.Operation, refused)
}

// acquire does the work of Acquire. The error is a lane's refusal or the
// context's error; at is the lane in which it happened.
func (s *Slot) acquire(ctx context.Context, r *Request) (at *lane, err error) {
	set := s.payer.set
	if err := ctx.Err(); err != nil {
		return s.payer, err
	}
	if set.life.Draining() && !r.Sent {
		return s.payer, &refusal{why: refusedDraining}
	}
	now := time.Now()
	left, service := longestDelay, shortestAttempt
	deadline, timed := ctx.Deadline()
	if timed {
		left, service = deadline.Sub(now), max(service, r.Usual)
	}
	if s.operation == nil && s.share == nil && service <= left && s.payer.take(now) {
		s.asked[2] = asked{now, now}
		s.fill()
		set.config.Observer.Waited(s.payer.kind.String(), r.Class.Priority, 0)
		return nil, nil
	}
	defer func() { s.waited += time.Since(now) }()
	if timed && service < r.Ample && 2*r.Ample <= left {
		service = r.Ample
	}
	w := &s.waiter
	w.ctx, w.service = ctx, service
	w.class, w.weight, w.fingerprint = s.class(r.Class), r.Weight, fingerprint(set.seed, r)
	w.sent = r.Sent
	relaxed := false
	probe := func() bool { // once for all the lanes
		if !relaxed && r.Probe() {
			relaxed = true
			w.service = shortestAttempt
		}
		return relaxed
	}
	all := s.lanes()
	var returning [len(all)]bool // the lanes in which the call goes before the others of its class
	for i, l := range all {
		if l == nil {
			continue
		}
		w.returning = r.Sent || r.Ahead
		if r := l.fits(now, w, left, service, probe); r != nil {
			return l, r
		}
		returning[i] = w.returning
	}
	if at, err := s.collect(ctx, r.Class, returning); err != nil {
		return at, err
	}
	s.fill()
	return nil, nil
}

// holdMost is how long a call keeps its slot of one budget while it waits for a
// slot of another. It is the time by which an attempt may leave late. Calls that kept
// their slots for longer would leave together when the other budget comes back,
// in addition to the slots earned in the meantime.
const holdMost = 200 * time.Millisecond

// collect waits in each of the slot's lanes, and ends when all of them have
// granted their part. Where the wait in one lane lasts, the parts of the other
// lanes are passed on, and are waited for again.
func (s *Slot) collect(ctx context.Context, class ratelimit.Class, returning [3]bool) (at *lane, err error) {
	all := s.lanes()
	var held [len(all)]bool
	release := func() {
		for i, l := range all {
			if held[i] {
				held[i], returning[i] = false, true
				l.pass(1, s.asked[i])
			}
		}
	}
	for {
		missing := -1
		for i, l := range all {
			if l != nil && !held[i] {
				missing = i
				break
			}
		}
		if missing < 0 {
			return nil, nil
		}
		l := all[missing]
		if held != [len(all)]bool{} && l.waitLeast(time.Now()) > holdMost {
			release()
		}
		if err := s.enter(ctx, l, class, returning[missing], release); err != nil {
			release()
			return l, err
		}
		held[missing], s.asked[missing] = true, s.waiter.asked
	}
}

// fill marks a slot as held, after its lanes have granted it.
func (s *Slot) fill() {
	s.state.Store(slotHeld)
	s.payer.set.granted.Add(1)
}

// enter waits in one lane for its part of the slot, and calls release when the
// wait lasts.
func (s *Slot) enter(ctx context.Context, l *lane, class ratelimit.Class, returning bool, release func()) error {
	w := &s.waiter
	w.class, w.since, w.returning = s.class(class), time.Time{}, returning
	w.ready = make(chan struct{})
	if r := l.join(w); r != nil {
		return r
	}
	if r := s.raised.Load(); r > 0 {
		l.raise(w, ratelimit.Priority(r-1)) // a Raise before join did not find the call here
	}
	return l.await(ctx, w, release)
}

// A Result is what an attempt has shown about the budgets that it has spent.
type Result struct {
	// OK: the Dashboard did what was asked.
	OK bool
	// Answered: the Dashboard took the request, whatever its answer, and did not
	// answer that there were too many requests.
	Answered bool
	// Stop is for how long a 429 stops a lane; 0 for none. Own tells that the
	// operation's own limit was hit, not the organization's; Nameless that the 429
	// does not say whose limit was hit, so that it may be the address's.
	Stop          time.Duration
	Own, Nameless bool
}

// Report tells the budgets of a spent slot the result of the attempt.
func (s *Slot) Report(now time.Time, r Result) {
	main, own, set := s.payer, s.operation, s.payer.set
	ctx := set.life.ctx
	for _, l := range [...]*lane{main, own} {
		if l != nil {
			l.attempts.Add(1)
			l.touch()
		}
	}
	if r.OK {
		for _, l := range [...]*lane{main, own, s.share} {
			if l != nil {
				l.proved.Store(true)
			}
		}
	}
	if main.address != nil {
		main.address.attempts.Add(1)
		main.address.touch()
	}
	limited := main
	if r.Own && own != nil {
		limited = own
	}
	switch {
	case r.Stop > 0:
		limited.stop(ctx, now, r.Stop)
		if r.Nameless && limited.address != nil && set.config.Egress != "" {
			limited.address.stop(ctx, now, r.Stop)
		}
	case r.Answered:
		main.sched.Succeed(ctx, now, main.budget)
		if own != nil {
			own.sched.Succeed(ctx, now, own.budget)
		}
		if ad := main.address; ad != nil {
			if s := ad.sched.Peek(now, ad.budget); s.Rate < s.Ceiling {
				ad.sched.Succeed(ctx, now, ad.budget)
			}
		}
	}
}

// stop is for a 429 of the lane's budget.
func (l *lane) stop(ctx context.Context, now time.Time, d time.Duration) {
	l.limited.Add(1)
	l.sched.Stop(ctx, now, l.budget, d)
	l.touch()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notice()
}
