package access

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/contract/canonical"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// A named is a network or device that a call names beside its owner.
type named struct {
	scope    apiv1.Scope
	id       string
	decision identity.Decision
	// free marks what nobody may own: a device that the call claims, a network that is
	// gone.
	free bool
}

// mostNamed bounds the networks and devices that one call of a restricted caller
// names: each may have to be looked up.
const mostNamed = 200

// claims are the operations that claim devices, which belong to nobody before.
var claims = map[string]bool{
	"claimIntoOrganization": true, "claimIntoOrganizationInventory": true, "claimNetworkDevices": true,
}

// unambiguous refuses what another reader of the request could take for another
// request.
func unambiguous(q Question) *fault.Error {
	for pair := range strings.FieldsFuncSeq(q.Query, separates) {
		name, _, _ := strings.Cut(pair, "=")
		for range 3 { // readers on the way may unescape once more
			if strings.HasPrefix(strings.ToLower(strings.TrimSpace(name)), "_method") {
				return fault.Bad("query", "a parameter _method changes the method for some servers; nothing was sent")
			}
			plain, err := url.QueryUnescape(name)
			if err != nil || plain == name {
				break
			}
			name = plain
		}
	}
	return nil
}

// look finds what a call names beside its owner, and decides about it as far as that
// is known now. Where it makes no difference to the rules, what is named counts for the
// key alone, and the actions of a batch, each of which a rule has to allow.
func (p *Permit) look(q Question) error {
	if !p.decision.Everywhere() {
		if id, ok := contract.NetworkBelow(q.Path); ok && strings.HasPrefix(q.Operation.GetPath(), "/networks/") {
			// A network's own operation, asked for below its organization. Of one that nobody owns the Dashboard has to say so: a client takes what it
			// made for gone by that alone.
			p.named = append(p.named, named{apiv1.Scope_SCOPE_NETWORK, id, p.decision, true})
		}
		if err := p.name(p.decision, q.Operation, q.Query, q.Body); err != nil {
			return err
		}
	} else {
		p.serve(q.Operation, q.Query, q.Body)
	}
	actions, err := p.access.actions(q.Operation, q.Body)
	if err != nil {
		return err
	}
	for i, act := range actions {
		if err := p.action(q, act); err != nil {
			f := *fault.As(err)
			f.Operation, f.Detail = q.Operation.GetId(), fmt.Sprintf("action %d of the batch: %s", i, f.Detail)
			return &f
		}
	}
	p.Open = p.Open || len(p.named) > 0
	return nil
}

// action decides about an action of a batch as if it were a call by itself. One that
// the contract does not know is a write by the RPC Call.
func (p *Permit) action(q Question, act action) error {
	request := identity.Request{RPC: "Call", ByName: identity.NeedsName(act.operation)}
	if act.method != nil {
		var err error
		if request, err = identity.NewRequest(act.method.Name, act.operation); err != nil {
			return fault.Bad("actions", "%s", err)
		}
		request.Organization = ""
	}
	decision, err := p.access.Policy.Decide(q.Caller, request)
	if err != nil {
		return err
	}
	if decision.Everywhere() {
		p.serve(act.operation, "", act.body)
		return nil
	}
	if err := p.add(decision, act.operation, act.scope, act.owner); err != nil {
		return err
	}
	return p.name(decision, act.operation, "", act.body)
}

// serve takes the organizations that query and body name, for the key: where they make
// no difference to the rules, and one entry of the keys is not there for all.
func (p *Permit) serve(op *apiv1.Operation, query string, body []byte) {
	if p.access.Keys.Anywhere(p.caller.ID) {
		return
	}
	all, err := targets(op, op.GetId() != contract.UnknownOperation, query, body)
	if err != nil {
		return
	}
	for _, t := range all {
		if t.kind == apiv1.NamedOwner_KIND_ORGANIZATION && contract.OwnerID(apiv1.Scope_SCOPE_ORGANIZATION, t.id) == nil &&
			len(p.organizations) < mostNamed && !slices.Contains(p.organizations, t.id) {
			p.organizations = append(p.organizations, t.id)
		}
	}
}

// name takes what query and body name.
func (p *Permit) name(decision identity.Decision, op *apiv1.Operation, query string, body []byte) error {
	all, err := targets(op, op.GetId() != contract.UnknownOperation, query, body)
	if err != nil {
		return err
	}
	for _, t := range all {
		scope := map[apiv1.NamedOwner_Kind]apiv1.Scope{
			apiv1.NamedOwner_KIND_ORGANIZATION: apiv1.Scope_SCOPE_ORGANIZATION,
			apiv1.NamedOwner_KIND_NETWORK:      apiv1.Scope_SCOPE_NETWORK,
			apiv1.NamedOwner_KIND_DEVICE:       apiv1.Scope_SCOPE_DEVICE,
		}[t.kind]
		if err := p.add(decision, op, scope, t.id); err != nil {
			return err
		}
	}
	return nil
}

// add takes one thing that a call names: an organization is decided about at once.
func (p *Permit) add(decision identity.Decision, op *apiv1.Operation, scope apiv1.Scope, id string) error {
	if scope == apiv1.Scope_SCOPE_ORGANIZATION {
		if _, err := decision.Narrow(id); err != nil {
			return err
		}
		if !slices.Contains(p.organizations, id) {
			p.organizations = append(p.organizations, id)
		}
		return nil
	}
	if canonical.Segment(id) != nil || contract.OwnerID(scope, id) != nil {
		return fault.Bad("body", "%.80q is not the id of a network or a device; nothing was sent", id)
	}
	if !slices.ContainsFunc(p.named, func(n named) bool { return n.scope == scope && n.id == id && n.decision.Same(&decision) }) {
		if len(p.named) == mostNamed {
			return &fault.Error{Kind: fault.CallerNotAllowed, Reason: reasonUnchecked, Operation: op.GetId(),
				Detail: fmt.Sprintf("the call names more than %d networks and devices, which is what can be checked against the caller's rules at once; nothing was sent", mostNamed)}
		}
		p.named = append(p.named, named{scope, id, decision, scope == apiv1.Scope_SCOPE_DEVICE && claims[op.GetId()]})
	}
	return nil
}

// settle decides about one thing once its owner is known.
func (n *named) settle(organization string) error {
	if organization == "" && n.free {
		return nil
	}
	_, err := n.decision.Narrow(organization)
	if err == nil {
		return nil
	}
	f := *fault.As(err)
	f.Detail = fmt.Sprintf("the call names %s, whose organization is not one of the caller's: %s", n.id, f.Detail)
	if organization == "" {
		f.Detail = fmt.Sprintf("the call names %s, and which organization owns it cannot be known, so it cannot be checked against the caller's rules; nothing was sent", n.id)
	}
	return &f
}
