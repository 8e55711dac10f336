// Package fault says what can go wrong with a call, as one type. It knows no
// gRPC and no HTTP beyond the number of a status, and imports nothing of ours:
// every room may speak of faults, and service/status.go alone turns one into
// what goes over the wire.
package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Kind is what happened, from the caller's point of view.
type Kind uint8

// The kinds. Their order carries no meaning; a new one goes to the end.
const (
	Unknown Kind = iota
	// BadRequest: the request is wrong, found by the broker (nothing was sent) or by the Dashboard.
	BadRequest
	// KeyRejected: 401 on a key of the broker's.
	KeyRejected
	// CallerKeyRejected: 401 on a key that the caller sent.
	CallerKeyRejected
	// Forbidden: 403.
	Forbidden
	// NotFound: 404.
	NotFound
	// APIDisabled: 404 whose body says that the organization has switched API access off.
	APIDisabled
	// Conflict: 409.
	Conflict
	// RateLimited: 429, and attempts or time are at an end.
	RateLimited
	// BudgetExhausted: refused before anything was sent, for want of a slot in time.
	BudgetExhausted
	// Dashboard: 500 on a call that is safe to make again.
	Dashboard
	// Unreachable: no useful answer, and nothing was executed, or executing it again does no harm.
	Unreachable
	// OutcomeUnknown: a write may or may not have been executed.
	OutcomeUnknown
	// NotImplemented: 501.
	NotImplemented
	// Malformed: 2xx with a body that is not JSON, or broke off.
	Malformed
	// TooLarge: the answer is larger than the bound.
	TooLarge
	// RedirectRefused: a redirect leads out of the vendor's domains, or in a circle.
	RedirectRefused
	// CallerUnknown: no identity that the broker accepts.
	CallerUnknown
	// CallerNotAllowed: the caller has no rule that allows the call.
	CallerNotAllowed
	// DeadlineExceeded: the caller's deadline passed.
	DeadlineExceeded
	// Cancelled: the caller left.
	Cancelled
	// Draining: this replica is about to stop, and nothing has been sent.
	Draining
	// Internal: a bug of ours.
	Internal
)

// kinds names each kind for logs and metrics.
var kinds = [...]string{
	Unknown: "unknown", BadRequest: "bad request", KeyRejected: "key rejected",
	CallerKeyRejected: "caller key rejected", Forbidden: "forbidden", NotFound: "not found",
	APIDisabled: "api disabled", Conflict: "conflict", RateLimited: "rate limited",
	BudgetExhausted: "budget exhausted", Dashboard: "dashboard error", Unreachable: "unreachable",
	OutcomeUnknown: "outcome unknown", NotImplemented: "not implemented", Malformed: "malformed response",
	TooLarge: "response too large", RedirectRefused: "redirect refused", CallerUnknown: "caller unknown",
	CallerNotAllowed: "caller not allowed", DeadlineExceeded: "deadline exceeded", Cancelled: "cancelled",
	Draining: "draining", Internal: "internal",
}

// String names the kind as logs and metrics do.
func (k Kind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// reasons are the kinds for machines, in the form of google.rpc.ErrorInfo.
var reasons = [...]string{
	Unknown:           "UNKNOWN",
	BadRequest:        "BAD_REQUEST",
	KeyRejected:       "API_KEY_REJECTED",
	CallerKeyRejected: "API_KEY_REJECTED",
	Forbidden:         "FORBIDDEN",
	NotFound:          "NOT_FOUND",
	APIDisabled:       "API_DISABLED",
	Conflict:          "CONFLICT",
	RateLimited:       "DASHBOARD_RATE_LIMITED",
	BudgetExhausted:   "BUDGET_EXHAUSTED",
	Dashboard:         "DASHBOARD_ERROR",
	Unreachable:       "DASHBOARD_UNREACHABLE",
	OutcomeUnknown:    "OUTCOME_UNKNOWN",
	NotImplemented:    "NOT_IMPLEMENTED",
	Malformed:         "MALFORMED_RESPONSE",
	TooLarge:          "RESPONSE_TOO_LARGE",
	RedirectRefused:   "REDIRECT_REFUSED",
	CallerUnknown:     "CALLER_UNKNOWN",
	CallerNotAllowed:  "CALLER_NOT_ALLOWED",
	DeadlineExceeded:  "DEADLINE_EXCEEDED",
	Cancelled:         "CANCELLED",
	Draining:          "DRAINING",
	Internal:          "INTERNAL",
}

// Reason is the kind for machines: what a caller branches on.
func (k Kind) Reason() string {
	if int(k) < len(reasons) {
		return reasons[k]
	}
	return reasons[Unknown]
}

// An Error is a call that failed.
type Error struct {
	Kind Kind
	// Reason refines the kind for machines, in ErrorInfo's form (UPPER_SNAKE).
	// Empty for the kind's own reason.
	Reason string
	// Operation is the vendor's operationId; empty when the call did not get as far.
	Operation string
	// Detail says in a sentence what happened and what to do now. Never a
	// secret, and never the cause's text, which may hold addresses.
	Detail string
	// HTTPStatus is the last attempt's; 0 when there was no answer.
	HTTPStatus int
	// Messages are the Dashboard's own, in its order, bounded.
	Messages []string
	// Field names the part of the request that is wrong: a field's path or a
	// metadata key. Empty when none can be named.
	Field string
	// RetryAfter is when a next try makes sense; 0 when there is nothing to say.
	RetryAfter time.Duration
	// Attempts made, oldest first.
	Attempts []Attempt
	// RequestID is the vendor's X-Request-Id of the last attempt.
	RequestID string
	// Budget names what was exhausted: "organization:123", "address", "address:east",
	// "operation:createDeviceLiveToolsPing". For BudgetExhausted and RateLimited.
	Budget string
	// NoRetry asks everyone in front of the broker not to repeat the call.
	NoRetry bool
	// Cause is for logs; it does not leave the process.
	Cause error
}

// An Attempt is one HTTP request, as a fault remembers it.
type Attempt struct {
	Start    time.Time
	Duration time.Duration
	// Status is 0 when there was no answer.
	Status  int
	Outcome Outcome
}

// An Outcome is how an attempt ended.
type Outcome uint8

// The outcomes; the numbers are those of meraki.broker.v1.Outcome.
const (
	NoOutcome Outcome = iota
	OK
	Refused
	Limited
	ServerError
	GatewayError
	NotSent
	Reset
	Timeout
	Garbled
	Redirect
	Left
)

var outcomes = [...]string{
	NoOutcome: "none", OK: "ok", Refused: "refused", Limited: "rate_limited", ServerError: "server_error",
	GatewayError: "gateway_error", NotSent: "not_sent", Reset: "reset", Timeout: "timeout",
	Garbled: "malformed", Redirect: "redirect", Left: "cancelled",
}

// String names the outcome as metrics do.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return fmt.Sprintf("outcome %d", uint8(o))
}

// ReasonCode is the reason for machines: the finer one, or the kind's own.
func (e *Error) ReasonCode() string {
	if e.Reason != "" {
		return e.Reason
	}
	return e.Kind.Reason()
}

// Error says what happened, to which operation, and what to do now.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Operation != "" {
		b.WriteString(e.Operation)
		b.WriteString(": ")
	}
	if e.Detail != "" {
		b.WriteString(e.Detail)
	} else {
		b.WriteString(e.Kind.String())
	}
	return b.String()
}

// Unwrap gives the cause, so that errors.Is finds context errors below a fault.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is a fault of the same kind, so that
// errors.Is(err, &fault.Error{Kind: fault.NotFound}) asks for a kind.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind
}

// As returns the fault in err's chain, or nil.
func As(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// Stopping is the fault of a call that comes too late to this replica.
func Stopping(operation string) *Error {
	return &Error{
		Kind: Draining, Operation: operation,
		Detail: "this replica of the broker is stopping and has sent nothing: call another one",
	}
}

// Ended is the fault of a call whose context ended, with err, while it was doing
// something.
func Ended(operation string, err error, doing string) *Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Kind: DeadlineExceeded, Operation: operation, Cause: err,
			Detail: "the deadline passed while the call was " + doing + "; nothing is on its way any more"}
	}
	return &Error{Kind: Cancelled, Operation: operation, Cause: err,
		Detail: "the caller left while the call was " + doing + "; nothing is on its way any more"}
}

// Bad is a request that is wrong at field, found before anything was sent.
func Bad(field, format string, args ...any) *Error {
	return &Error{Kind: BadRequest, Field: field, Detail: fmt.Sprintf(format, args...)}
}
