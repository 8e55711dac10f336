package broker

import (
	"context"
	"net/url"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// The operations that answer who owns something, and those that list all that
// an organization owns. They are calls like any other, shared with callers who
// happen to ask the same.
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

// known gives the owner of a call's network or device where no look-up is
// needed. Decided tells that a look-up would bring nothing either: the call is
// itself the look-up, or the owner was asked for a moment ago in vain.
func (b *Broker) known(now time.Time, c *Call) (organization string, decided bool) {
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION {
		return c.ID, true
	}
	if organization, _ := b.owned(now, c); organization != "" {
		return organization, true
	}
	if c.Organization != "" && !b.owners.missed(now, hinted+c.Organization, c.ID) {
		return c.Organization, true
	}
	switch c.Operation.GetId() {
	case askNetwork.Id, askDevice.Id:
		return "", true
	}
	return "", b.owners.missed(now, c.Key.ID(), c.ID)
}

// hinted marks hints that turned out wrong among the misses. No credential's
// fingerprint has such a form.
const hinted = "hint:"

// owned is what has been learned of a call's owner, and of its network.
func (b *Broker) owned(now time.Time, c *Call) (organization, network string) {
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_DEVICE {
		return b.owners.device(now, c.ID)
	}
	return b.owners.network(now, c.ID), c.ID
}

// owner finds the organization that pays for a call on a network or device, and
// looks it up where it is not known: one GET for a network, and for a device one
// before it. Empty when it cannot be known; the call then goes through the
// cautious lane. A look-up that fails for another reason than that fails the call,
// which would meet the same, and has not been sent.
func (b *Broker) owner(ctx context.Context, c *Call) (string, *fault.Error) {
	now := time.Now()
	organization, decided := b.known(now, c)
	if decided {
		return organization, nil
	}
	kind := "network"
	_, network := b.owned(now, c)
	if c.Operation.GetScope() == apiv1.Scope_SCOPE_DEVICE {
		kind = "device"
		if network == "" {
			if f := b.lookUp(ctx, c, askDevice, "/devices/", c.ID); f != nil {
				return b.unknown(c, kind, f)
			}
			if organization, network = b.owned(time.Now(), c); organization != "" {
				return b.found(c, kind, organization)
			}
			if network == "" {
				return b.unknown(c, kind, nil) // a device that is in no network
			}
		}
	}
	if f := b.lookUp(ctx, c, askNetwork, "/networks/", network); f != nil {
		return b.unknown(c, kind, f)
	}
	if organization, _ = b.owned(time.Now(), c); organization == "" {
		return b.unknown(c, kind, nil)
	}
	return b.found(c, kind, organization)
}

func (b *Broker) found(c *Call, kind, organization string) (string, *fault.Error) {
	b.observer.LookedUp(kind, "found")
	b.hydration.found(b, c, kind, organization)
	return organization, nil
}

// unknown ends a look-up that brought no owner.
func (b *Broker) unknown(c *Call, kind string, f *fault.Error) (string, *fault.Error) {
	if f != nil {
		switch f.Kind {
		case fault.NotFound, fault.Forbidden, fault.BadRequest, fault.APIDisabled:
			// The Dashboard has answered, and would again: a template's id, say,
			// stands where a network's does, but is not one to ask for.
		default:
			b.observer.LookedUp(kind, "failed")
			owned := *f
			owned.Operation = c.Operation.GetId()
			if f.Detail != "" {
				owned.Detail = "looking up the organization that owns the " + kind + ": " + f.Detail
			}
			return "", &owned
		}
	}
	b.observer.LookedUp(kind, "unknown")
	b.owners.miss(time.Now(), c.Key.ID(), c.ID)
	return "", nil
}

// lookUp asks the Dashboard for a network or device, together with all who want
// the same with the same credential. It ends early when somebody else's answer
// tells first.
func (b *Broker) lookUp(ctx context.Context, c *Call, op *apiv1.Operation, prefix, id string) *fault.Error {
	learned, done := b.owners.wait(time.Now(), id)
	defer done()
	ask := &Call{
		Operation: op, Caller: c.Caller, Weight: c.Weight, Priority: c.Priority,
		Path: prefix + url.PathEscape(id), ID: id, Key: c.Key, OwnKey: c.OwnKey, Rejected: c.Rejected,
		goesOn: op == askNetwork && c.Operation.GetScope() == apiv1.Scope_SCOPE_DEVICE,
	}
	_, f := b.fetch(ctx, ask, readKey{ask.Key.ID(), ask.Path, ask.Query}, learned)
	return f
}

// learn takes over what an answer says about owners, and lets the organization
// of a call that went before its owner was known pay for what it has spent.
func (b *Broker) learn(now time.Time, j *journey, a *dashboard.Answer) {
	c := j.call
	operation := c.Operation.GetId()
	if unsettling[operation] {
		for _, id := range namedIn(c.ID, c.Body) {
			if id != "" {
				b.owners.forget(now, id, true)
			}
		}
	}
	for _, due := range b.owners.learn(now, b.owners.news(now, operation, a.Body, j.organization)) {
		b.lanes.organization(due.organization).owe(due.attempts)
	}
	switch operation {
	case createBatch, confirmBatch, "getOrganizationActionBatch", "getOrganizationActionBatches":
		b.gates.batch(now, j.organization, a.Body)
	}
	switch c.Operation.GetScope() {
	case apiv1.Scope_SCOPE_NETWORK, apiv1.Scope_SCOPE_DEVICE:
	default:
		return
	}
	owner, network := b.owned(now, c)
	switch {
	case owner == "" && j.organization == "" && network != "" && network != c.ID:
		b.owners.owe(network, len(j.attempts))
	case owner == "" || owner == j.organization:
	case j.organization == "":
		b.lanes.organization(owner).owe(len(j.attempts))
		j.organization = owner
	default: // a hint, or what was known, was wrong
		b.distrust(j)
		j.organization = owner
	}
}

// distrust remembers that a call's hint has not proved true.
func (b *Broker) distrust(j *journey) {
	if h := j.call.Organization; h != "" && h == j.organization {
		b.owners.miss(time.Now(), hinted+h, j.call.ID)
	}
}

// debts is the class of slots that are spent already.
var debts = ratelimit.Class{Priority: ratelimit.Critical, Caller: "(look-ups)"}

// owe makes a lane pay for n attempts that its organization has received before
// it was known to own what they were about. They go before what waits.
func (l *lane) owe(n int) {
	for range min(n, mostAttempts) {
		w := &waiter{class: debts, weight: 1, keep: true, debt: true, back: true}
		if l.take(time.Now()) {
			l.address.pass(1) // it has paid already
			continue
		}
		l.join(w)
	}
}
