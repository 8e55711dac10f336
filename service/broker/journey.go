package broker

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A journey is one call on its way: what it spends, what it has met so far.
type journey struct {
	ctx  context.Context
	call *Call
	// raised is a priority higher than the call's own, given by somebody more
	// urgent who waits for the same answer; stored as priority + 1, 0 for none.
	raised atomic.Uint32
	waiter waiter
	slot   slot
	// organization is the owner, where it is known. payer is the same as it was
	// when that was decided; others may read it once addressed tells so.
	organization, payer string
	addressed           atomic.Bool
	// sent tells others that an attempt has been made.
	sent atomic.Bool

	// probe: it was let through although the operation usually takes longer than
	// the call has.
	probe bool
	// reckoned is the deadline for which it was admitted or refused last; a flight's
	// own may move while it waits.
	reckoned time.Time

	// key is the call's, or the one in its place after the Dashboard rejected it.
	key     dashboard.Key
	rekeyed bool

	request  dashboard.Request // of the latest attempt
	history  history
	attempts []fault.Attempt
	last     *dashboard.Answer
	verdict  verdict
	queue    time.Duration
}

// class is the queue inside a lane that the call stands in now.
func (j *journey) class() ratelimit.Class {
	c := j.call.class()
	if r := j.raised.Load(); r > 0 {
		c.Priority = min(c.Priority, ratelimit.Priority(r-1))
	}
	return c
}

// raise gives the journey a higher priority, also where it waits already.
func (j *journey) raise(p ratelimit.Priority) {
	for {
		old := j.raised.Load()
		if old > 0 && ratelimit.Priority(old-1) <= p || p >= j.call.Priority {
			return
		}
		if j.raised.CompareAndSwap(old, uint32(p)+1) {
			break
		}
	}
	if l := j.waiter.at.Load(); l != nil {
		l.raise(&j.waiter, j.class())
	}
}

// owner is who pays, for others to read: empty when nobody in particular does, or
// nothing is decided.
func (j *journey) owner() string {
	if !j.addressed.Load() {
		return ""
	}
	return j.payer
}

// perform takes a call through its lane to the Dashboard, as often as the judge
// says.
func (b *Broker) perform(j *journey) (*Answer, *fault.Error) {
	if f := b.address(j); f != nil {
		return nil, f
	}
	leave, f := b.gates.enter(j)
	if f != nil {
		return nil, f
	}
	defer leave()
	if !j.call.read() {
		b.cache.writing(j.organization)
		b.flights.seal(j.organization)
		organization := j.organization
		defer func() {
			b.cache.written(time.Now(), organization)
			b.flights.seal(organization)
		}()
	}
	j.key = j.call.Key
	host, path, query := j.call.Host, j.call.Path, j.call.Query
	if host == "" {
		host = b.hosts.find(j.organization)
	}
	for {
		if at, err := b.admit(j); err != nil {
			return nil, b.stopped(j, at, err)
		}
		if err := j.ctx.Err(); err != nil {
			b.giveBack(&j.slot)
			return nil, b.stopped(j, j.slot.lane, err)
		}
		j.sent.Store(true)
		j.request = dashboard.Request{
			Operation: j.call.Operation.GetId(), Method: j.call.method(),
			Host: host, Path: path, Query: query, Body: j.call.Body, Key: j.key,
		}
		answer := b.attempt(j.ctx, &j.slot, &j.request)
		now := time.Now()
		v := b.judge(now, j, answer)
		switch v.action {
		case done:
			return b.finish(now, j, v), nil
		case giveUp:
			if host != "" && answer.Outcome != fault.Limited && (answer.Outcome != fault.Refused || answer.Status == http.StatusNotFound) {
				b.hosts.forget(j.organization) // the shard may be the wrong one by now
			}
			return nil, b.failed(j)
		}
		switch {
		case v.follow != nil:
			host, path, query = v.follow.Host, v.follow.Path, v.follow.Query
		case host != "" && answer.Outcome != fault.Limited:
			// A shard that fails may be the wrong one by now: the base knows.
			b.hosts.forget(j.organization)
			host, path, query = "", j.call.Path, j.call.Query
		}
		if err := pause(j.ctx, v.after); err != nil {
			return nil, b.stopped(j, j.slot.lane, err)
		}
	}
}

// address finds out whose budget the call spends.
func (b *Broker) address(j *journey) *fault.Error {
	c := j.call
	j.slot.operation = b.lanes.operation(c.Operation, c.ID)
	switch c.Operation.GetScope() {
	case apiv1.Scope_SCOPE_ORGANIZATION, apiv1.Scope_SCOPE_NETWORK, apiv1.Scope_SCOPE_DEVICE:
	default:
		j.slot.lane = b.lanes.address
		j.addressed.Store(true)
		return nil
	}
	organization, f := b.owner(j.ctx, c)
	if f != nil {
		return f
	}
	j.organization, j.payer = organization, organization
	j.addressed.Store(true)
	if organization == "" {
		j.slot.lane = b.lanes.cautious(c.Key.ID())
	} else {
		j.slot.lane = b.lanes.organization(organization)
		j.slot.share = b.lanes.share(organization, c)
	}
	return nil
}

// judge notes an attempt everywhere where it counts, and decides what follows.
func (b *Broker) judge(now time.Time, j *journey, a *dashboard.Answer) verdict {
	operation := j.call.Operation.GetId()
	j.last = a
	j.history.add(operation, a)
	j.attempts = append(j.attempts, fault.Attempt{Start: a.Start, Duration: a.Duration, Status: a.Status, Outcome: a.Outcome})
	switch a.Outcome {
	case fault.OK, fault.Refused, fault.ServerError:
		// Only what the Dashboard itself has answered: an outage says nothing of
		// how long an operation takes.
		if j.probe {
			b.services.disprove(operation, now, a.Duration)
		}
		b.services.observe(operation, now, a.Duration)
	case fault.Timeout:
		if deadline, ok := j.ctx.Deadline(); ok && !now.Before(deadline) {
			b.services.cut(operation, now, a.Duration)
		}
	}
	if a.Outcome == fault.OK {
		b.retries.succeed()
	}
	deadline, _ := j.ctx.Deadline()
	usual := b.services.usual(operation, now)
	if j.probe {
		usual = 0 // it goes to find out
	}
	v := judge(judgement{
		call: j.call, answer: a, history: j.history, hops: b.config.Redirects,
		now: now, deadline: deadline, usual: usual,
		permit: b.retries.allows(now), random: rand.Float64(),
	})
	if v.charged && !b.retries.spend(now) {
		v = verdict{action: giveUp, reason: v.reason + ", retry budget"}
	}
	if v.action == giveUp && b.rekey(j, a) {
		v = verdict{action: again, reason: "key rejected, with the other one"}
	}
	j.verdict = v
	b.feedback(now, j, a, v)
	b.note(j, a, v)
	return v
}

// rekey takes another key, once, when the Dashboard has rejected the call's: while
// a key is changed there are two. A 401 was not executed, whatever the verb.
func (b *Broker) rekey(j *journey, a *dashboard.Answer) bool {
	if a.Status != http.StatusUnauthorized || j.rekeyed || j.call.Rejected == nil {
		return false
	}
	j.rekeyed = true
	other, ok := j.call.Rejected(j.key)
	if ok {
		j.key = other
	}
	return ok
}

// feedback tells the budgets what the attempt taught.
func (b *Broker) feedback(now time.Time, j *journey, a *dashboard.Answer, v verdict) {
	main, own := j.slot.lane, j.slot.operation
	for _, l := range [...]*lane{main, own} {
		if l != nil {
			l.attempts.Add(1)
			l.touch()
		}
	}
	if a.Outcome == fault.OK {
		for _, l := range [...]*lane{main, own, j.slot.share} {
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
	if v.own && own != nil {
		limited = own
	}
	switch {
	case v.stop > 0:
		limited.limited.Add(1)
		limited.sched.Stop(b.house.ctx, now, limited.budget, v.stop)
		limited.notice()
	case a.Status >= 200 && a.Status <= 500 && a.Outcome != fault.Limited:
		main.sched.Succeed(b.house.ctx, now, main.budget)
		if own != nil {
			own.sched.Succeed(b.house.ctx, now, own.budget)
		}
		if ad := main.address; ad != nil {
			if s := ad.sched.Peek(now, ad.budget); s.Rate < s.Ceiling {
				ad.sched.Succeed(b.house.ctx, now, ad.budget)
			}
		}
	}
	if crowded(j.call.Operation.GetId(), a) == reasonBatches {
		b.gates.crowd(now, j.organization)
	}
}

// finish makes the answer of a call that is done, and learns from it.
func (b *Broker) finish(now time.Time, j *journey, v verdict) *Answer {
	a := j.last
	b.learn(now, j, a)
	if j.history.hops > 0 && a.Host != "" {
		b.hosts.learn(now, j.organization, a.Host)
	}
	out := &Answer{
		Status: a.Status, Body: a.Body, Next: a.Next, Prev: a.Prev, Organization: j.organization,
		RequestID: a.RequestID, Attempts: j.attempts, Queue: j.queue, Cache: CacheMiss,
	}
	if v.gone {
		out.Status, out.Body = 204, nil
	}
	return out
}

// failed is the fault of a call whose last attempt the judge gave up on.
func (b *Broker) failed(j *journey) *fault.Error {
	if j.last.Status == 404 && j.organization != "" && j.call.Operation.GetScope() != apiv1.Scope_SCOPE_ORGANIZATION {
		// The network or device may have gone to another organization.
		b.owners.forget(time.Now(), j.call.ID, false)
		b.distrust(j)
	}
	deadline, _ := j.ctx.Deadline()
	return faultOf(failure{
		call: j.call, answer: j.last, history: j.history, verdict: j.verdict, attempts: j.attempts,
		budget: j.slot.lane.budget.Key, now: time.Now(), deadline: deadline,
	})
}

// stopped is the fault of a call that came to an end while it waited. Before the
// first attempt that is all there is to say. After it the last attempt counts: a
// write that may have been executed does not become a refusal by waiting for
// another slot.
func (b *Broker) stopped(j *journey, at *lane, err error) *fault.Error {
	if b.house.ctx.Err() != nil && j.history.number == 0 {
		return draining(j.call.Operation.GetId())
	}
	waited := b.refusedIn(j, at, err)
	if j.history.number == 0 {
		return waited
	}
	f := b.failed(j)
	if f.Kind == fault.OutcomeUnknown {
		return f
	}
	if waited.Kind == fault.DeadlineExceeded || waited.Kind == fault.Cancelled {
		waited.Attempts, waited.HTTPStatus, waited.Messages, waited.RequestID = f.Attempts, f.HTTPStatus, f.Messages, f.RequestID
		return waited
	}
	f.RetryAfter = max(f.RetryAfter, waited.RetryAfter)
	return f
}

// ended is the fault of a call whose context ended while it was doing something.
func ended(operation string, err error, doing string) *fault.Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &fault.Error{Kind: fault.DeadlineExceeded, Operation: operation, Cause: err,
			Detail: "the deadline passed while the call was " + doing + "; nothing is on its way any more"}
	}
	return &fault.Error{Kind: fault.Cancelled, Operation: operation, Cause: err,
		Detail: "the caller left while the call was " + doing + "; nothing is on its way any more"}
}

// pause waits for d, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
