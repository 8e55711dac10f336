package broker

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
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
	Behind []lane.ClassState
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
	case b.life.Draining():
		e.Refusal = fault.Stopping(e.Operation)
	default:
		e.Refusal = refuseRepeated(c)
	}
	organization, decided := b.known(now, c)
	e.Organization, e.OwnerKnown = organization, organization != "" || !owned(c)
	left := b.config.Deadline
	if deadline, ok := ctx.Deadline(); ok {
		left = deadline.Sub(now)
	}
	payer := organization
	if payer == "" && owned(c) && b.owners.Trusted(now, c.Organization, c.ID) {
		payer, decided = c.Organization, true
	}
	forecast := b.lanes.Forecast(now, payerOf(c, payer), c.class(), c.weight())
	if !decided {
		// Each look-up takes its turn in the cautious lane and its time at the
		// Dashboard; the call's own slot comes after them.
		lookUps := 1
		if _, network := b.owners.Owned(now, b.question(c)); network == "" {
			lookUps = 2
		}
		e.Attempts += lookUps
		forecast.Wait += time.Duration(lookUps-1)*b.lanes.CautiousPace() +
			time.Duration(lookUps)*b.services.usual(askNetwork.Id, now)
	}
	e.Budget, e.Wait, e.Behind = forecast.Budget, forecast.Wait, forecast.Behind
	if e.Refusal == nil {
		e.Refusal = forecast.Refusal(e.Operation, e.ServiceTime, left)
	}
	if h := b.heldBy(now, c, payer); h != nil {
		e.Refusal = h.Refuse(now, e.Operation)
	}
	if c.read() && c.MaxAge > 0 && b.cache.find(now, readKey{c.Key.Partition(), c.Path, c.Query}, c.MaxAge) != nil {
		e.Attempts, e.Wait, e.Behind, e.Refusal = 0, 0, nil, nil
	}
	return e, nil
}
