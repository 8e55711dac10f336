package broker

import (
	"context"
	"net/url"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/owner"
)

// The operations that answer who owns something. They are calls like any other,
// shared with callers who happen to ask the same.
var (
	askNetwork = &apiv1.Operation{
		Id: "getNetwork", Path: "/networks/{networkId}", Verb: apiv1.Verb_VERB_GET,
		Scope: apiv1.Scope_SCOPE_NETWORK, RetryClass: apiv1.RetryClass_RETRY_CLASS_READ,
	}
	askDevice = &apiv1.Operation{
		Id: "getDevice", Path: "/devices/{serial}", Verb: apiv1.Verb_VERB_GET,
		Scope: apiv1.Scope_SCOPE_DEVICE, RetryClass: apiv1.RetryClass_RETRY_CLASS_READ,
	}
)

// owned tells whether a call is about something that an organization owns.
func owned(c *Call) bool {
	switch c.Operation.GetScope() {
	case apiv1.Scope_SCOPE_ORGANIZATION, apiv1.Scope_SCOPE_NETWORK, apiv1.Scope_SCOPE_DEVICE:
		return true
	}
	return false
}

// question asks for the owner of a call's network or device.
func (b *Broker) question(c *Call) owner.Question {
	q := owner.Question{ID: c.ID, Credential: c.Key.ID()}
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_DEVICE {
		q.Kind = owner.Device
	}
	switch c.Operation.GetId() {
	case askNetwork.Id, askDevice.Id:
		q.Itself = true
	}
	if !c.OwnKey { // what a caller's own key may see is not for all
		key := c.Key
		q.Prefetch = func(kind owner.Kind, organization string) {
			if key, ok := b.keyFor(organization, key); ok && !b.life.Draining() {
				b.life.Go(func() { _ = b.preload(b.life.Context(), key, organization, kind) })
			}
		}
		if q.Kind == owner.Network {
			q.Missed = func() { b.learnTemplates(key) }
		}
	}
	return q
}

// known gives the owner of what a call is about where no look-up is needed. Decided
// tells that a look-up would bring nothing either.
func (b *Broker) known(now time.Time, c *Call) (organization string, decided bool) {
	switch {
	case c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION:
		return c.ID, true
	case !owned(c):
		return "", true
	}
	q := b.question(c)
	q.Fallback = true
	return b.owners.Known(now, q)
}

// owner finds the organization that owns what a call is about, and the one whose
// budget pays. They differ where the owner is not known: the caller's hint says then
// who pays for this one call, and nothing else. Both are empty when nobody in
// particular does, or it cannot be known.
func (b *Broker) owner(ctx context.Context, c *Call) (organization, payer string, f *fault.Error) {
	now := time.Now()
	organization, decided := b.known(now, c)
	switch {
	case organization != "" || !owned(c):
		return organization, organization, nil
	case b.owners.Trusted(now, c.Organization, c.ID):
		return "", c.Organization, nil
	case decided:
		return "", "", nil
	}
	q := b.question(c)
	q.Fallback = true
	organization, f = b.find(ctx, c, q)
	return organization, organization, f
}

// find asks the directory, which may have to look up.
func (b *Broker) find(ctx context.Context, c *Call, q owner.Question) (string, *fault.Error) {
	organization, f := b.owners.Find(ctx, q, func(ctx context.Context, l owner.LookUp) *fault.Error {
		return b.lookUp(ctx, c, l)
	})
	if f != nil {
		f.Operation = c.Operation.GetId()
	}
	return organization, f
}

// lookUp asks the Dashboard for a network or device, together with all who want
// the same with the same credential. It ends early when somebody else's answer
// tells first.
func (b *Broker) lookUp(ctx context.Context, c *Call, l owner.LookUp) *fault.Error {
	op, prefix := askNetwork, "/networks/"
	if l.Kind == owner.Device {
		op, prefix = askDevice, "/devices/"
	}
	ask := &Call{
		Operation: op, Caller: c.Caller, Weight: c.Weight, Priority: c.Priority,
		Path: prefix + url.PathEscape(l.ID), ID: l.ID, Key: c.Key, OwnKey: c.OwnKey, Rejected: c.Rejected,
		secondLookUp: l.Second,
	}
	_, f := b.fetch(ctx, ask, readKey{ask.Key.Partition(), ask.Path, ask.Query}, l.Moot)
	return f
}

// learn takes over what an answer says about owners, and lets the organization
// of a call that went before its owner was known pay for what it has spent.
func (b *Broker) learn(now time.Time, j *callState, a *dashboard.Result) {
	c := j.call
	operation := c.Operation.GetId()
	b.owners.Changed(now, operation, c.ID, c.Body)
	below := "" // the organization that the path names
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
		below = c.ID
	}
	for _, due := range b.owners.Learn(now, b.owners.Facts(now, operation, a.Body, below)) {
		b.lanes.Owe(due.Organization, due.Attempts)
	}
	switch operation {
	case createBatch, confirmBatch, "getOrganizationActionBatch", "getOrganizationActionBatches":
		if b.gates.batch(now, j.organization, a.Body) {
			b.written(j.organization) // its writes were made since it was sent
		}
	}
	if !owned(c) || c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
		return
	}
	organization, network := b.owners.Owned(now, b.question(c))
	switch {
	case organization == "" && j.payer == "" && network != "" && network != c.ID:
		b.owners.Owe(network, len(j.attempts))
	case organization == "" || organization == j.payer:
	default: // the owner was not known, or a hint or an older belief was wrong
		b.lanes.Owe(organization, len(j.attempts))
		b.distrust(j)
	}
	if organization != "" {
		j.organization = organization
	}
}

// distrust remembers that a call's hint has not proved true.
func (b *Broker) distrust(j *callState) {
	if h := j.call.Organization; h != "" && h == j.payer {
		b.owners.Distrust(time.Now(), h, j.call.ID)
	}
}
