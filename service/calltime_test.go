package service_test

import (
	"context"
	"errors"
	"io"
	"testing"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// TestTimesOfCalls: every unary call has its time by service, typed or not; a stream has
// none.
func TestTimesOfCalls(t *testing.T) {
	t.Parallel()
	h := answering(t, `[{"id":"N_1"}]`)
	ctx := withOrganization(context.Background(), "1")
	for range 2 {
		if _, err := h.call(ctx, t, "getOrganizations", nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.own.ListDrift(ctx, &brokerv1.ListDriftRequest{}); err != nil {
		t.Fatal(err)
	}
	_, next := h.pages(ctx, t, "1")
	for {
		if _, err := next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	families, err := h.server.Metrics().Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]uint64)
	for _, f := range families {
		for _, s := range f.GetMetric() {
			if f.GetName() == "merakibroker_call_seconds" {
				got[s.GetLabel()[0].GetValue()] = s.GetHistogram().GetSampleCount()
			}
		}
	}
	if len(got) != 2 || got["meraki.organizations.v1.OrganizationsService"] != 2 || got["meraki.broker.v1.BrokerService"] != 1 {
		t.Errorf("%v", got)
	}
}
