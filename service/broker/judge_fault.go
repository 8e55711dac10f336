package broker

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A failure is what a fault needs to know of a call that was given up.
type failure struct {
	call     *Call
	answer   *dashboard.Result // of the last attempt
	history  history
	verdict  verdict
	attempts []fault.Attempt
	// budget names the budget that the last attempt spent.
	budget string
	// now and deadline tell whether the call ran out of time.
	now, deadline time.Time
}

// faultOf gives the fault of a call that was given up.
func faultOf(f failure) *fault.Error {
	a := f.answer
	e := &fault.Error{
		Kind:       f.kind(),
		Operation:  f.call.Operation.GetId(),
		HTTPStatus: a.Status,
		Messages:   a.Messages,
		Attempts:   f.attempts,
		RequestID:  a.RequestID,
		Cause:      a.Err,
	}
	e.Reason = finer(e.Kind, a.Messages)
	switch e.Kind {
	case fault.RateLimited:
		e.Budget = f.budget
		e.RetryAfter = f.verdict.stop
		if why := busy(e.Operation, a); why != "" {
			e.Reason, e.Budget = why, ""
			e.RetryAfter = max(busyBase, min(a.RetryAfter, busyMost))
		}
	case fault.OutcomeUnknown:
		if a.Status/100 == 2 {
			e.Reason = reasonUnreadable
		}
	case fault.Unreachable, fault.Dashboard:
		if a.HasRetryAfter {
			e.RetryAfter = min(a.RetryAfter, limitedMost)
		}
	}
	e.Detail = f.detail(e.Kind)
	return e
}

// kind chooses the kind of the fault. A write of which any attempt may have been
// executed ends as OutcomeUnknown, whatever the last attempt brought: a 400 or a
// 429 to the second attempt says nothing about the first.
func (f failure) kind() fault.Kind {
	a := f.answer
	if a.Outcome == fault.Left {
		return fault.Cancelled
	}
	if !f.call.read() && f.history.maybe {
		return fault.OutcomeUnknown
	}
	if f.expired() && (a.Outcome == fault.Timeout || a.Outcome == fault.NotSent) {
		return fault.DeadlineExceeded
	}
	switch a.Outcome {
	case fault.Redirect:
		if a.Status == http.StatusNotModified {
			return fault.Malformed // nothing was asked that could have this answer
		}
		return fault.RedirectRefused
	case fault.Limited:
		return fault.RateLimited
	case fault.ServerError:
		if a.Status == http.StatusNotImplemented {
			return fault.NotImplemented
		}
		return fault.Dashboard
	case fault.GatewayError, fault.Reset, fault.Timeout:
		return fault.Unreachable
	case fault.NotSent:
		if errors.Is(a.Err, dashboard.ErrUnusable) {
			return fault.BadRequest
		}
		return fault.Unreachable
	case fault.Garbled:
		if errors.Is(a.Err, dashboard.ErrTooLarge) {
			return fault.TooLarge
		}
		return fault.Malformed
	case fault.Refused:
		return f.refused()
	}
	return fault.Internal
}

// refused chooses the kind of a 4xx.
func (f failure) refused() fault.Kind {
	a := f.answer
	if busy(f.call.Operation.GetId(), a) != "" {
		return fault.RateLimited
	}
	if said(a.Messages, "enable api access") || said(a.Messages, "api access is disabled") {
		return fault.APIDisabled // seen as 404; the words count more than the number
	}
	switch a.Status {
	case http.StatusUnauthorized:
		if f.call.OwnKey {
			return fault.CallerKeyRejected
		}
		return fault.KeyRejected
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusNotFound:
		return fault.NotFound
	case http.StatusRequestTimeout:
		return fault.Unreachable
	case http.StatusConflict:
		return fault.Conflict
	}
	return fault.BadRequest
}

func (f failure) expired() bool { return !f.deadline.IsZero() && !f.now.Before(f.deadline) }

// met says in a few words what the last attempt met.
func (f failure) met() string {
	a := f.answer
	if a.Status != 0 && a.Outcome != fault.Garbled && a.Outcome != fault.Timeout {
		return fmt.Sprintf("HTTP %d", a.Status)
	}
	if s := outcomeWords[a.Outcome]; s != "" {
		return s
	}
	return a.Outcome.String()
}

// tried is the number of attempts in words.
func (f failure) tried() string {
	if f.history.number == 1 {
		return "1 attempt"
	}
	return fmt.Sprintf("%d attempts", f.history.number)
}

// longURL is the number of bytes of path and query up to which URLs have been
// seen to work. Above it the Dashboard answers 502, where other servers would
// answer 414 (seen at 1014, in meraki/dashboard-api-python issue 182).
const longURL = 1000

// detail says what happened and what to do now. It does not repeat the
// Dashboard's own words, which stand in the fault's Messages.
func (f failure) detail(kind fault.Kind) string {
	switch kind {
	case fault.BadRequest:
		if f.answer.Status == 0 {
			return "the path, the query or the key cannot stand in an HTTP request; nothing was sent; correct it"
		}
		return fmt.Sprintf("the Dashboard refused the request (HTTP %d); correct it as the messages say", f.answer.Status)
	case fault.KeyRejected:
		return "the Dashboard rejected the broker's API key (HTTP 401); its operator has to replace the key"
	case fault.CallerKeyRejected:
		return "the Dashboard rejected the API key that came with the call (HTTP 401); send a valid one"
	case fault.Forbidden:
		return "the API key has no permission for this (HTTP 403); ask the organization's administrator for access"
	case fault.NotFound:
		return "the Dashboard knows no such resource, or the API key has no access to it (HTTP 404); check the identifiers, and wait a minute if it is newly created"
	case fault.APIDisabled:
		return "the organization has API access switched off; its administrator can enable it in the organization's settings"
	case fault.Conflict:
		return "the request is at odds with the state of the resource (HTTP 409); read it again and repeat what led to the request"
	case fault.RateLimited:
		if why := busy(f.call.Operation.GetId(), f.answer); why != "" {
			return fmt.Sprintf("the Dashboard is busy (%s) and was so for %s; it was not executed; come back after the delay", busyReasons[why], f.tried())
		}
		return fmt.Sprintf("the Dashboard's rate limit held for %s (HTTP 429); it was not executed; come back after the delay", f.tried())
	case fault.Dashboard:
		return fmt.Sprintf("the Dashboard failed (%s) in %s; try later, and hand the request id to the vendor's support if it stays", f.met(), f.tried())
	case fault.Unreachable:
		if n := len(f.call.Path) + len(f.call.Query); f.answer.Status == http.StatusBadGateway && n > longURL {
			return fmt.Sprintf("the Dashboard gave no useful answer (%s) in %s; the URL has %d bytes, and the Dashboard answers so to URLs above about %d: ask for fewer ids at once", f.met(), f.tried(), n, longURL)
		}
		return fmt.Sprintf("the Dashboard gave no useful answer (%s) in %s; nothing was changed; try later", f.met(), f.tried())
	case fault.OutcomeUnknown:
		return f.unknown()
	case fault.NotImplemented:
		return "the Dashboard does not implement this operation (HTTP 501); it was not executed"
	case fault.Malformed:
		return fmt.Sprintf("the Dashboard's answer (HTTP %d) cannot be read as JSON, in %s; try later, and hand the request id to the vendor's support if it stays", f.answer.Status, f.tried())
	case fault.TooLarge:
		return "the Dashboard's answer is larger than the broker takes; ask for less: smaller pages, a shorter timespan, a filter"
	case fault.RedirectRefused:
		return fmt.Sprintf("the Dashboard redirects (HTTP %d), and it was not followed (%s); it was not executed; the operator has to check the base URL", f.answer.Status, f.verdict.reason)
	case fault.DeadlineExceeded:
		return fmt.Sprintf("the deadline passed while the Dashboard was being asked (%s)", f.tried())
	case fault.Cancelled:
		return fmt.Sprintf("the caller left while the Dashboard was being asked (%s)", f.tried())
	}
	return fmt.Sprintf("the attempt ended in a way that the broker has no name for (%s); this is a bug", f.met())
}

// unknown is the detail of a write that may have been executed.
func (f failure) unknown() string {
	if f.answer.Status/100 == 2 {
		return fmt.Sprintf("the Dashboard accepted the write (HTTP %d), but its answer cannot be read; it was executed: read the resource before anything else", f.answer.Status)
	}
	if f.history.before && !f.answer.MaybeExecuted {
		return fmt.Sprintf("the last of %s was refused (%s), but an earlier one may have been executed; read the resource before repeating the write", f.tried(), f.met())
	}
	return fmt.Sprintf("the write may have been executed or not (%s, %s); read the resource before repeating it", f.met(), f.tried())
}

// refuseRepeated refuses a write that a layer in front of the broker has sent
// again by itself: the broker does not know what became of the first one, and
// executing the write twice may do harm. It gives nil when the call may go on.
func refuseRepeated(c *Call) *fault.Error {
	if !c.Repeated || repeatable(c) {
		return nil
	}
	return &fault.Error{
		Kind:      fault.OutcomeUnknown,
		Reason:    reasonRepeated,
		Operation: c.Operation.GetId(),
		Detail: "a proxy or a client library sent this write again by itself, and the first one may have been executed; " +
			"nothing was sent this time: read the resource, switch that retry off, or set meraki-retry-writes: true where repeating does no harm",
		NoRetry: true,
	}
}
