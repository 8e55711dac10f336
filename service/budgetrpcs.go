package service

import (
	"context"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
)

// GetBudget tells the state of one budget.
func (s *Server) GetBudget(ctx context.Context, in *brokerv1.GetBudgetRequest) (*brokerv1.Budget, error) {
	organization := in.GetOrganizationId()
	if organization != "" && !isID(organization) {
		return nil, fault.Bad("organization_id", "organization_id is %q, which is not an organization's id", clip(organization, 40))
	}
	if err := within(ctx, organization); err != nil {
		return nil, err
	}
	return budgetMessage(s.broker.Budget(organization)), nil
}

const (
	usualWatch = time.Second
	// leastWatch and mostWatched bound what a watcher costs: every budget that has
	// changed is looked for among the organizations.
	leastWatch  = 100 * time.Millisecond
	mostWatched = 1000
)

// WatchBudgets sends the budgets that changed, until the caller leaves or this
// replica stops.
func (s *Server) WatchBudgets(in *brokerv1.WatchBudgetsRequest, stream grpc.ServerStreamingServer[brokerv1.WatchBudgetsResponse]) error {
	interval := usualWatch
	if in.GetInterval() != nil {
		interval = in.GetInterval().AsDuration()
		if interval < leastWatch {
			return fault.Bad("interval", "interval is %v; it is at least %v", interval, leastWatch)
		}
	}
	if n := len(in.GetOrganizationIds()); n > mostWatched {
		return fault.Bad("organization_ids", "organization_ids has %d ids; it takes %d at the most, and none for all", n, mostWatched)
	}
	if err := watched(stream.Context(), in.GetOrganizationIds()); err != nil {
		return err
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	var version uint64
	for {
		changed, now := s.broker.Budgets(version, in.GetOrganizationIds()...)
		version = now
		if len(changed) > 0 {
			out := new(brokerv1.WatchBudgetsResponse)
			for _, b := range changed {
				out.Budgets = append(out.Budgets, budgetMessage(b))
			}
			if err := stream.Send(out); err != nil {
				return err
			}
		}
		select {
		case <-ticker.C:
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// watched says whether the caller may watch these organizations; all when there are none.
func watched(ctx context.Context, organizations []string) error {
	if len(organizations) == 0 {
		return within(ctx, "")
	}
	for _, o := range organizations {
		if err := within(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// ExplainCall says what a call would cost if it came now.
func (s *Server) ExplainCall(ctx context.Context, in *brokerv1.ExplainCallRequest) (*brokerv1.ExplainCallResponse, error) {
	call, request, err := s.callToExplain(in)
	if err != nil {
		return nil, err
	}
	if err := s.admit(ctx, request, call); err != nil {
		return nil, err
	}
	unfilled := in.GetPath() == ""
	if unfilled {
		withoutPath(call)
	}
	e, err := s.broker.Explain(ctx, call)
	if err != nil {
		return nil, err
	}
	if unfilled && e.Organization == "" {
		e.OwnerKnown = !strings.Contains(call.Path, "{")
	}
	if call.Settle != nil && (!unfilled || e.Organization != "") {
		if _, err := call.Settle(e.Organization, make([]string, len(call.Named))); err != nil {
			return nil, err
		}
	}
	out := &brokerv1.ExplainCallResponse{
		Operation: e.Operation, Attempts: int32(e.Attempts), OrganizationId: e.Organization,
		OwnerKnown: e.OwnerKnown, Wait: durationpb.New(e.Wait), Behind: classMessages(e.Behind),
	}
	if e.ServiceTime > 0 {
		out.ServiceTime = durationpb.New(e.ServiceTime)
	}
	if e.Refusal != nil {
		out.Refusal = e.Refusal.Error()
	}
	return out, nil
}

// callToExplain makes the call that ExplainCall is asked about: by RPC or
// operationId, or by method and path.
func (s *Server) callToExplain(in *brokerv1.ExplainCallRequest) (*broker.Call, identity.Request, error) {
	call, request, err := s.callOf(in)
	if err != nil {
		return nil, identity.Request{}, err
	}
	p, ok := ratelimit.ParsePriority(in.GetPriority())
	if !ok {
		return nil, identity.Request{}, fault.Bad("priority", "priority is %q; it takes critical, normal or bulk", clip(in.GetPriority(), 40))
	}
	call.Priority = p
	return call, request, nil
}

// withoutPath makes a call whose path was not filled one that can be explained: the
// caller's hint says whose budget it spends. Without a hint only the address's is told.
func withoutPath(call *broker.Call) {
	scope := apiv1.Scope_SCOPE_NONE
	if call.Organization != "" && call.Operation.GetScope() != apiv1.Scope_SCOPE_NONE {
		scope, call.ID = apiv1.Scope_SCOPE_ORGANIZATION, call.Organization
	}
	op := proto.CloneOf(call.Operation)
	op.Scope = scope
	call.Operation = op
}

// callOf is the call itself, before its priority.
func (s *Server) callOf(in *brokerv1.ExplainCallRequest) (*broker.Call, identity.Request, error) {
	name := in.GetOperation()
	if name == "" {
		call, err := s.rawCall(in.GetMethod(), in.GetPath(), nil, nil)
		request := s.brokerRPCs[brokerv1.BrokerService_Call_FullMethodName]
		request.Read = in.GetMethod() == http.MethodGet
		return call, request, err
	}
	r := s.rpcs[name]
	if r == nil {
		r = s.byOperation(name)
	}
	if r == nil {
		return nil, identity.Request{}, fault.Bad("operation", "operation is %q, which is neither an RPC nor an operationId of the contract", clip(name, 80))
	}
	if in.GetPath() == "" {
		call := s.newCall(r.Operation)
		call.Path = r.Operation.GetPath()
		return call, r.request, nil
	}
	verb := strings.TrimPrefix(r.Operation.GetVerb().String(), "VERB_")
	route, err := s.route(verb, in.GetPath())
	if err != nil {
		return nil, identity.Request{}, err
	}
	if route.Operation.GetId() != r.Operation.GetId() {
		return nil, identity.Request{}, fault.Bad("path", "path is %q; for %s it is filled like %s", clip(in.GetPath(), 80), r.Operation.GetId(), r.Operation.GetPath())
	}
	call := s.newCall(r.Operation)
	call.Path, call.ID = route.Path, route.Owner
	return call, r.request, nil
}

func budgetMessage(b lane.BudgetState) *brokerv1.Budget {
	out := &brokerv1.Budget{
		OrganizationId: b.Organization, Rate: b.Rate, Ceiling: b.Ceiling, Burst: b.Burst, Tokens: b.Tokens,
		Waiting: int32(b.Waiting), Classes: classMessages(b.Classes), Attempts: b.Attempts, RateLimited: b.RateLimited,
		Shared: b.Shared, Replicas: int32(b.Replicas),
	}
	if time.Now().Before(b.StoppedUntil) {
		out.StoppedUntil = timestamppb.New(b.StoppedUntil)
	}
	return out
}

func classMessages(classes []lane.ClassState) []*brokerv1.ClassState {
	var out []*brokerv1.ClassState
	for _, c := range classes {
		out = append(out, &brokerv1.ClassState{
			Priority: c.Priority.String(), Caller: c.Caller, Weight: c.Weight,
			Waiting: int32(c.Waiting), Oldest: durationpb.New(c.Oldest),
		})
	}
	return out
}
