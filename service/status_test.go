package service

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// TestEveryKindHasAMeaning: a kind without a row would leave as UNKNOWN.
func TestEveryKindHasAMeaning(t *testing.T) {
	t.Parallel()
	for k := fault.Unknown; k <= fault.Internal; k++ {
		m, ok := meanings[k]
		if !ok {
			t.Errorf("%v has no row", k)
		}
		if reason := k.Reason(); m.code == codes.OK || reason == "" || strings.ToUpper(reason) != reason || len(reason) > 63 {
			t.Errorf("%v leaves as %v %q", k, m.code, k.Reason())
		}
	}
}

// TestReports goes over the table of failures row by row: code, reason, and
// what the layers in front are told about repeating.
func TestReports(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, row := range []struct {
		fault    fault.Error
		code     codes.Code
		reason   string
		pushback string
		envoy    string
	}{
		{fault.Error{Kind: fault.BadRequest, HTTPStatus: 400}, codes.InvalidArgument, "BAD_REQUEST", "-1", "true"},
		{fault.Error{Kind: fault.KeyRejected, HTTPStatus: 401}, codes.FailedPrecondition, "API_KEY_REJECTED", "-1", "true"},
		{fault.Error{Kind: fault.CallerKeyRejected, HTTPStatus: 401}, codes.Unauthenticated, "API_KEY_REJECTED", "-1", "true"},
		{fault.Error{Kind: fault.Forbidden, HTTPStatus: 403}, codes.PermissionDenied, "FORBIDDEN", "-1", "true"},
		{fault.Error{Kind: fault.NotFound, HTTPStatus: 404}, codes.NotFound, "NOT_FOUND", "-1", "true"},
		{fault.Error{Kind: fault.APIDisabled, HTTPStatus: 404}, codes.NotFound, "API_DISABLED", "-1", "true"},
		{fault.Error{Kind: fault.Conflict, HTTPStatus: 409}, codes.Aborted, "CONFLICT", "-1", "true"},
		{fault.Error{Kind: fault.RateLimited, HTTPStatus: 429, RetryAfter: 2 * second}, codes.ResourceExhausted, "DASHBOARD_RATE_LIMITED", "2000", "true"},
		{fault.Error{Kind: fault.BudgetExhausted, RetryAfter: 300*time.Millisecond + 1}, codes.ResourceExhausted, "BUDGET_EXHAUSTED", "301", "true"},
		{fault.Error{Kind: fault.BudgetExhausted}, codes.ResourceExhausted, "BUDGET_EXHAUSTED", "-1", "true"},
		{fault.Error{Kind: fault.Dashboard, HTTPStatus: 500}, codes.Internal, "DASHBOARD_ERROR", "-1", "true"},
		{fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 500}, codes.Unknown, "OUTCOME_UNKNOWN", "-1", "true"},
		{fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 200}, codes.Unknown, "OUTCOME_UNKNOWN", "-1", "true"},
		{fault.Error{Kind: fault.Unreachable}, codes.Unavailable, "DASHBOARD_UNREACHABLE", "-1", "true"},
		{fault.Error{Kind: fault.BadRequest}, codes.InvalidArgument, "BAD_REQUEST", "-1", "true"},
		{fault.Error{Kind: fault.Unreachable, HTTPStatus: 503}, codes.Unavailable, "DASHBOARD_UNREACHABLE", "-1", "true"},
		{fault.Error{Kind: fault.NotImplemented, HTTPStatus: 501}, codes.Unimplemented, "NOT_IMPLEMENTED", "-1", "true"},
		{fault.Error{Kind: fault.Malformed, HTTPStatus: 200}, codes.Internal, "MALFORMED_RESPONSE", "-1", "true"},
		{fault.Error{Kind: fault.RedirectRefused, HTTPStatus: 302}, codes.FailedPrecondition, "REDIRECT_REFUSED", "-1", "true"},
		{fault.Error{Kind: fault.CallerUnknown}, codes.Unauthenticated, "CALLER_UNKNOWN", "-1", "true"},
		{fault.Error{Kind: fault.CallerNotAllowed}, codes.PermissionDenied, "CALLER_NOT_ALLOWED", "-1", "true"},
		{fault.Error{Kind: fault.DeadlineExceeded}, codes.DeadlineExceeded, "DEADLINE_EXCEEDED", "-1", "true"},
		{fault.Error{Kind: fault.Cancelled}, codes.Canceled, "CANCELLED", "-1", "true"},
		{fault.Error{Kind: fault.Draining}, codes.Unavailable, "DRAINING", "", ""},
		{fault.Error{Kind: fault.BadRequest, Reason: "ALREADY_EXISTS"}, codes.InvalidArgument, "ALREADY_EXISTS", "-1", "true"},
		{fault.Error{Kind: fault.BadRequest, Reason: "NAME_TAKEN"}, codes.InvalidArgument, "NAME_TAKEN", "-1", "true"},
		{fault.Error{Kind: fault.BudgetExhausted, RetryAfter: second, NoRetry: true}, codes.ResourceExhausted, "BUDGET_EXHAUSTED", "-1", "true"},
	} {
		row.fault.Operation = "getOrganizationDevices"
		st, md := failureOf(&row.fault, about{}).leave()
		info := detail[*errdetails.ErrorInfo](st)
		domain := "merakibroker"
		if row.fault.HTTPStatus >= 400 {
			domain = "api.meraki.com"
		}
		if st.Code() != row.code || info == nil || info.GetReason() != row.reason || info.GetDomain() != domain {
			t.Errorf("%v: %v %v, want %v %s", row.fault.Kind, st.Code(), info, row.code, row.reason)
		}
		if got := first(md, trailerReason); got != row.reason {
			t.Errorf("%v: trailer %s is %q", row.fault.Kind, trailerReason, got)
		}
		if got := first(md, trailerPushback); got != row.pushback {
			t.Errorf("%v: pushback %q, want %q", row.fault.Kind, got, row.pushback)
		}
		if got := first(md, trailerEnvoy); got != row.envoy {
			t.Errorf("%v: %s %q, want %q", row.fault.Kind, trailerEnvoy, got, row.envoy)
		}
		retry := detail[*errdetails.RetryInfo](st)
		if (retry != nil) != (row.fault.RetryAfter > 0) {
			t.Errorf("%v: RetryInfo %v with a delay of %v", row.fault.Kind, retry, row.fault.RetryAfter)
		}
		if d := detail[*brokerv1.DashboardError](st); d == nil || int(d.GetHttpStatus()) != row.fault.HTTPStatus || d.GetOperation() != row.fault.Operation {
			t.Errorf("%v: DashboardError %v", row.fault.Kind, d)
		}
	}
}

// detail finds the detail of a type; its zero value when there is none.
func detail[T any](st *status.Status) (none T) {
	for _, d := range st.Details() {
		if m, ok := d.(T); ok {
			return m
		}
	}
	return none
}

// onWire is what a status and its trailers take, as HTTP/2 counts it.
func onWire(st *status.Status, md metadata.MD) int {
	return fixedBytes + size(md) + wireSize(st.Proto())
}

func TestTrailersFitWhateverTheDashboardSays(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü\x00%é日本語", 4000)
	f := &fault.Error{Kind: fault.NotFound, HTTPStatus: 404, Operation: strings.Repeat("x", 300), Detail: long, RequestID: strings.Repeat("r", 128), Budget: "organization:1"}
	for i := range 200 {
		f.Messages = append(f.Messages, fmt.Sprint(i, long))
		f.Attempts = append(f.Attempts, fault.Attempt{Start: time.Unix(int64(i), 0), Duration: time.Second, Status: 502, Outcome: fault.GatewayError})
	}
	a := about{documentation: documentation("getOrganizationDevices"), resource: long}
	for range 100 {
		a.violations = append(a.violations, violation{long, long})
	}
	st, md := failureOf(f, a).leave()
	if n := onWire(st, md); n > trailerBytes {
		t.Fatalf("trailers take %d bytes, above %d", n, trailerBytes)
	}
	if info := detail[*errdetails.ErrorInfo](st); info.GetReason() != "NOT_FOUND" {
		t.Fatalf("the reason was lost: %v", info)
	}
}

// FuzzTrailers: no text of the Dashboard's makes the trailer too long, breaks a
// character, or loses the reason.
func FuzzTrailers(f *testing.F) {
	f.Add("boom", "field", 3, 429, uint8(fault.RateLimited))
	f.Add("日本\xff\xfe%", "", 0, 500, uint8(fault.OutcomeUnknown))
	f.Fuzz(func(t *testing.T, text, field string, n, httpStatus int, kind uint8) {
		e := &fault.Error{Kind: fault.Kind(kind), HTTPStatus: httpStatus, Detail: text, Field: field, RetryAfter: time.Duration(n)}
		for range min(max(n, 0), 300) {
			e.Messages = append(e.Messages, text)
			e.Attempts = append(e.Attempts, fault.Attempt{Status: httpStatus})
		}
		st, md := failureOf(e, about{resource: field, documentation: documentation("getNetwork")}).leave()
		if got := onWire(st, md); got > trailerBytes {
			t.Fatalf("trailers take %d bytes", got)
		}
		if !utf8.ValidString(st.Message()) {
			t.Fatalf("message is not UTF-8: %q", st.Message())
		}
		if detail[*errdetails.ErrorInfo](st) == nil {
			t.Fatal("no ErrorInfo")
		}
	})
}

func TestClipKeepsCharactersWhole(t *testing.T) {
	t.Parallel()
	for n := range 12 {
		if got := clip("aéb日本", n); !utf8.ValidString(got) || len(got) > max(n, 3) {
			t.Errorf("clip to %d gives %q", n, got)
		}
	}
	if got := clip("short", 5); got != "short" {
		t.Errorf("what fits was cut to %q", got)
	}
}

func TestDocumentationAddress(t *testing.T) {
	t.Parallel()
	if got, want := documentation("getOrganizationDevices"), "https://developer.cisco.com/meraki/api-v1/get-organization-devices/"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
