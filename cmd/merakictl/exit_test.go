package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// TestExitCodes: each kind of failure has its own, and says what to do.
func TestExitCodes(t *testing.T) {
	for _, row := range []struct {
		code   codes.Code
		reason string
		exit   int
		do     string
	}{
		{codes.InvalidArgument, "BAD_REQUEST", exitWrong, ""},
		{codes.FailedPrecondition, "API_KEY_REJECTED", exitWrong, "another Dashboard key"},
		{codes.Aborted, "CONFLICT", exitWrong, ""},
		{codes.Unimplemented, "NOT_IMPLEMENTED", exitWrong, ""},
		{codes.Unimplemented, "", exitWrong, "different versions"},
		{codes.PermissionDenied, "CALLER_NOT_ALLOWED", exitNotAllowed, "merakictl can"},
		{codes.PermissionDenied, "OPERATOR_PORT_ONLY_READS", exitNotAllowed, "the port for callers"},
		{codes.Unauthenticated, "OPERATOR_UNKNOWN", exitNotAllowed, "--token-file"},
		{codes.NotFound, "NOT_FOUND", exitNotFound, ""},
		{codes.ResourceExhausted, "BUDGET_EXHAUSTED", exitNoBudget, "again in 2s"},
		{codes.Unavailable, "DASHBOARD_UNREACHABLE", exitUnreachable, "merakictl health"},
		{codes.Unavailable, "", exitUnreachable, "--address"},
		{codes.Internal, "DASHBOARD_ERROR", exitUnreachable, ""},
		{codes.Internal, "MALFORMED_RESPONSE", exitFailed, ""},
		{codes.Unknown, "OUTCOME_UNKNOWN", exitUnknown, "look whether it was done"},
		{codes.DeadlineExceeded, "DEADLINE_EXCEEDED", exitDeadline, "--timeout"},
	} {
		details := []protoadapt.MessageV1{
			protoadapt.MessageV1Of(&errdetails.RequestInfo{RequestId: "r-1"}),
			protoadapt.MessageV1Of(&brokerv1.DashboardError{Operation: "getX", HttpStatus: 418, Messages: []string{"short and stout"}}),
		}
		if row.reason != "" {
			details = append(details, protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: row.reason}))
		}
		if row.code == codes.ResourceExhausted {
			details = append(details, protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)}))
		}
		st, err := status.New(row.code, "it failed").WithDetails(details...)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		a := &app{err: &out}
		if got := a.report(t.Context(), st.Err()); got != row.exit {
			t.Errorf("%s %s: exit %d, want %d", row.code, row.reason, got, row.exit)
		}
		for _, want := range []string{row.reason, "it failed", "getX (HTTP 418)", "short and stout", "r-1", row.do} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s %s does not say %q:\n%s", row.code, row.reason, want, &out)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := (&app{err: new(strings.Builder)}).report(ctx, context.Canceled); got != exitInterrupted {
		t.Errorf("interrupted: %d", got)
	}
}
