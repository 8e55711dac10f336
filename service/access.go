package service

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// identify finds out who calls, which takes the headers that could name somebody
// else out of the metadata.
func (s *Server) identify(next step) step {
	return func(ctx context.Context, p *rpcCall) error {
		if open(p.rpc) {
			return next(ctx, p)
		}
		caller, err := s.access.Resolver.Resolve(ctx)
		if err != nil {
			return err
		}
		p.caller = caller.ID
		ctx = identity.With(ctx, caller)
		if q, ok := s.brokerRPCs[p.rpc]; ok && p.rpc != brokerv1.BrokerService_Call_FullMethodName {
			decision, err := s.access.Policy.Decide(caller, q)
			if err != nil {
				return err
			}
			ctx = context.WithValue(ctx, decisionKey{}, &decision)
		}
		return next(ctx, p)
	}
}

// decisionKey is where the decision on an RPC of BrokerService stands in its context.
type decisionKey struct{}

// within says whether the caller of an RPC of BrokerService may ask about an
// organization; what concerns all of them, "", only a caller who may have all.
func within(ctx context.Context, organization string) error {
	decision, ok := ctx.Value(decisionKey{}).(*identity.Decision)
	if !ok {
		return &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause", Cause: errNoDecision}
	}
	_, err := decision.Narrow(organization)
	return err
}

var errNoDecision = errors.New("an RPC was served that the policy was not asked about")

// open tells the RPCs that need no rule: health, which probes ask without an
// identity, and reflection, which says nothing that the protos do not.
func open(rpc string) bool {
	switch rpc {
	case "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/List",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo":
		return true
	}
	return false
}

// admit reads what the caller said beside the request, asks whether it may make the
// call, and sets key and terms. Where the owner is not known yet, the broker asks
// again once it is.
func (s *Server) admit(ctx context.Context, q identity.Request, call *broker.Call) error {
	beside, err := readMetadata(sentMetadata(ctx))
	if err != nil {
		return named(err, call.Operation.GetId())
	}
	caller := identity.From(ctx)
	q.Priority = identity.Unsaid
	if beside.priority != nil {
		q.Priority = identity.Priority(*beside.priority)
	}
	permit, err := s.access.Ask(access.Question{
		Caller: caller, Face: audit.GRPC, Request: q, Operation: call.Operation, Owner: call.ID, Unowned: unowned(call),
		Path: call.Path, Query: call.Query, Body: call.Body,
		OwnKey: beside.ownKey, OwnKeyField: keyAPIKey,
	})
	if err != nil {
		return named(err, call.Operation.GetId())
	}
	call.Caller, call.Repeated, call.Name = caller.ID, beside.repeated, beside.name
	if permit.Anywhere {
		// For others a hint would be the caller's own word for whose budget, rules and
		// key it comes under.
		call.Organization = beside.organization
	}
	permit.Allow(call)
	if beside.maxAge != nil {
		call.MaxAge = *beside.maxAge
	}
	if beside.retryWrites != nil {
		call.RetryWrites = *beside.retryWrites
	}
	return nil
}

// unowned tells a call of an operation that the contract does not know, on a path that
// does not name its owner.
func unowned(call *broker.Call) bool {
	return call.Operation.GetId() == contract.UnknownOperation && call.Operation.GetScope() == apiv1.Scope_SCOPE_NONE
}

// PolicyRequests lists what rules can be about: every typed RPC and every method
// of BrokerService. One that no rule could be about is an error.
func PolicyRequests(c *contract.Contract) ([]identity.Request, error) {
	var all []identity.Request
	for _, m := range c.Methods() {
		request, err := identity.NewRequest(m.Name, m.Operation)
		if err != nil {
			return nil, err
		}
		all = append(all, request)
	}
	own, err := brokerRequests()
	if err != nil {
		return nil, err
	}
	return append(all, slices.Collect(maps.Values(own))...), nil
}

// brokerRequests is what the policy asks about for each method of BrokerService.
func brokerRequests() (map[string]identity.Request, error) {
	d := brokerv1.BrokerService_ServiceDesc
	all := make(map[string]identity.Request)
	add := func(method string) (err error) {
		name := "/" + d.ServiceName + "/" + method
		all[name], err = identity.NewRequest(name, nil)
		return err
	}
	for _, m := range d.Methods {
		if err := add(m.MethodName); err != nil {
			return nil, err
		}
	}
	for _, m := range d.Streams {
		if err := add(m.StreamName); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// CheckAccess says whether the rules let a caller call an operation.
func (s *Server) CheckAccess(ctx context.Context, in *brokerv1.CheckAccessRequest) (*brokerv1.CheckAccessResponse, error) {
	caller, err := asked(identity.From(ctx), in.GetCaller())
	if err != nil {
		return nil, err
	}
	request, ok := s.requestOf(in.GetOperation())
	if !ok {
		return nil, fault.Bad("operation", "operation is %q, which is neither an RPC nor an operationId of the contract", clip(in.GetOperation(), 80))
	}
	if organization := in.GetOrganizationId(); organization != "" {
		if organization != identity.NoOrganization && !isID(organization) {
			return nil, fault.Bad("organization_id", "organization_id is %q, which is not an organization's id", clip(organization, 40))
		}
		request.Organization = cmp.Or(request.Organization, organization)
	}
	request.Priority = identity.Unsaid
	decision, err := s.access.Policy.Decide(caller, request)
	if f := fault.As(err); f != nil && f.Kind == fault.CallerNotAllowed {
		return &brokerv1.CheckAccessResponse{Refusal: f.Detail}, nil
	} else if err != nil {
		return nil, err
	}
	return &brokerv1.CheckAccessResponse{
		Allowed: true, Rule: decision.Rule, Priority: decision.Priority.String(), MaxPriority: decision.MaxPriority.String(),
		Weight: decision.Weight, Share: decision.Share,
	}, nil
}

// asked is the caller that a caller asks about: itself, or on the operator's port any.
func asked(by identity.Caller, name string) (identity.Caller, error) {
	switch {
	case by.Source != identity.OwnPort && (name == "" || name == by.ID):
		return by, nil
	case by.Source != identity.OwnPort:
		return by, &fault.Error{Kind: fault.CallerNotAllowed, Detail: "a caller may ask about itself; about others only whoever reaches the operator's port"}
	case name == "":
		return by, fault.Bad("caller", "caller is missing; on the operator's port it says who is asked about")
	}
	return identity.Caller{ID: name}, nil
}

// requestOf is what the policy asks about for an operationId, an RPC by its full name, or
// a method of BrokerService.
func (s *Server) requestOf(name string) (identity.Request, bool) {
	r := s.rpcs[name]
	if r == nil {
		r = s.byOperation(name)
	}
	if r != nil {
		return r.request, true
	}
	if q, ok := s.brokerRPCs[name]; ok {
		return q, true
	}
	q, ok := s.brokerRPCs["/"+brokerv1.BrokerService_ServiceDesc.ServiceName+"/"+name]
	return q, ok
}
