package service

import (
	"context"
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/usage"
)

// ListAttempts gives attempts of the recent past, newest first.
func (s *Server) ListAttempts(ctx context.Context, in *brokerv1.ListAttemptsRequest) (*brokerv1.ListAttemptsResponse, error) {
	if n := in.GetPageSize(); n < 0 || n > 1000 {
		return nil, fault.Bad("page_size", "page_size is %d; it goes from 0 to 1000", n)
	}
	if err := within(ctx, in.GetOrganizationId()); err != nil {
		return nil, err
	}
	filter := record.AttemptFilter{
		Organization: in.GetOrganizationId(), Operation: in.GetOperation(), Caller: in.GetCaller(),
		Outcome: fault.Outcome(in.GetOutcome()), Limit: int(in.GetPageSize()),
	}
	if in.GetBefore() != nil {
		if err := in.GetBefore().CheckValid(); err != nil {
			return nil, fault.Bad("before", "before is not a time: %v", err)
		}
		filter.Before = in.GetBefore().AsTime()
	}
	out := new(brokerv1.ListAttemptsResponse)
	for _, a := range s.record.List(filter) {
		out.Items = append(out.Items, attemptMessage(&a))
	}
	return out, nil
}

func attemptMessage(a *record.Attempt) *brokerv1.Attempt {
	return &brokerv1.Attempt{
		StartTime: timestamppb.New(a.Start), Duration: durationpb.New(a.Duration),
		Operation: a.Operation, OrganizationId: a.Organization, Caller: a.Caller, Method: a.Method,
		HttpStatus: int32(a.Status), Outcome: brokerv1.Outcome(a.Outcome), RequestId: a.RequestID,
		Host: a.Host, Error: a.Error, Number: int32(a.Number), Verdict: a.Verdict,
	}
}

// GetUpstreamHealth tells how well the Dashboard has been answering. Overall is
// for callers who may have all organizations.
func (s *Server) GetUpstreamHealth(ctx context.Context, in *brokerv1.GetUpstreamHealthRequest) (*brokerv1.UpstreamHealth, error) {
	if err := within(ctx, in.GetOrganizationId()); err != nil {
		return nil, err
	}
	out := healthMessage(s.record.Health(time.Now(), in.GetOrganizationId()))
	if within(ctx, "") != nil {
		out.Overall = nil
	}
	return out, nil
}

func healthMessage(overall []record.HealthWindow, organizations []record.OrganizationHealth) *brokerv1.UpstreamHealth {
	out := &brokerv1.UpstreamHealth{Overall: healthWindows(overall)}
	for _, o := range organizations {
		out.Organizations = append(out.Organizations, &brokerv1.OrganizationHealth{
			OrganizationId: o.Organization, Windows: healthWindows(o.Windows),
		})
	}
	return out
}

func healthWindows(windows []record.HealthWindow) []*brokerv1.HealthWindow {
	out := make([]*brokerv1.HealthWindow, len(windows))
	for i, w := range windows {
		out[i] = &brokerv1.HealthWindow{
			Window: durationpb.New(w.Window), Attempts: w.Attempts, ServerErrors: w.ServerErrors,
			NeverArrived: w.NeverArrived, ErrorShare: w.ErrorShare, Verdict: brokerv1.HealthVerdict(w.Verdict),
			Threshold: w.Threshold, Advice: w.Advice, RequestIds: w.RequestIDs,
		}
	}
	return out
}

const (
	// telemetryOperation is the vendor's own count of requests by status.
	telemetryOperation = "getOrganizationApiRequestsOverviewResponseCodesByInterval"
	// telemetryInterval is the finest that the vendor offers, in seconds.
	telemetryInterval = "120"
	defaultTelemetry  = time.Hour
	maxTelemetry      = 24 * time.Hour
)

// CompareTelemetry asks the vendor how many requests of ours it has seen.
func (s *Server) CompareTelemetry(ctx context.Context, in *brokerv1.CompareTelemetryRequest) (*brokerv1.CompareTelemetryResponse, error) {
	window := in.GetWindow().AsDuration()
	switch {
	case window == 0:
		window = defaultTelemetry
	case window < 0 || window > maxTelemetry:
		return nil, fault.Bad("window", "window is %v; it goes up to %v", window, maxTelemetry)
	}
	organization := in.GetOrganizationId()
	if !isID(organization) {
		return nil, fault.Bad("organization_id", "organization_id is %q, which is not an organization's id", clip(organization, 40))
	}
	if err := within(ctx, organization); err != nil {
		return nil, err
	}
	r := s.byOperation(telemetryOperation)
	if r == nil {
		return nil, &fault.Error{Kind: fault.NotImplemented, Operation: telemetryOperation, Detail: "the contract does not have this operation"}
	}
	now := time.Now()
	call := s.newCall(r.Operation)
	call.ID, call.Path = organization, "/organizations/"+organization+"/apiRequests/overview/responseCodes/byInterval"
	call.Query = url.Values{
		"t0": {now.Add(-window).UTC().Format(time.RFC3339)}, "t1": {now.UTC().Format(time.RFC3339)},
		"interval": {telemetryInterval}, "userAgent": {s.userAgent},
	}.Encode()
	if err := s.admit(ctx, r.request, call); err != nil {
		return nil, err
	}
	answer, err := s.do(ctx, call)
	if err != nil {
		return nil, err
	}
	theirs, err := record.ParseTelemetry(answer.Body)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Malformed, Operation: telemetryOperation, Detail: "the vendor's telemetry cannot be read", Cause: err}
	}
	return telemetryResponse(s.record.Compare(organization, theirs, now)), nil
}

func telemetryResponse(c record.Comparison) *brokerv1.CompareTelemetryResponse {
	out := &brokerv1.CompareTelemetryResponse{Ours: c.Ours, Theirs: c.Theirs, NeverArrived: c.NeverArrived}
	if !c.Start.IsZero() {
		out.StartTime, out.EndTime = timestamppb.New(c.Start), timestamppb.New(c.End)
	}
	for _, n := range c.Counts {
		out.Counts = append(out.Counts, &brokerv1.TelemetryCount{HttpStatus: int32(n.Status), Ours: n.Ours, Theirs: n.Theirs})
	}
	return out
}

// ListDrift gives the fields of answers that did not fit the contract.
func (s *Server) ListDrift(_ context.Context, in *brokerv1.ListDriftRequest) (*brokerv1.ListDriftResponse, error) {
	return &brokerv1.ListDriftResponse{Items: s.driftMessages(in.GetOperation())}, nil
}

func (s *Server) driftMessages(operation string) []*brokerv1.Drift {
	var out []*brokerv1.Drift
	for _, d := range s.drift.List(operation) {
		out = append(out, &brokerv1.Drift{
			Operation: d.Operation, Path: d.Path, Kind: brokerv1.DriftKind(d.Kind), Count: d.Count,
			FirstTime: timestamppb.New(d.First), LastTime: timestamppb.New(d.Last),
		})
	}
	return out
}

// byOperation finds the typed RPC of an operationId; nil when there is none.
func (s *Server) byOperation(id string) *typedRPC {
	m := s.contract.Operation(id)
	if m == nil {
		return nil
	}
	return s.rpcs[m.Name]
}

// mostUsageRows bounds the rows of an answer.
const mostUsageRows = 1000

// GetUsage tells who spent what. A caller may ask about itself, and about an
// organization that the rule which allows the RPC is for.
func (s *Server) GetUsage(ctx context.Context, in *brokerv1.GetUsageRequest) (*brokerv1.GetUsageResponse, error) {
	if itself := in.GetCaller() != "" && in.GetCaller() == identity.From(ctx).ID; !itself {
		if err := within(ctx, in.GetOrganizationId()); err != nil {
			return nil, err
		}
	}
	q, err := usageQuery(in)
	if err != nil {
		return nil, err
	}
	a, err := s.broker.Usage().Ask(ctx, time.Now(), q)
	if err != nil {
		return nil, err
	}
	return usageMessage(a), nil
}

func usageMessage(a usage.Answer) *brokerv1.GetUsageResponse {
	out := &brokerv1.GetUsageResponse{
		Other: figuresMessage(&a.Other), Total: figuresMessage(&a.Total),
		BeginTime: timestamppb.New(a.Begin), EndTime: timestamppb.New(a.End), Incomplete: a.Incomplete,
	}
	for i := range a.Rows {
		r := &a.Rows[i]
		out.Rows = append(out.Rows, &brokerv1.UsageRow{
			Caller: r.Caller, OrganizationId: r.Organization, Operation: r.Operation, Figures: figuresMessage(&r.Figures),
		})
	}
	for _, r := range a.Replicas {
		out.Replicas = append(out.Replicas, &brokerv1.UsageReplica{
			Id: r.ID, FirstTime: timestamppb.New(r.First), LastTime: timestamppb.New(r.Last),
		})
	}
	return out
}

func usageQuery(in *brokerv1.GetUsageRequest) (usage.Query, error) {
	q := usage.Query{
		Filter: usage.Key{Caller: in.GetCaller(), Organization: in.GetOrganizationId(), Operation: in.GetOperation()},
		Limit:  int(in.GetLimit()),
	}
	if q.Limit < 0 || q.Limit > mostUsageRows {
		return q, fault.Bad("limit", "limit is %d; it goes from 0 to %d", q.Limit, mostUsageRows)
	}
	if in.GetSpan() != nil {
		q.Span = in.GetSpan().AsDuration()
		if in.GetSpan().CheckValid() != nil || q.Span <= 0 || q.Span > usage.Kept {
			return q, fault.Bad("span", "span is %v; it goes up to %v", q.Span, usage.Kept)
		}
	}
	for i, g := range in.GetGroupBy() {
		switch g {
		case brokerv1.UsageGroup_USAGE_GROUP_CALLER:
			q.Groups |= usage.ByCaller
		case brokerv1.UsageGroup_USAGE_GROUP_ORGANIZATION:
			q.Groups |= usage.ByOrganization
		case brokerv1.UsageGroup_USAGE_GROUP_OPERATION:
			q.Groups |= usage.ByOperation
		default:
			return q, fault.Bad("group_by", "group_by[%d] is %v; it takes USAGE_GROUP_CALLER, USAGE_GROUP_ORGANIZATION and USAGE_GROUP_OPERATION", i, g)
		}
	}
	return q, nil
}

func figuresMessage(f *usage.Figures) *brokerv1.UsageFigures {
	return &brokerv1.UsageFigures{
		Requests: f[usage.Requests], Attempts: f[usage.Attempts], RateLimited: f[usage.RateLimited], Refusals: f[usage.Refusals],
		Waits: f[usage.Waits], WaitTime: durationpb.New(time.Duration(f[usage.WaitMicroseconds]) * time.Microsecond),
		RequestBytes: f[usage.RequestBytes], ResponseBytes: f[usage.ResponseBytes],
		Saved: &brokerv1.SavedRequests{
			Shared: f[usage.SharedReads], Cached: f[usage.CachedReads], Batched: f[usage.BatchedWrites], Watched: f[usage.WatchedReads],
		},
	}
}
