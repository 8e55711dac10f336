package broker

import (
	"context"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
)

// errNoSlot is a bug: an attempt without a slot. It is not made.
var errNoSlot = errors.New("broker: an attempt without a slot was not made")

// attempt spends a slot on one HTTP request. It is the only place that asks the
// Dashboard for anything, so whatever the broker sends, for whatever purpose,
// has been granted by the lanes whose budget it spends.
func (b *Broker) attempt(ctx context.Context, s *lane.Slot, r *dashboard.Request) *dashboard.Answer {
	if !s.Spend() {
		return &dashboard.Answer{Outcome: fault.NotSent, Err: errNoSlot, Start: time.Now()}
	}
	b.attempts.Add(1)
	a := b.config.Dashboard.Attempt(ctx, r)
	b.observer.Attempted(r.Operation, a.Outcome, a.Status, a.Duration)
	return a
}
