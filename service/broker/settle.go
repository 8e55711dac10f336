package broker

import (
	"context"

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
	key, err := c.Settle(organization)
	if err != nil {
		return nil, settlingFault(c, err)
	}
	settled := *c
	settled.Key, settled.Settle = key, nil
	return &settled, nil
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
			f.Operation = c.Operation.GetId()
			return "", f
		case organization != "":
			return organization, nil
		}
	}
	if rejected != nil {
		rejected.Operation = c.Operation.GetId()
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
