package batch

import (
	"context"
	"maps"
	"slices"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// heard notes whether an operator holds the writes of the list in an organization, by
// what became of one of its calls that was asked for at a moment. A read says nothing of a
// hold of writes, nor does what was asked before a hold was heard of, or came to no answer.
func (l *list) heard(organization string, op *apiv1.Operation, asked time.Time, f *fault.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f != nil && f.Reason == hold.Reason {
		was := l.held[organization]
		l.held[organization], l.heldAt[organization] = f, time.Now()
		if was == nil || was.Detail != f.Detail {
			l.tell()
		}
		return
	}
	ended := f != nil && (f.Kind == fault.Cancelled || f.Kind == fault.DeadlineExceeded || f.Kind == fault.Draining)
	if !ended && op.GetVerb() != apiv1.Verb_VERB_GET && asked.After(l.heldAt[organization]) {
		delete(l.held, organization)
	}
}

// again waits until a call that was refused for want of budget, or that an operator
// holds, may come again; it tells whether ctx has lasted for it.
func (o *organization) again(ctx context.Context, f *fault.Error) bool {
	if f.Reason == hold.Reason {
		o.stop(1)
		defer o.stop(-1)
	}
	return waited(ctx, max(f.RetryAfter, time.Second))
}

// again waits as the organization does. While an operator holds the batch it has no place:
// others, whom nobody holds, need it.
func (f *flight) again(ctx context.Context, g *fault.Error) bool {
	if g.Reason != hold.Reason || f.alone {
		return f.organization.again(ctx, g)
	}
	f.stall(1)
	defer f.stall(-1)
	f.leave()
	f.leave = func() {}
	if !f.organization.again(ctx, g) {
		return false
	}
	leave, err := f.organization.take(ctx, f.list.key.caller)
	if err == nil {
		f.leave = leave
	}
	return err == nil
}

// stall counts the batches that wait without a place, beside which no more are begun.
func (f *flight) stall(change int) {
	l := f.list
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stalled[f.pool] += change; change < 0 {
		l.advance()
	}
}

func (o *organization) stop(change int) {
	o.mu.Lock()
	o.stopped += change
	o.mu.Unlock()
}

// holds gives what a reader has not been told of yet, with the lock held.
func (l *list) holds(told map[string]bool) (out []*fault.Error) {
	for _, organization := range slices.Sorted(maps.Keys(l.held)) {
		if f := l.held[organization]; !told[f.Detail] {
			told[f.Detail] = true
			out = append(out, f)
		}
	}
	return out
}
