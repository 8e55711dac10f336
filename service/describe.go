package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/usage"
)

// mostDescribed bounds each list of a description.
const mostDescribed = 100

// Describe tells what this replica is and does.
func (o *Operator) Describe() *brokerv1.BrokerDescription {
	s := o.Server
	out := &brokerv1.BrokerDescription{
		Version: o.Version, Revision: o.Revision, Upstream: o.Upstream, StartTime: timestamppb.New(o.Start),
		Holds: o.List().GetItems(), Draining: s.lifetime.Err() != nil, ReadOnly: o.Operators == nil,
	}
	if o.Store != nil {
		out.Store = o.Store()
	}
	if o.Keys != nil {
		out.Keys = o.Keys()
	}
	attempts, all := s.record.UnderWay(mostDescribed)
	out.AttemptsUnderWay = int32(all)
	for i := range attempts {
		out.UnderWay = append(out.UnderWay, attemptMessage(&attempts[i]))
	}
	for _, w := range s.watches.List(mostDescribed) {
		m := &brokerv1.WatchState{
			Operation: w.Operation, OrganizationId: w.Organization, Callers: w.Callers, Watches: int32(w.Watches),
			Age: durationpb.New(w.Age), Trouble: w.Trouble,
		}
		if !w.Read.IsZero() {
			m.ReadTime = timestamppb.New(w.Read)
		}
		out.Watches = append(out.Watches, m)
	}
	for _, b := range s.batches.UnderWay(mostDescribed) {
		out.Batches = append(out.Batches, &brokerv1.BatchState{
			OrganizationId: b.Organization, UnderWay: int32(b.Batches), Places: int32(b.Places), Waiting: int32(b.Waiting), Held: int32(b.Held), Callers: b.Callers,
		})
	}
	return out
}

// Budgets gives the budgets that this replica knows.
func (o *Operator) Budgets() []*brokerv1.Budget {
	states, _ := o.Server.broker.Budgets(0)
	out := make([]*brokerv1.Budget, len(states))
	for i, b := range states {
		out[i] = budgetMessage(b)
	}
	return out
}

// Health tells how well the Dashboard has been answering.
func (o *Operator) Health() *brokerv1.UpstreamHealth {
	return healthMessage(o.Server.record.Health(time.Now(), ""))
}

// Failures gives the latest attempts that did not end well.
func (o *Operator) Failures(most int) []*brokerv1.Attempt {
	var out []*brokerv1.Attempt
	for _, a := range o.Server.record.List(record.AttemptFilter{Failed: true, Limit: most}) {
		out = append(out, attemptMessage(&a))
	}
	return out
}

// longestLook bounds adding up what all replicas have left in the store.
const longestLook = 2 * time.Second

// Usage tells who spent what in the last hour: callers in organizations.
func (o *Operator) Usage(most int) *brokerv1.GetUsageResponse {
	ctx, cancel := context.WithTimeout(context.Background(), longestLook)
	defer cancel()
	now := time.Now()
	a, err := o.Server.broker.Usage().Ask(ctx, now, usage.Query{Groups: usage.ByCaller | usage.ByOrganization, Limit: most})
	if err != nil {
		a = usage.Answer{Begin: now, End: now, Incomplete: "adding it up took too long; it is tried again"}
	}
	return usageMessage(a)
}

// Recent counts the attempts of an organization of late, in slots of ten seconds.
func (o *Operator) Recent(organization string) []int64 {
	return o.Server.record.Recent(time.Now(), organization)
}

// Drift gives the fields of answers that did not fit the contract.
func (o *Operator) Drift() []*brokerv1.Drift { return o.Server.driftMessages("") }

// Ending is closed when the drain begins.
func (o *Operator) Ending() <-chan struct{} { return o.Server.lifetime.Done() }
