package broker

import (
	"context"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// An Explanation is what a call would cost if it came now.
type Explanation struct {
	// Operation is the vendor's operationId.
	Operation string
	// Attempts that it would make if all goes well: look-ups of the owner, then
	// the call. 0 where an answer is at hand that the call accepts.
	Attempts int
	// Organization pays; empty when the egress address alone does, or the owner
	// is not known yet. OwnerKnown tells these apart.
	Organization string
	OwnerKnown   bool
	// Budget is the key of the budget in whose lane the call would wait.
	Budget string
	// Wait is how long it would wait for slots, those of look-ups included.
	Wait time.Duration
	// ServiceTime is the usual time of the operation's attempts (90th percentile);
	// 0 when too little is known.
	ServiceTime time.Duration
	// Behind is what waits in that lane and would be served before it or beside it.
	Behind []ClassState
	// Refusal says why it would be refused now; nil when it would not.
	Refusal *fault.Error
}

// Explain says what a call would cost, and sends nothing and spends nothing. The
// context's deadline is the call's.
func (b *Broker) Explain(ctx context.Context, c *Call) (Explanation, error) {
	if f := check(c); f != nil {
		return Explanation{}, f
	}
	now := time.Now()
	e := Explanation{
		Operation: c.Operation.GetId(), Attempts: 1,
		ServiceTime: b.services.usual(c.Operation.GetId(), now),
	}
	switch {
	case b.house.draining.Load():
		e.Refusal = draining(e.Operation)
	default:
		e.Refusal = refuseRepeated(c)
	}
	l, lookUps := b.foresee(now, c, &e)
	left := b.config.Deadline
	if deadline, ok := ctx.Deadline(); ok {
		left = deadline.Sub(now)
	}
	class, weight := c.class(), c.weight()
	e.Budget = l.budget.Key
	own := [...]*lane{b.lanes.operation(c.Operation, c.ID), nil}
	if e.Organization != "" {
		own[1] = b.lanes.share(e.Organization, c)
	}
	for _, o := range own {
		if o != nil {
			o.mu.Lock()
			e.Wait = max(e.Wait, o.foresee(now, class, weight))
			o.mu.Unlock()
		}
	}
	l.mu.Lock()
	e.Wait = max(e.Wait, l.foresee(now, class, weight))
	e.Behind = l.classes(now, class.Priority)
	full := l.queue.calls >= b.config.LaneLength && l.queue.longest(class, weight) == nil
	l.mu.Unlock()
	if lookUps > 0 {
		// Each look-up takes its turn in the cautious lane and its time at the
		// Dashboard; the call's own slot comes after them.
		e.Attempts += lookUps
		e.Wait += time.Duration(lookUps-1)*seconds(1/b.config.CautiousRate) +
			time.Duration(lookUps)*b.services.usual(askNetwork.Id, now)
	}
	switch {
	case e.Refusal != nil:
	case full:
		e.Refusal = l.refuse(e.Operation, &refusal{why: refusedLength, after: e.Wait})
	case e.Wait+max(e.ServiceTime, shortestAttempt) > left:
		e.Refusal = l.refuse(e.Operation, &refusal{why: refusedDeadline, wait: e.Wait, after: e.Wait + e.ServiceTime - left})
	}
	if c.read() && c.MaxAge > 0 && b.cache.find(now, readKey{c.Key.ID(), c.Path, c.Query}, c.MaxAge) != nil {
		e.Attempts, e.Wait, e.Behind, e.Refusal = 0, 0, nil, nil
	}
	return e, nil
}

// foresee finds the lane in which a call would wait, and how many look-ups come first.
func (b *Broker) foresee(now time.Time, c *Call, e *Explanation) (l *lane, lookUps int) {
	switch c.Operation.GetScope() {
	case apiv1.Scope_SCOPE_ORGANIZATION, apiv1.Scope_SCOPE_NETWORK, apiv1.Scope_SCOPE_DEVICE:
	default:
		e.OwnerKnown = true
		return b.lanes.address, 0
	}
	organization, decided := b.known(now, c)
	if organization != "" {
		e.Organization, e.OwnerKnown = organization, true
		return b.lanes.organization(organization), 0
	}
	if !decided {
		lookUps = 1
		if _, network := b.owned(now, c); network == "" {
			lookUps = 2
		}
	}
	return b.lanes.cautious(c.Key.ID()), lookUps
}
