// Package access says whether a caller may make a call, on which terms, and with
// which key: one answer for every face. It decides and does nothing else: the broker
// asks once more when it has found out who owns what a call is about.
package access

import (
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// Access is who calls, what they may, and with which key.
type Access struct {
	Resolver *identity.Resolver
	Policy   *identity.Policy
	Keys     *credential.Store
	// Contract says which operation an action of a batch is. Without it every action
	// is one that nobody knows.
	Contract *contract.Contract
	// Audit is told of calls that are refused here; nil for none.
	Audit *audit.Log
}

// A Question is one call, as far as rules and keys look at it.
type Question struct {
	Caller identity.Caller
	// Face is the one that asks, for the audit.
	Face string
	// Request is what the caller wants to do. Ask fills in the organization.
	Request identity.Request
	// Operation is the contract's, or what the path tells of one that it does not know.
	Operation *apiv1.Operation
	// Owner is whose the call is, by the operation's scope: an organization, a network,
	// a device. Unowned marks a path of which nobody can say.
	Owner   string
	Unowned bool
	// Path is below /api/v1, in the canonical form. It, Query and Body may name more
	// that has an owner.
	Path  string
	Query string
	Body  []byte
	// OwnKey is a Dashboard key that the caller sent; OwnKeyField is where it
	// stands, for errors. Empty for the broker's key. OwnKeyOptional gives the
	// broker's key to a caller that may not bring its own: over REST every client
	// sends something where a key is expected.
	OwnKey, OwnKeyField string
	OwnKeyOptional      bool
}

// A Permit is a call that is allowed, as far as is known when it comes in.
type Permit struct {
	Key dashboard.Key
	// OwnKey tells that the key is the caller's.
	OwnKey bool
	// Weight, Share and Priority are the terms of the rule; Defaults are what it says
	// where the caller says nothing.
	Weight   float64
	Share    float64
	Priority identity.Priority
	Defaults identity.Defaults
	// Anywhere tells that the owner makes no difference to the rules, so that the
	// caller's own word for it may steer the budget.
	Anywhere bool
	// Open tells that the owner is not known yet: Settle has to be asked with it.
	Open bool

	access   *Access
	decision identity.Decision
	caller   identity.Caller
	face     string
	// organization is the owner, where it is known; organizations are what else the
	// call names by id, all of them allowed.
	organization  string
	organizations []string
	// named are the networks and devices that the call names beside its owner, and the
	// decision that each has to pass.
	named []named
}

// Ask decides about a call. The error is a *fault.Error.
func (a *Access) Ask(q Question) (*Permit, error) {
	p, err := a.ask(q)
	if err != nil {
		a.Audit.Refused(audit.Entry{
			Caller: q.Caller.ID, Face: q.Face, Operation: q.Operation.GetId(), Path: q.Path, Fault: fault.As(err),
			Method: strings.TrimPrefix(q.Operation.GetVerb().String(), "VERB_"),
		})
	}
	return p, err
}

func (a *Access) ask(q Question) (*Permit, error) {
	if f := unambiguous(q); f != nil {
		return nil, f
	}
	switch q.Operation.GetScope() {
	case apiv1.Scope_SCOPE_ORGANIZATION:
		q.Request.Organization = q.Owner
	case apiv1.Scope_SCOPE_NONE:
		q.Request.Organization = identity.NoOrganization
	}
	q.Request.Unowned = q.Unowned
	if q.Request.RPC != "" && identity.NeedsName(q.Operation) {
		q.Request.ByName = true
		if q.Operation.GetId() != contract.UnknownOperation {
			q.Request.Operation = q.Operation.GetId()
		}
	}
	decision, err := a.Policy.Decide(q.Caller, q.Request)
	if err != nil {
		return nil, err
	}
	p := &Permit{
		Weight: decision.Weight, Share: decision.Share, Priority: decision.Priority, Defaults: decision.Defaults,
		Anywhere: decision.Anywhere(), Open: q.Request.Organization == "",
		access: a, decision: decision, caller: q.Caller, face: q.Face, organization: q.Request.Organization,
	}
	if err := p.look(q); err != nil {
		return nil, err
	}
	if p.Key, p.OwnKey, err = a.key(q, p.organizations); err != nil {
		return nil, err
	}
	return p, nil
}

// key picks the key: the caller's own where it sent one and may, the broker's
// otherwise. A caller that is known by nothing but its key gets no other.
func (a *Access) key(q Question, organizations []string) (key dashboard.Key, own bool, err error) {
	only := q.Caller.Source == identity.OwnKey
	if q.OwnKey != "" || only {
		key, err = a.Keys.Own(q.Caller.ID, q.OwnKeyField, q.OwnKey)
		if err == nil {
			return key, true, nil
		}
		if f := fault.As(err); only || !q.OwnKeyOptional || f == nil || f.Kind != fault.CallerNotAllowed {
			return dashboard.Key{}, false, err
		}
	}
	key, err = a.pick(q.Caller, served(q.Request.Organization, organizations))
	return key, false, err
}

// pick picks one of the broker's keys.
func (a *Access) pick(c identity.Caller, organizations []string) (dashboard.Key, error) {
	if c.Source == identity.OwnPort {
		return a.Keys.PickAny(organizations...)
	}
	return a.Keys.Pick(c.ID, organizations...)
}

// served are the organizations that a key has to serve.
func served(owner string, named []string) []string {
	if owner == "" || owner == identity.NoOrganization {
		return named
	}
	return append(named[:len(named):len(named)], owner)
}

// Allow gives a call the key and the terms of the permit. A call that the caller
// has said more about is told so afterwards.
func (p *Permit) Allow(c *broker.Call) {
	c.Key, c.OwnKey, c.Face = p.Key, p.OwnKey, p.face
	c.Weight, c.Share, c.Priority = p.Weight, p.Share, ratelimit.Priority(p.Priority)
	c.Deadline, c.RetryWrites = p.Defaults.Deadline, p.Defaults.RetryWrites
	if c.Operation.GetVerb() == apiv1.Verb_VERB_GET {
		c.MaxAge = p.Defaults.MaxAge
	}
	c.Rejected = p.Rejected
	for _, n := range p.named {
		c.Named = append(c.Named, broker.Named{Scope: n.scope, ID: n.id})
	}
	// Where the owner changes neither rules nor key, nobody need know it.
	if len(p.named) > 0 || p.Open && !(p.Anywhere && (p.OwnKey || p.access.Keys.Anywhere(p.caller.ID))) {
		c.Settle, c.Candidates = p.Settle, p.Candidates
	}
}

// Settle decides again once the owner is known, and those of what the call names,
// in its order; it gives the key that serves them. An owner is empty when it cannot be
// known. The error is a *fault.Error.
func (p *Permit) Settle(organization string, named []string) (dashboard.Key, error) {
	if p.organization != "" {
		organization = p.organization
	}
	if _, err := p.decision.Narrow(organization); err != nil {
		return dashboard.Key{}, err
	}
	organizations := p.organizations
	for i, n := range p.named {
		if err := n.settle(named[i]); err != nil {
			return dashboard.Key{}, err
		}
		if named[i] != "" && !slices.Contains(organizations, named[i]) {
			organizations = append(organizations[:len(organizations):len(organizations)], named[i])
		}
	}
	if p.OwnKey {
		return p.Key, nil
	}
	return p.access.pick(p.caller, served(organization, organizations))
}

// Candidates are the keys to look an owner up with.
func (p *Permit) Candidates() []dashboard.Key {
	if p.OwnKey {
		return []dashboard.Key{p.Key}
	}
	return p.access.Keys.Candidates(p.caller.ID)
}

// Rejected takes note that the Dashboard answered 401 to a key of the broker's, and
// gives another that serves the same; false where there is none.
func (p *Permit) Rejected(key dashboard.Key) (dashboard.Key, bool) {
	if p.OwnKey {
		return dashboard.Key{}, false
	}
	return p.access.Keys.Rejected(key)
}
