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
	q := owner.Question{ID: c.ID, Hint: c.Organization, Credential: c.Key.ID()}
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
	return b.owners.Known(now, b.question(c))
}

// owner finds the organization that pays for a call; empty when nobody in
// particular does, or it cannot be known.
func (b *Broker) owner(ctx context.Context, c *Call) (string, *fault.Error) {
	switch {
	case c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION:
		return c.ID, nil
	case !owned(c):
		return "", nil
	}
	return b.find(ctx, c, b.question(c))
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
func (b *Broker) learn(now time.Time, j *callState, a *dashboard.Answer) {
	c := j.call
	operation := c.Operation.GetId()
	b.owners.Changed(now, operation, c.ID, c.Body)
	for _, due := range b.owners.Learn(now, b.owners.Facts(now, operation, a.Body, j.organization)) {
		b.lanes.Owe(due.Organization, due.Attempts)
	}
	switch operation {
	case createBatch, confirmBatch, "getOrganizationActionBatch", "getOrganizationActionBatches":
		b.gates.batch(now, j.organization, a.Body)
	}
	if !owned(c) || c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
		return
	}
	organization, network := b.owners.Owned(now, b.question(c))
	switch {
	case organization == "" && j.organization == "" && network != "" && network != c.ID:
		b.owners.Owe(network, len(j.attempts))
	case organization == "" || organization == j.organization:
	case j.organization == "":
		b.lanes.Owe(organization, len(j.attempts))
		j.organization = organization
	default: // a hint, or what was known, was wrong
		b.distrust(j)
		j.organization = organization
	}
}

// distrust remembers that a call's hint has not proved true.
func (b *Broker) distrust(j *callState) {
	if h := j.call.Organization; h != "" && h == j.organization {
		b.owners.Distrust(time.Now(), h, j.call.ID)
	}
}
