package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/usage"
)

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
