package broker

import (
	"context"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
)

// payerOf says whose budgets a call spends that an organization pays for; empty when
// it has no owner, or none is known.
func payerOf(c *Call, organization string) lane.Payer {
	p := lane.Payer{
		Organization: organization, Operation: c.Operation, Parameter: c.ID,
		Caller: c.Caller, Share: c.Share,
	}
	if owned(c) {
		p.Credential = c.Key.ID()
	}
	return p
}

// acquire gets a slot for the call's next attempt. It refuses at once what
// cannot be in time, and spends nothing on it.
func (b *Broker) acquire(j *callState) *fault.Error {
	operation, now := j.call.Operation.GetId(), time.Now()
	before := j.slot.Waited()
	defer func() { b.waited(j, j.slot.Waited()-before) }()
	return j.slot.Acquire(j.ctx, &lane.Request{
		Operation: operation, Path: j.call.Path, Query: j.call.Query,
		Class: j.call.class(), Weight: j.call.weight(),
		Sent: j.history.number > 0, Ahead: j.call.secondLookUp,
		Usual: b.services.usual(operation, now), Ample: b.services.ample(operation, now),
		Probe: func() bool {
			j.probe = j.probe || b.services.probe(operation, now)
			return j.probe
		},
	})
}

// ended is the fault of a call whose context ended while it waited for its slot, or
// for the time to ask for one.
func (j *callState) ended(err error) *fault.Error {
	return fault.Ended(j.call.Operation.GetId(), err, "waiting for a slot of the budget "+j.slot.Budget())
}

// errNoSlot is a bug: an attempt without a slot. It is not made.
var errNoSlot = errors.New("broker: an attempt without a slot was not made")

// attempt spends a slot on one HTTP request. It is the only place that asks the
// Dashboard for anything, so whatever the broker sends, for whatever purpose,
// has been granted by the lanes whose budget it spends.
func (b *Broker) attempt(ctx context.Context, s *lane.Slot, r *dashboard.Request) *dashboard.Result {
	if !s.Spend() {
		return &dashboard.Result{Outcome: fault.NotSent, Err: errNoSlot, Start: time.Now()}
	}
	b.attempts.Add(1)
	a := b.config.Dashboard.Attempt(ctx, r)
	b.observer.Attempted(r.Operation, a.Outcome, a.Status, a.Duration)
	return a
}
