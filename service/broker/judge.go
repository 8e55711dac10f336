package broker

import (
	"errors"
	"net/http"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

const (
	// mostFailures is the number of failed attempts after which a call gives up.
	// With one attempt in five failing, five attempts leave 3 calls in 10,000.
	mostFailures = 5
	// mostLongURL is the number of failed attempts after which a 502 ends a call
	// whose path and query have more than tooLongURL bytes. Above about that
	// length the Dashboard's gateway answers 502 to any request, and a second
	// attempt tells a long URL from an outage.
	mostLongURL = 2
	tooLongURL  = 1500
	// mostAttempts bounds all attempts of one call. Attempts that a 429 or a busy
	// Dashboard sent back do not count as failures, but they do not go on for
	// ever.
	mostAttempts = 20
)

// A history is the record of a call's attempts so far.
type history struct {
	number int // of attempts
	failed int // of those, as opposed to sent back unexecuted or redirected
	hops   int // of those, redirects
	// maybe: one of the attempts may have been executed.
	maybe bool
	// before: one of the attempts before the last may have been executed.
	before bool
}

// add counts an attempt.
func (h *history) add(operation string, a *dashboard.Result) {
	h.number++
	h.before = h.maybe
	h.maybe = h.maybe || a.MaybeExecuted
	switch {
	case a.Outcome == fault.Redirect:
		h.hops++
	case a.Outcome != fault.Limited && busy(operation, a) == "":
		h.failed++
	}
}

// A judgement holds everything that the judge is told. The judge decides from
// nothing else.
type judgement struct {
	call    *Call
	answer  *dashboard.Result
	history history // the answer's attempt counted
	// hops is how many redirects one call follows.
	hops          int
	now, deadline time.Time // no deadline when zero
	// usual is the operation's usual service time; 0 when none is known.
	usual time.Duration
	// permit: the retry budget has something left.
	permit bool
	random float64 // in [0, 1)
}

// An action is what becomes of a call after an attempt.
type action uint8

const (
	// done: the answer is the call's.
	done action = iota
	// again: one more attempt, with a slot of its own.
	again
	// giveUp: the call fails with the result of the attempt.
	giveUp
)

// String names the action as metrics do.
func (a action) String() string {
	switch a {
	case done:
		return "done"
	case again:
		return "again"
	}
	return "give up"
}

// A verdict is what the judge decided.
type verdict struct {
	action action
	// reason completes the action: "again: rate limited".
	reason string
	// after is how long the call waits before it asks for its next slot. It does
	// not include the time for which a lane is stopped.
	after time.Duration
	// stop is for how long a 429 stops the lane, whatever the action; 0 for none.
	stop time.Duration
	// own: as far as the answer tells, the limit that was hit is the operation's
	// own, not the organization's.
	own bool
	// nameless: a 429 that neither names the organization nor says when to come back,
	// as the API's own does. The proxy before the API gives one to an address that
	// sends too much.
	nameless bool
	// late: the call would make another attempt if it had the time.
	late bool
	// charged: the retry budget pays for the next attempt.
	charged bool
	// follow is the target of the next attempt; nil for the target of the last
	// one.
	follow *dashboard.Target
	// gone: an earlier attempt has removed the resource that a DELETE asked to
	// remove. The call is done with 204.
	gone bool
}

// String gives the verdict as the record shows it.
func (v verdict) String() string {
	if v.reason == "" {
		return v.action.String()
	}
	return v.action.String() + ": " + v.reason
}

// judge decides what becomes of a call after an attempt. It is a pure function.
func judge(j judgement) verdict {
	a := j.answer
	switch {
	case a.Outcome == fault.OK:
		return verdict{}
	case a.Outcome == fault.Left:
		return verdict{action: giveUp, reason: "the caller left"}
	case errors.Is(a.Err, dashboard.ErrUnusable):
		return verdict{action: giveUp, reason: "the request cannot be sent"}
	case a.Outcome == fault.Redirect:
		return j.redirected()
	case a.Outcome == fault.Limited:
		stop := limitedWait(a.RetryAfter, j.random)
		v := j.again(stop, "rate limited")
		v.after, v.stop, v.own = 0, stop, ownLimit(j.call.Operation, a.Messages)
		v.nameless = !v.own && !a.HasRetryAfter && !said(a.Messages, "organization")
		return v
	}
	if why := busy(j.call.Operation.GetId(), a); why != "" {
		return j.again(max(busyWait(j.history.number-j.history.failed, j.random), min(a.RetryAfter, busyMost)), busyReasons[why])
	}
	if j.history.before && a.Status == http.StatusNotFound && j.call.Operation.GetVerb() == apiv1.Verb_VERB_DELETE {
		return verdict{gone: true, reason: "already deleted by an earlier attempt"}
	}
	if !transient(a) {
		return verdict{action: giveUp, reason: a.Outcome.String()}
	}
	return j.failed()
}

// failed judges an attempt that brought no useful answer, where another attempt
// may bring one.
func (j judgement) failed() verdict {
	a := j.answer
	what := outcomeWords[a.Outcome]
	if a.Status == http.StatusRequestTimeout {
		what = outcomeWords[fault.Timeout]
	}
	switch {
	case !j.call.read() && a.Status/100 == 2:
		return verdict{action: giveUp, reason: what + ", and the write was executed"}
	case !repeatable(j.call) && a.MaybeExecuted:
		return verdict{action: giveUp, reason: what + ", and the write may have been executed"}
	case !j.deadline.IsZero() && !j.now.Before(j.deadline):
		return verdict{action: giveUp, reason: what + ", deadline", late: true}
	case a.Status == http.StatusBadGateway && j.history.failed >= mostLongURL && len(j.call.Path)+len(j.call.Query) > tooLongURL:
		return verdict{action: giveUp, reason: what + ", the URL is too long"}
	case j.history.failed >= mostFailures:
		return verdict{action: giveUp, reason: what + ", attempts"}
	case !j.permit:
		return verdict{action: giveUp, reason: what + ", retry budget"}
	}
	// A 503 may say when it makes sense to come back.
	v := j.again(max(fullJitter(j.history.failed, j.random), min(a.RetryAfter, limitedMost)), what)
	v.charged = v.action == again
	return v
}

// again asks for one more attempt after wait, if the call has attempts and time
// left.
func (j judgement) again(wait time.Duration, reason string) verdict {
	if j.history.number >= mostAttempts {
		return verdict{action: giveUp, reason: reason + ", attempts"}
	}
	if !j.deadline.IsZero() && j.now.Add(wait+j.usual).After(j.deadline) {
		return verdict{action: giveUp, reason: reason + ", deadline", late: true}
	}
	return verdict{action: again, reason: reason, after: wait}
}

// redirected judges a redirect. The request was not executed, so a write may
// follow a redirect that keeps the method; every other redirect would turn the
// write into a read.
func (j judgement) redirected() verdict {
	a := j.answer
	keeps := a.Status == http.StatusTemporaryRedirect || a.Status == http.StatusPermanentRedirect
	follows := keeps || a.Status == http.StatusMovedPermanently || a.Status == http.StatusFound || a.Status == http.StatusSeeOther
	switch {
	case !follows:
		return verdict{action: giveUp, reason: "a redirect that names no other place"}
	case !keeps && !j.call.read():
		return verdict{action: giveUp, reason: "redirect refused: it would turn the write into a read"}
	case a.Location == nil:
		return verdict{action: giveUp, reason: "redirect refused: it " + a.Refusal}
	case a.Location.Path != j.call.Path:
		// Rules and budgets are about the path that was asked for.
		return verdict{action: giveUp, reason: "redirect refused: it leads to another path"}
	case j.history.hops > j.hops:
		return verdict{action: giveUp, reason: "redirect refused: too many in a row"}
	}
	v := j.again(0, "redirect")
	v.follow = a.Location
	return v
}

// outcomeWords says what an attempt met, by its outcome.
var outcomeWords = map[fault.Outcome]string{
	fault.ServerError: "server error", fault.GatewayError: "gateway error", fault.NotSent: "no connection",
	fault.Reset: "connection broken", fault.Timeout: "no answer in time", fault.Garbled: "unreadable answer",
}

// transient tells whether another attempt may end differently.
func transient(a *dashboard.Result) bool {
	switch a.Outcome {
	case fault.ServerError:
		return a.Status != http.StatusNotImplemented
	case fault.Garbled:
		return !errors.Is(a.Err, dashboard.ErrTooLarge)
	case fault.GatewayError, fault.NotSent, fault.Reset, fault.Timeout:
		return true
	}
	return a.Status == http.StatusRequestTimeout
}

// repeatable tells whether executing the call twice does no harm.
func repeatable(c *Call) bool {
	switch c.Operation.GetRetryClass() {
	case apiv1.RetryClass_RETRY_CLASS_READ, apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT:
		return true
	}
	return c.RetryWrites
}
