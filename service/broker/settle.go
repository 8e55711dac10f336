package broker

import (
	"context"
	"fmt"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// settle finds out who owns what a call is about, asks whether the caller may
// have it, and gives the call with the key that serves that owner. It stands
// before everything that is shared: neither an answer at hand nor one on its way
// reaches a caller who may not have it.
func (b *Broker) settle(ctx context.Context, c *Call) (*Call, *fault.Error) {
	organization, f := b.settledOwner(ctx, c)
	if f != nil {
		return nil, f
	}
	named, f := b.namedOwners(ctx, c)
	if f != nil {
		return nil, f
	}
	key, err := c.Settle(organization, named)
	if err != nil {
		return nil, settlingFault(c, err)
	}
	settled := *c
	settled.Key, settled.Settle = key, nil
	return &settled, nil
}

// Settled gives a call with the key that serves the owner of what it is about, once
// the caller may have it: for reads that are made for several callers. It makes no
// call, but may have to look the owner up. The error is a *fault.Error.
func (b *Broker) Settled(ctx context.Context, c *Call) (*Call, error) {
	if f := check(c); f != nil {
		return nil, f
	}
	if c.Settle == nil {
		return c, nil
	}
	ctx, cancel := b.bounded(ctx, c)
	defer cancel()
	c, f := b.settle(ctx, c)
	if f != nil {
		return nil, f
	}
	return c, nil
}

// mostLookUps bounds what the names in one call can spend: each that is not known is
// looked up, by one request or two for each key that may serve it.
const mostLookUps = 20

// namedOwners finds out who owns what a call names in its query or its body.
func (b *Broker) namedOwners(ctx context.Context, c *Call) ([]string, *fault.Error) {
	owners := make([]string, 0, len(c.Named))
	lookUps := 0
	for _, n := range c.Named {
		about := *c
		about.Operation = &apiv1.Operation{Id: c.Operation.GetId(), Verb: apiv1.Verb_VERB_GET, Scope: n.Scope}
		about.ID, about.Organization = n.ID, ""
		if organization, _ := b.known(time.Now(), &about); organization == "" {
			if lookUps++; lookUps > mostLookUps {
				return nil, &fault.Error{
					Kind: fault.CallerNotAllowed, Reason: "NAMES_NOT_CHECKED", Operation: c.Operation.GetId(),
					Detail: fmt.Sprintf("the call names more than %d networks and devices whose organization is not known yet, so they cannot be checked against the caller's rules; name fewer at once, or have them preloaded; nothing was sent", mostLookUps),
				}
			}
		}
		organization, f := b.settledOwner(ctx, &about)
		if f != nil {
			return nil, f
		}
		owners = append(owners, organization)
	}
	return owners, nil
}

// settledOwner asks for the owner whatever the call itself is, also one that would
// itself tell, so that a caller who may not have the answer does not get it.
func (b *Broker) settledOwner(ctx context.Context, c *Call) (string, *fault.Error) {
	switch {
	case c.Operation.GetScope() == apiv1.Scope_SCOPE_ORGANIZATION:
		return c.ID, nil
	case !owned(c):
		return "", nil
	}
	ask := *c
	keys := []dashboard.Key{c.Key}
	if c.Candidates != nil {
		keys = c.Candidates()
	}
	var rejected *fault.Error
	for _, key := range keys {
		ask.Key = key
		q := b.question(&ask)
		q.Itself = false
		organization, f := b.find(ctx, &ask, q)
		switch {
		case f != nil && f.Kind == fault.KeyRejected:
			rejected = f // of one organization's key, which says nothing of the others'
		case f != nil:
			return "", f
		case organization != "":
			return organization, nil
		}
	}
	return "", rejected
}

// settlingFault is the refusal of Settle as a fault of the call's.
func settlingFault(c *Call, err error) *fault.Error {
	f := fault.As(err)
	if f == nil {
		f = &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause", Cause: err}
	}
	named := *f
	named.Operation = c.Operation.GetId()
	return &named
}

// Placed gives a call as Settled does, and with it the organization whose budget it
// spends: the owner, or the one of the caller's hint; empty when neither is known. It
// makes no call, but may have to look the owner up. The error is a *fault.Error.
func (b *Broker) Placed(ctx context.Context, c *Call) (*Call, string, error) {
	settled, err := b.Settled(ctx, c)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := b.bounded(ctx, c)
	defer cancel()
	_, payer, f := b.owner(ctx, settled)
	if f != nil {
		return nil, "", f
	}
	return settled, payer, nil
}
