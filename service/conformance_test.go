package service_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// A meeting is what the Dashboard does to a call, and what the caller is told.
type meeting struct {
	name string
	// write makes it a POST; a read otherwise.
	write bool
	fault sandbox.Fault
	// Told to the caller.
	code     codes.Code
	reason   string
	http     int
	attempts int // 0: as many as it took
	delay    bool
	// What the record says of the last attempt.
	outcome fault.Outcome
}

// meetings is the vendor's page of errors, row by row, with the statuses that it
// leaves out, for a read and for a write.
func meetings() []meeting {
	refusal := func(n int, code codes.Code, reason string) meeting {
		return meeting{fault: sandbox.Fault{Kind: sandbox.FaultStatus, Status: n}, code: code, reason: reason, http: n, attempts: 1, outcome: fault.Refused}
	}
	var all []meeting
	both := func(m meeting) {
		m.name = fmt.Sprintf("read %d %s", m.http, m.fault.Kind)
		all = append(all, m)
		m.write, m.name = true, fmt.Sprintf("write %d %s", m.http, m.fault.Kind)
		all = append(all, m)
	}
	for _, n := range []int{400, 405, 406, 410, 411, 412, 413, 414, 415, 422} {
		both(refusal(n, codes.InvalidArgument, "BAD_REQUEST"))
	}
	both(refusal(401, codes.FailedPrecondition, "API_KEY_REJECTED"))
	both(refusal(403, codes.PermissionDenied, "FORBIDDEN"))
	both(refusal(404, codes.NotFound, "NOT_FOUND"))
	both(refusal(409, codes.Aborted, "CONFLICT"))

	limited := refusal(429, codes.ResourceExhausted, "DASHBOARD_RATE_LIMITED")
	limited.outcome, limited.delay, limited.attempts = fault.Limited, true, 0
	limited.fault.RetryAfter = "1"
	both(limited)

	notImplemented := refusal(501, codes.Unimplemented, "NOT_IMPLEMENTED")
	notImplemented.outcome = fault.ServerError
	both(notImplemented)

	for n, outcome := range map[int]fault.Outcome{500: fault.ServerError, 502: fault.GatewayError, 503: fault.GatewayError, 504: fault.GatewayError} {
		read := refusal(n, codes.Unavailable, "DASHBOARD_UNREACHABLE")
		if n == 500 {
			read = refusal(n, codes.Internal, "DASHBOARD_ERROR")
		}
		read.outcome, read.attempts, read.name = outcome, 0, fmt.Sprint("read ", n)
		all = append(all, read)
		write := read
		write.write, write.code, write.reason, write.attempts, write.name = true, codes.Unknown, "OUTCOME_UNKNOWN", 1, fmt.Sprint("write ", n)
		all = append(all, write)
	}
	return append(all,
		meeting{name: "read reset", fault: sandbox.Fault{Kind: sandbox.FaultReset}, code: codes.Unavailable, reason: "DASHBOARD_UNREACHABLE", outcome: fault.Reset},
		meeting{name: "write reset", write: true, fault: sandbox.Fault{Kind: sandbox.FaultReset, After: true}, code: codes.Unknown, reason: "OUTCOME_UNKNOWN", attempts: 1, outcome: fault.Reset},
		meeting{name: "read html 200", fault: sandbox.Fault{Kind: sandbox.FaultStatus, Status: 200, Body: "html", After: true}, code: codes.Internal, reason: "MALFORMED_RESPONSE", http: 200, outcome: fault.Garbled},
		meeting{name: "read foreign redirect", fault: sandbox.Fault{Kind: sandbox.FaultRedirect, Target: "foreign"}, code: codes.FailedPrecondition, reason: "REDIRECT_REFUSED", http: 302, attempts: 1, outcome: fault.Redirect},
		meeting{name: "read redirect loop", fault: sandbox.Fault{Kind: sandbox.FaultRedirect, Target: "loop"}, code: codes.FailedPrecondition, reason: "REDIRECT_REFUSED", http: 302, outcome: fault.Redirect},
		meeting{name: "API disabled", fault: sandbox.Fault{Kind: sandbox.FaultStatus, Status: 404, Body: "api-disabled"}, code: codes.NotFound, reason: "API_DISABLED", http: 404, attempts: 1, outcome: fault.Refused},
	)
}

// TestConformance: for every row of the vendor's page, code, reason, details,
// trailers, and what the record says.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := meetings()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, AddressRate: -1, Organizations: len(rows)}})
	var group sync.WaitGroup
	for i, row := range rows {
		group.Go(func() {
			row.check(t, h, h.sandbox.OrganizationID(i))
		})
	}
	group.Wait()
}

func (m meeting) check(t *testing.T, h *harness, organization string) {
	complain := func(format string, args ...any) { t.Errorf("%s: %s", m.name, fmt.Sprintf(format, args...)) }
	if err := h.sandbox.AddScript(sandbox.Script{Path: "/organizations/" + organization, Times: -1, Faults: []sandbox.Fault{m.fault}}); err != nil {
		complain("%v", err)
		return
	}
	operation, fields := "getOrganization", map[string]any{"organization_id": organization}
	if m.write {
		operation = "createOrganizationNetwork"
		fields["name"], fields["product_types"] = "a network", []string{"switch"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	defer cancel()
	var headers, trailers metadata.MD
	_, err := h.call(ctx, t, operation, fields, grpc.Header(&headers), grpc.Trailer(&trailers))
	st := status.Convert(err)
	info := detailOf[*errdetails.ErrorInfo](st)
	if st.Code() != m.code || info.GetReason() != m.reason {
		complain("%v %s, want %v %s: %s", st.Code(), info.GetReason(), m.code, m.reason, st.Message())
		return
	}
	if len(headers) > 0 {
		complain("headers %v: an error must be trailers only", headers)
	}
	if got := trailers.Get("meraki-reason"); !slices.Equal(got, []string{m.reason}) {
		complain("trailer meraki-reason is %v", got)
	}
	if want := fmt.Sprint(m.http); m.http != 0 && !slices.Equal(trailers.Get("meraki-http-status"), []string{want}) {
		complain("trailer meraki-http-status is %v, want %s", trailers.Get("meraki-http-status"), want)
	}
	if retry := detailOf[*errdetails.RetryInfo](st); m.delay && retry.GetRetryDelay().AsDuration() <= 0 {
		complain("no RetryInfo")
	}
	said := detailOf[*brokerv1.DashboardError](st)
	if said.GetOperation() != operation || int(said.GetHttpStatus()) != m.http {
		complain("DashboardError says %s %d", said.GetOperation(), said.GetHttpStatus())
	}
	if m.attempts > 0 && len(said.GetAttempts()) != m.attempts {
		complain("%d attempts, want %d", len(said.GetAttempts()), m.attempts)
	}
	if !strings.Contains(detailOf[*errdetails.Help](st).String(), "developer.cisco.com") {
		complain("no Help")
	}
	on := h.record.List(record.AttemptFilter{Organization: organization, Operation: operation})
	if len(on) == 0 || on[0].Outcome != m.outcome || on[0].Status != m.http || !strings.HasPrefix(on[0].Verdict, "give up") {
		complain("the record says %+v", on)
	}
}

// detailOf finds the detail of a type; its zero value when there is none.
func detailOf[T any](st *status.Status) (none T) {
	for _, d := range st.Details() {
		if m, ok := d.(T); ok {
			return m
		}
	}
	return none
}

// TestEveryBodyShape: whatever shape an error's body has, the caller gets the
// code, the reason, and the words that were in it.
func TestEveryBodyShape(t *testing.T) {
	t.Parallel()
	shapes := sandbox.BodyShapes()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, AddressRate: -1, Organizations: 2 * len(shapes)}})
	for i, shape := range shapes {
		for j, gzip := range []bool{false, true} {
			organization := h.sandbox.OrganizationID(2*i + j)
			f := sandbox.Fault{Kind: sandbox.FaultStatus, Status: http.StatusBadRequest, Body: shape, Gzip: gzip}
			if err := h.sandbox.AddScript(sandbox.Script{Path: "/organizations/" + organization, Faults: []sandbox.Fault{f}}); err != nil {
				t.Fatal(err)
			}
			_, err := h.call(context.Background(), t, "getOrganization", map[string]any{"organization_id": organization})
			st := status.Convert(err)
			if shape == "batches" { // a 400 that the broker waits for, and then has its answer
				if err != nil {
					t.Errorf("%s (gzip %v): %v", shape, gzip, err)
				}
				continue
			}
			wordless := slices.Contains([]string{"space", "empty", "errors-empty"}, shape)
			// What broke off in the middle of its JSON is shown as it came.
			raw := slices.Contains([]string{"broken", "long"}, shape)
			said := detailOf[*brokerv1.DashboardError](st)
			if said.GetHttpStatus() != 400 || !wordless && len(said.GetMessages()) == 0 {
				t.Errorf("%s (gzip %v): %v, messages %q", shape, gzip, st, said.GetMessages())
			}
			for _, message := range said.GetMessages() {
				if !raw && strings.ContainsAny(message, "<>{}\n") {
					t.Errorf("%s (gzip %v): the message still has the markup in it: %q", shape, gzip, message)
				}
			}
		}
	}
}
