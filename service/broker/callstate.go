package broker

import (
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/record"
)

// A callState is one call on its way: what it spends, what it has met so far.
type callState struct {
	ctx  context.Context
	call *Call
	slot lane.Slot
	// organization is the owner, where it is known. payer is whose budget pays: the
	// owner's, or where that is not known, the one of the caller's hint.
	organization, payer string
	// addressed is the owner as it was when the call was addressed, for others to
	// read; nil before that.
	addressed atomic.Pointer[string]
	// sent tells others that an attempt has been made.
	sent atomic.Bool

	// probe: it was let through although the operation usually takes longer than
	// the call has.
	probe bool

	// key is the call's, or the one in its place after the Dashboard rejected it.
	key     dashboard.Key
	rekeyed bool

	request  dashboard.Request // of the latest attempt
	history  history
	attempts []fault.Attempt
	last     *dashboard.Result
	verdict  verdict
	queue    time.Duration
}

// owner is the owner, for others to read: empty when there is none, or it is not
// known.
func (j *callState) owner() string {
	if o := j.addressed.Load(); o != nil {
		return *o
	}
	return ""
}

// perform takes a call through its lane to the Dashboard, as often as the judge
// says.
func (b *Broker) perform(j *callState) (*Answer, *fault.Error) {
	if f := j.inTime(func() *fault.Error { return b.address(j) }); f != nil {
		return nil, f
	}
	leave, f := b.gates.enter(j)
	if f != nil {
		return nil, f
	}
	defer leave()
	if !j.call.read() {
		before := j.organization
		defer func() {
			if reachesOthers(j.call.Operation) {
				before = ""
			}
			b.written(before)
			if j.organization != before {
				b.written(j.organization)
			}
		}()
	}
	j.key = j.call.Key
	host, path, query := j.call.Host, j.call.Path, j.call.Query
	if host == "" {
		host = b.owners.Shards.Find(j.organization)
	}
	for {
		if f := j.inTime(func() *fault.Error { return b.acquire(j) }); f != nil {
			return nil, b.stopped(j, f)
		}
		if err := j.ctx.Err(); err != nil {
			j.slot.GiveBack()
			return nil, b.stopped(j, j.ended(err))
		}
		if f := b.heldMeanwhile(j); f != nil {
			j.slot.GiveBack()
			return nil, f
		}
		j.sent.Store(true)
		j.request = dashboard.Request{
			Operation: j.call.Operation.GetId(), Method: j.call.method(),
			Host: host, Path: path, Query: query, Body: j.call.Body, Key: j.key,
		}
		answer := b.send(j)
		now := time.Now()
		v := b.judge(now, j, answer)
		switch v.action {
		case done:
			return b.finish(now, j, v), nil
		case giveUp:
			if host != "" && answer.Outcome != fault.Limited && (answer.Outcome != fault.Refused || answer.Status == http.StatusNotFound) {
				b.owners.Shards.Forget(j.organization) // the shard may be the wrong one by now
			}
			return nil, b.failed(j)
		}
		switch {
		case v.follow != nil:
			host, path, query = v.follow.Host, v.follow.Path, v.follow.Query
		case host != "" && answer.Outcome != fault.Limited:
			// A shard that fails may be the wrong one by now: the base knows.
			b.owners.Shards.Forget(j.organization)
			host, path, query = "", j.call.Path, j.call.Query
		}
		if err := pause(j.ctx, v.after); err != nil {
			return nil, b.stopped(j, j.ended(err))
		}
	}
}

// send makes one attempt of a call. A read ends when nobody waits for it any more.
// A write that has been sent is finished, whoever has left: what became of it is
// known then, and an attempt that is cut off leaves only doubt. The Dashboard's
// client bounds its time, and Close ends it.
func (b *Broker) send(j *callState) *dashboard.Result {
	defer b.record.Begin(&record.Attempt{
		Start: time.Now(), Operation: j.call.Operation.GetId(), Organization: j.organization,
		Caller: j.call.Caller, Method: j.call.method(), Number: j.history.number + 1,
	})()
	if j.call.read() {
		return b.attempt(j.ctx, &j.slot, &j.request)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(j.ctx))
	defer cancel()
	defer context.AfterFunc(b.life.Context(), cancel)()
	return b.attempt(ctx, &j.slot, &j.request)
}

// inTime does something that may end for want of time, and does it again when
// meanwhile somebody with more time has joined the call.
func (j *callState) inTime(do func() *fault.Error) *fault.Error {
	for {
		deadline, _ := j.ctx.Deadline()
		f := do()
		if f == nil || f.Kind != fault.BudgetExhausted || j.final(deadline) {
			return f
		}
	}
}

// final tells that a deadline will not move any more.
func (j *callState) final(deadline time.Time) bool {
	shared, ok := j.ctx.(*sharedContext)
	return !ok || shared.final(deadline)
}

// address finds out whose budget the call spends.
func (b *Broker) address(j *callState) *fault.Error {
	organization, payer, f := b.owner(j.ctx, j.call)
	if f != nil {
		return f
	}
	j.organization, j.payer = organization, payer
	j.addressed.Store(&organization)
	b.lanes.Assign(&j.slot, payerOf(j.call, payer))
	return nil
}

// reachesOthers tells a write whose body names another organization: it gives it
// licenses, networks or the like. It counts as one whose owner is not known.
func reachesOthers(o *apiv1.Operation) bool {
	return slices.ContainsFunc(o.GetNamedOwners(), func(n *apiv1.NamedOwner) bool {
		return n.GetKind() == apiv1.NamedOwner_KIND_ORGANIZATION && n.GetLocation() == apiv1.Location_LOCATION_BODY
	})
}

// written makes a write seen by every read that comes after it.
func (b *Broker) written(organization string) {
	b.cache.written(time.Now(), organization)
	b.reads.seal(organization)
}

// judge notes an attempt everywhere where it counts, and decides what follows.
func (b *Broker) judge(now time.Time, j *callState, a *dashboard.Result) verdict {
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
	usual := b.services.usual(operation, now)
	if j.probe {
		usual = 0 // it goes to find out
	}
	about := judgement{
		call: j.call, answer: a, history: j.history, hops: b.config.Redirects, now: now, usual: usual,
		permit: b.retries.allows(now), random: rand.Float64(),
	}
	about.deadline, _ = j.ctx.Deadline()
	v := judge(about)
	for v.late && !j.final(about.deadline) {
		about.deadline, _ = j.ctx.Deadline()
		v = judge(about)
	}
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
func (b *Broker) rekey(j *callState, a *dashboard.Result) bool {
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
func (b *Broker) feedback(now time.Time, j *callState, a *dashboard.Result, v verdict) {
	j.slot.Report(now, lane.Result{
		OK:       a.Outcome == fault.OK,
		Answered: a.Status >= 200 && a.Status <= 500 && a.Outcome != fault.Limited,
		Stop:     v.stop, Own: v.own, Nameless: v.nameless,
	})
	if busy(j.call.Operation.GetId(), a) == reasonBatches {
		b.gates.hold(now, j.organization)
	}
}

// finish makes the answer of a call that is done, and learns from it.
func (b *Broker) finish(now time.Time, j *callState, v verdict) *Answer {
	a := j.last
	b.learn(now, j, a)
	if j.history.hops > 0 && a.Host != "" {
		b.owners.Shards.Learn(now, j.organization, a.Host)
	}
	out := &Answer{
		Status: a.Status, Body: a.Body, Next: a.Next, Prev: a.Prev, Links: a.Links, Organization: j.organization,
		RequestID: a.RequestID, Attempts: j.attempts, Queue: j.queue + j.slot.Waited(), Cache: CacheMiss,
		Asked: a.Start,
	}
	if v.gone {
		out.Status, out.Body = 204, nil
	}
	return out
}

// failed is the fault of a call whose last attempt the judge gave up on.
func (b *Broker) failed(j *callState) *fault.Error {
	if j.history.maybe {
		b.owners.Changed(time.Now(), j.call.Operation.GetId(), j.call.ID, j.call.Body)
	}
	if j.last.Status == 404 && owned(j.call) && j.call.Operation.GetScope() != apiv1.Scope_SCOPE_ORGANIZATION {
		// The network or device may have gone to another organization.
		b.owners.Doubt(time.Now(), j.call.ID)
		b.distrust(j)
	}
	deadline, _ := j.ctx.Deadline()
	return faultOf(failure{
		call: j.call, answer: j.last, history: j.history, verdict: j.verdict, attempts: j.attempts,
		budget: j.slot.Budget(), now: time.Now(), deadline: deadline,
	})
}

// stopped is the fault of a call that came to an end while it waited, which waited
// tells of. Before the first attempt that is all there is to say. After it the last
// attempt counts: a write that may have been executed does not become a refusal by
// waiting for another slot.
func (b *Broker) stopped(j *callState, waited *fault.Error) *fault.Error {
	if j.history.number == 0 {
		if b.life.Context().Err() != nil {
			return fault.Stopping(j.call.Operation.GetId())
		}
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
