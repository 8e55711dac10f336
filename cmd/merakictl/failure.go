package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// Exit codes. docs/merakictl.md lists them.
const (
	exitDone = iota
	exitFailed
	exitMisuse
	exitNotAllowed
	exitNotFound
	exitWrong
	exitNoBudget
	exitUnreachable
	exitUnknown
	exitDeadline
	exitNotWell
	exitInterrupted = 130
)

// exitMeanings are the exit codes in words, for the page.
var exitMeanings = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "the broker failed, or the Dashboard's answer could not be read"},
	{exitMisuse, "the command was used wrongly: a flag, an argument, a file"},
	{exitNotAllowed, "not allowed, or not known who asks; `can` says no"},
	{exitNotFound, "there is no such thing"},
	{exitWrong, "refused as it stands: asking again gives the same"},
	{exitNoBudget, "no budget in time, or held by an operator: ask again later"},
	{exitUnreachable, "the broker or the Dashboard cannot be reached, or fails"},
	{exitUnknown, "a write whose outcome is not known"},
	{exitDeadline, "no answer within --timeout"},
	{exitNotWell, "answered, and not well: `health` is not OK, `apply` has writes that were not made, `config check` finds something"},
	{exitInterrupted, "interrupted"},
}

// A misuse is what is wrong with the command itself.
type misuse struct{ text string }

func (m *misuse) Error() string { return m.text }

// A verdict is an exit code of a command that has said already what there is to say.
type verdict int

func (v verdict) Error() string { return "exit " + strconv.Itoa(int(v)) }

// report says what has failed, and gives the exit code.
func (a *app) report(ctx context.Context, err error) int {
	var said verdict
	var wrong *misuse
	switch {
	case errors.As(err, &said):
		return int(said)
	case errors.As(err, &wrong):
		fmt.Fprintln(a.err, "merakictl: "+plain(wrong.text))
		return exitMisuse
	case ctx.Err() != nil:
		return exitInterrupted
	}
	st, ok := status.FromError(err)
	if !ok {
		// Cobra's own: a command that there is not, a flag that is missing.
		hint := ""
		if strings.HasPrefix(err.Error(), "unknown command") {
			hint = " (merakictl -h lists the commands)"
		}
		fmt.Fprintln(a.err, "merakictl: "+plain(err.Error())+hint)
		return exitMisuse
	}
	fmt.Fprint(a.err, "merakictl: "+describe(st))
	return exitOf(st)
}

// reasons have exit codes of their own; all others have that of their code.
var reasonExits = map[string]int{"OUTCOME_UNKNOWN": exitUnknown, "DASHBOARD_ERROR": exitUnreachable, "REPEATED_WRITE": exitUnknown}

func exitOf(st *status.Status) int {
	info := detail[*errdetails.ErrorInfo](st)
	if code, ok := reasonExits[info.GetReason()]; ok {
		return code
	}
	switch st.Code() {
	case codes.PermissionDenied, codes.Unauthenticated:
		return exitNotAllowed
	case codes.NotFound:
		return exitNotFound
	case codes.InvalidArgument, codes.FailedPrecondition, codes.Aborted, codes.Unimplemented, codes.OutOfRange, codes.AlreadyExists:
		return exitWrong
	case codes.ResourceExhausted:
		return exitNoBudget
	case codes.Unavailable:
		return exitUnreachable
	case codes.DeadlineExceeded:
		return exitDeadline
	}
	return exitFailed
}

// describe says what happened, to which operation, under which request id, and what to
// do now.
func describe(st *status.Status) string {
	info := detail[*errdetails.ErrorInfo](st)
	dashboard := detail[*brokerv1.DashboardError](st)
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", cmp.Or(info.GetReason(), code.Code(st.Code()).String()), plain(st.Message()))
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-11s %s\n", name, plain(value))
		}
	}
	operation := cmp.Or(dashboard.GetOperation(), info.GetMetadata()["operation"])
	if n := dashboard.GetHttpStatus(); n != 0 {
		operation += fmt.Sprintf(" (HTTP %d)", n)
	}
	line("operation", strings.TrimSpace(operation))
	for _, m := range dashboard.GetMessages() {
		if !strings.Contains(st.Message(), m) {
			line("it says", m)
		}
	}
	line("request id", detail[*errdetails.RequestInfo](st).GetRequestId())
	line("what to do", advice(st, info.GetReason()))
	for _, l := range detail[*errdetails.Help](st).GetLinks() {
		line("see", l.GetUrl())
	}
	return b.String()
}

// advice says what to do now.
func advice(st *status.Status, reason string) string {
	switch reason {
	case "OUTCOME_UNKNOWN", "REPEATED_WRITE":
		return "look whether it was done before doing it again; --idempotency-key makes asking again safe"
	case "OPERATOR_PORT_ONLY_READS":
		return "leave --address out, or name the port for callers"
	case "OPERATOR_UNKNOWN":
		return "name the file of an operator's token with --token-file"
	case "READ_ONLY":
		return "make a token with merakictl token new NAME, and put its line into a file that operators_file of the broker's configuration names"
	case "API_KEY_REJECTED":
		return "give the broker another Dashboard key; it reads its key files again by itself"
	}
	if wait := detail[*errdetails.RetryInfo](st).GetRetryDelay().AsDuration(); wait > 0 {
		return "ask again in " + wait.Round(10*time.Millisecond).String()
	}
	switch st.Code() {
	case codes.Unavailable:
		if reason == "" {
			return "is merakid running there? --address names another place, --tls connects with TLS"
		}
		return "see whether the Dashboard answers at all: merakictl health"
	case codes.Unauthenticated, codes.PermissionDenied:
		return "merakictl can CALLER OPERATION ORGANIZATION says which rule is missing"
	case codes.DeadlineExceeded:
		return "give it longer with --timeout, or see who is in front: merakictl budgets"
	case codes.Unimplemented:
		if reason == "" {
			return "is this the broker's port? merakictl and the broker may be of different versions: merakictl version"
		}
	}
	return ""
}

// detail finds a detail of a status; nil where there is none.
func detail[T any](st *status.Status) T {
	for _, d := range st.Details() {
		if t, ok := d.(T); ok {
			return t
		}
	}
	var none T
	return none
}
