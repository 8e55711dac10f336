package service_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestCallWithoutATypedRPC: raw JSON in and out, pages by next_path, and the same
// errors.
func TestCallWithoutATypedRPC(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{Organizations: 1, NetworksPerOrganization: 7, DevicesPerNetwork: 1}})
	ctx := context.Background()
	id := h.sandbox.OrganizationID(0)
	in := &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + id + "/networks", Query: []*brokerv1.QueryParameter{{Name: "perPage", Value: "3"}}}
	rows := 0
	for pages := 0; in.GetPath() != ""; pages++ {
		if pages > 3 {
			t.Fatal("the pages do not end")
		}
		out, err := h.own.Call(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		var page []struct{ ID string }
		if err := json.Unmarshal(out.GetBody(), &page); err != nil {
			t.Fatal(err)
		}
		rows += len(page)
		in = &brokerv1.CallRequest{Method: "GET", Path: out.GetNextPath(), Query: out.GetNextQuery()}
	}
	if rows != 7 {
		t.Errorf("%d rows on all pages, want 7", rows)
	}
	out, err := h.own.Call(ctx, &brokerv1.CallRequest{Method: "POST", Path: "/organizations/" + id + "/networks", Body: []byte(`{"name":"raw","productTypes":["switch"]}`)})
	if err != nil || out.GetHttpStatus() != 201 {
		t.Errorf("a raw write: %v %v", out, err)
	}
	_, err = h.own.Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations/" + id + "/somethingNew"})
	wantCode(t, "an operation that nobody knows", err, codes.NotFound, "NOT_FOUND")
}

// TestCallRefusesWhatCannotBeMeant: INVALID_ARGUMENT that names the field, and
// nothing is sent.
func TestCallRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast})
	for _, row := range []struct {
		in    *brokerv1.CallRequest
		field string
	}{
		{&brokerv1.CallRequest{Method: "PATCH", Path: "/organizations"}, "method"},
		{&brokerv1.CallRequest{Method: "get", Path: "/organizations"}, "method"},
		{&brokerv1.CallRequest{Method: "GET", Path: ""}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "organizations"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/api/v1/organizations"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/../admin"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/%2e%2e/admin"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations//networks"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/x/..%2Forganizations%2F2930418"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/networks/N_1%5C..%5CN_2"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/%FF/networks"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/1%0a"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations?x=1"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/a b"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations/%zz"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "//evil.example/organizations"}, "path"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations", Query: []*brokerv1.QueryParameter{{Value: "x"}}}, "query"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations", Query: []*brokerv1.QueryParameter{{Name: "x", Value: strings.Repeat("x", 20_000)}}}, "query"},
		{&brokerv1.CallRequest{Method: "GET", Path: "/organizations", Body: []byte(`{}`)}, "body"},
		{&brokerv1.CallRequest{Method: "POST", Path: "/organizations", Body: []byte(`{"name":`)}, "body"},
	} {
		_, err := h.own.Call(context.Background(), row.in)
		wantField(t, row.in.String(), err, row.field)
	}
	for key, values := range map[string][]string{
		"meraki-priority":        {"urgent", "0"},
		"meraki-max-age":         {"-1", "soon", "NaN", "1e9"},
		"meraki-organization-id": {"a/b", "../1", strings.Repeat("1", 100)},
		"meraki-retry-writes":    {"perhaps"},
	} {
		for _, v := range values {
			ctx := metadata.AppendToOutgoingContext(context.Background(), key, v)
			_, err := h.call(ctx, t, "getOrganizations", nil)
			wantField(t, key+": "+v, err, key)
		}
	}
	for key, values := range map[string][2]string{
		"meraki-priority": {"bulk", "normal"}, "meraki-max-age": {"1", "2"}, "meraki-organization-id": {"1", "2"}, "meraki-retry-writes": {"false", "true"},
		"meraki-idempotency-key": {"a", "b"}, "meraki-api-key": {"a", "b"},
	} {
		_, err := h.call(metadata.AppendToOutgoingContext(context.Background(), key, values[0], key, values[1]), t, "getOrganizations", nil)
		wantField(t, key+", twice", err, key)
	}
	if n := h.broker.Attempts(); n != 0 {
		t.Errorf("%d attempts were made", n)
	}
}

// wantField holds that a call was refused as a bad request, and for which field.
func wantField(t *testing.T, what string, err error, field string) {
	t.Helper()
	st := status.Convert(err)
	bad := detailOf[*errdetails.BadRequest](st)
	if st.Code() != codes.InvalidArgument || len(bad.GetFieldViolations()) == 0 || bad.GetFieldViolations()[0].GetField() != field {
		t.Errorf("%s: %v, violations %v; want INVALID_ARGUMENT for %s", what, st, bad.GetFieldViolations(), field)
	}
}

// TestRecord: every attempt is there, with what became of it, and the health that
// follows from it.
func TestRecord(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, AddressRate: -1, Organizations: 2}})
	ctx := context.Background()
	sound, sick := h.sandbox.OrganizationID(0), h.sandbox.OrganizationID(1)
	if err := h.sandbox.AddScript(sandbox.Script{Path: "/organizations/" + sick, Times: -1, Faults: []sandbox.Fault{{Kind: sandbox.FaultReset}}}); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		if _, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": sound}); err != nil {
			t.Fatal(err)
		}
		_, err := h.call(ctx, t, "createOrganizationNetwork", map[string]any{"organization_id": sick, "name": "n", "product_types": []string{"switch"}})
		wantCode(t, "a write into a broken connection", err, codes.Unknown, "OUTCOME_UNKNOWN")
	}
	list, err := h.own.ListAttempts(ctx, &brokerv1.ListAttemptsRequest{OrganizationId: sick, Outcome: brokerv1.Outcome_OUTCOME_RESET, PageSize: 1000})
	if err != nil || len(list.GetItems()) != 30 {
		t.Fatalf("%d resets on record, want 30: %v", len(list.GetItems()), err)
	}
	for _, a := range list.GetItems() {
		if a.GetOperation() != "createOrganizationNetwork" || a.GetHttpStatus() != 0 || a.GetMethod() != "POST" || a.GetCaller() != "anonymous" || a.GetNumber() != 1 ||
			!strings.HasPrefix(a.GetVerdict(), "give up: connection broken") || a.GetStartTime().AsTime().IsZero() || a.GetDuration().AsDuration() <= 0 {
			t.Fatalf("on record: %v", a)
		}
	}
	health, err := h.own.GetUpstreamHealth(ctx, &brokerv1.GetUpstreamHealthRequest{})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := make(map[string]brokerv1.HealthVerdict)
	for _, o := range health.GetOrganizations() {
		verdicts[o.GetOrganizationId()] = o.GetWindows()[0].GetVerdict()
	}
	if verdicts[sound] != brokerv1.HealthVerdict_HEALTH_VERDICT_OK || verdicts[sick] != brokerv1.HealthVerdict_HEALTH_VERDICT_UNREACHABLE {
		t.Errorf("verdicts %v", verdicts)
	}
	if w := health.GetOverall()[0]; w.GetAttempts() != 60 || w.GetNeverArrived() != 30 || w.GetAdvice() == "" {
		t.Errorf("overall %v", w)
	}
	if _, err := h.own.CompareTelemetry(ctx, &brokerv1.CompareTelemetryRequest{OrganizationId: sound, Window: durationpb.New(time.Hour)}); err != nil {
		t.Errorf("CompareTelemetry: %v", err)
	}
	_, err = h.own.CompareTelemetry(ctx, &brokerv1.CompareTelemetryRequest{OrganizationId: sound, Window: durationpb.New(100 * time.Hour)})
	wantField(t, "a window of 100 h", err, "window")
}
