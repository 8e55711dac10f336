package broker

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// held refuses a call that an operator holds, before anything is spent on it. Only where
// the bulk of an organization is held the owner has to be known, which may take a
// look-up, once.
func (b *Broker) held(ctx context.Context, c *Call) *fault.Error {
	now := time.Now()
	if f := b.heldIn(now, c, ""); f != nil {
		return f
	}
	if c.Priority != ratelimit.Bulk || !b.config.Holds.Organizations(now) {
		return nil
	}
	_, payer, f := b.owner(ctx, c)
	if f != nil {
		return f
	}
	return b.heldIn(now, c, payer)
}

// heldMeanwhile refuses a call that has waited for its slot while a hold began. A call
// that has made an attempt goes on, and so does a read for which others wait as well.
func (b *Broker) heldMeanwhile(j *callState) *fault.Error {
	if j.history.number > 0 {
		return nil
	}
	f := b.heldIn(time.Now(), j.call, j.payer)
	if shared, ok := j.ctx.(*sharedContext); ok && f != nil && !shared.closeAlone() {
		return nil
	}
	return f
}

// heldBy asks the holds; nil for none.
func (b *Broker) heldBy(now time.Time, c *Call, organization string) *hold.Hold {
	return b.config.Holds.Find(now, hold.Call{
		Caller: c.Caller, Organization: organization, Bulk: c.Priority == ratelimit.Bulk, Write: !c.read(),
	})
}

// heldIn is the refusal of a call that is held, and counts it.
func (b *Broker) heldIn(now time.Time, c *Call, organization string) *fault.Error {
	h := b.heldBy(now, c, organization)
	if h == nil {
		return nil
	}
	b.observer.Refused("operator", c.Priority, "held")
	return h.Refuse(now, c.Operation.GetId())
}
