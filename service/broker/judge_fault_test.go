package broker

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// faultAfter is the fault of a call that the judge gave up after the call's first
// attempt brought a.
func faultAfter(c *Call, a dashboard.Result) *fault.Error {
	f := failure{call: c, answer: &a, budget: "organization:1", attempts: []fault.Attempt{{Status: a.Status, Outcome: a.Outcome}}}
	f.history.add(c.Operation.GetId(), &a)
	f.verdict = judge(judgement{call: c, answer: &a, history: f.history, now: judged, deadline: judged.Add(time.Millisecond), random: 0})
	return faultOf(f)
}

// Every row of the vendor's page of errors, and every status of the design's
// table, has a kind and a reason.
func TestFaults(t *testing.T) {
	t.Parallel()
	read, post := judgedCalls[0].call, judgedCalls[3].call
	remove := judgedCalls[2].call
	own := read
	own.OwnKey = true
	refused := func(status int, messages ...string) dashboard.Result {
		return dashboard.Result{Outcome: fault.Refused, Status: status, Messages: messages, RequestID: "id-1"}
	}
	for _, c := range []struct {
		name   string
		call   Call
		answer dashboard.Result
		kind   fault.Kind
		reason string
	}{
		{"400", read, refused(400), fault.BadRequest, ""},
		{"400, a switch", post, refused(400, "VLANs are not enabled for this network"), fault.BadRequest, reasonNotEnabled},
		{"400, a name", post, refused(400, "Name has already been taken"), fault.BadRequest, reasonNameTaken},
		{"400, a name in quotes", post, refused(400, `Validation failed: Name "a: b" has already been taken`), fault.BadRequest, reasonNameTaken},
		{"400, a name among others", post, refused(400, "Number is wrong", "Network name has already been taken"), fault.BadRequest, reasonNameTaken},
		{"400, a VLAN", post, refused(400, "Vlan has already been taken"), fault.BadRequest, reasonExists},
		{"400, an e-mail beside a name", post, refused(400, "Validation failed: Name is too long, Email has already been taken"), fault.BadRequest, reasonExists},
		{"400, a name by field", post, refused(400, "name: has already been taken"), fault.BadRequest, reasonNameTaken},
		{"400, a name by field, inside", post, refused(400, "rules.0.name: have already been taken"), fault.BadRequest, reasonNameTaken},
		{"400, a VLAN by field", post, refused(400, "Name is too long", "id: has already been taken"), fault.BadRequest, reasonExists},
		{"400, a VLAN by field, beside a name", post, refused(400, "name, vlan: has already been taken"), fault.BadRequest, reasonExists},
		{"400, a user name", post, refused(400, "Username has already been taken"), fault.BadRequest, reasonExists},
		{"400, a claim", post, refused(400, "Device with serial Q2XX is already claimed and in Geneva (network ID: L_1)"), fault.BadRequest, reasonClaimed},
		{"400, devices claimed", post, refused(400, "Devices already claimed"), fault.BadRequest, reasonClaimed},
		{"400, unsupported", post, refused(400, "create operation is unsupported for /networks/{network_id}/devices/remove."), fault.BadRequest, reasonUnsupported},
		{"400, unsupported in a batch", post, refused(400, "x", "Unsupported operation"), fault.BadRequest, reasonUnsupported},
		{"400, batches", post, refused(400, "Too many concurrently EXECUTING BATCHES."), fault.RateLimited, reasonBatches},
		{"400, deletes", remove, refused(400, "This may be due to concurrent requests to delete networks."), fault.RateLimited, reasonDeletes},
		{"400, concurrent but no network's deletion", post, refused(400, "concurrent"), fault.BadRequest, ""},
		{"401", read, refused(401, "Missing API key"), fault.KeyRejected, ""},
		{"401 on the caller's key", own, refused(401), fault.CallerKeyRejected, ""},
		{"403", read, refused(403), fault.Forbidden, ""},
		{"403, the address", read, refused(403, "You are trying to access Dashboard from an unauthorized IP address (1.2.3.4)."), fault.Forbidden, reasonAddress},
		{"403, API access", read, refused(403, "API access is disabled for this organization."), fault.APIDisabled, ""},
		{"404", read, refused(404), fault.NotFound, ""},
		{"404, API access", read, refused(404, "To make requests you must first enable API access via https://n1.meraki.com/o/x/manage/organization/edit"), fault.APIDisabled, ""},
		{"405", read, refused(405), fault.BadRequest, ""},
		{"406", read, refused(406), fault.BadRequest, ""},
		{"408", read, dashboard.Result{Outcome: fault.Refused, Status: 408, MaybeExecuted: true}, fault.Unreachable, ""},
		{"408 on a write", post, dashboard.Result{Outcome: fault.Refused, Status: 408, MaybeExecuted: true}, fault.OutcomeUnknown, ""},
		{"409", post, refused(409), fault.Conflict, ""},
		{"410", read, refused(410), fault.BadRequest, ""},
		{"413", post, refused(413), fault.BadRequest, ""},
		{"415", post, refused(415), fault.BadRequest, ""},
		{"422", post, refused(422), fault.BadRequest, ""},
		{"429", post, dashboard.Result{Outcome: fault.Limited, Status: 429}, fault.RateLimited, ""},
		{"500", read, dashboard.Result{Outcome: fault.ServerError, Status: 500, MaybeExecuted: true}, fault.Dashboard, ""},
		{"500 on a write", post, dashboard.Result{Outcome: fault.ServerError, Status: 500, MaybeExecuted: true}, fault.OutcomeUnknown, ""},
		{"501", post, dashboard.Result{Outcome: fault.ServerError, Status: 501}, fault.NotImplemented, ""},
		{"502", read, dashboard.Result{Outcome: fault.GatewayError, Status: 502, MaybeExecuted: true}, fault.Unreachable, ""},
		{"503", read, dashboard.Result{Outcome: fault.GatewayError, Status: 503, MaybeExecuted: true}, fault.Unreachable, ""},
		{"504", read, dashboard.Result{Outcome: fault.GatewayError, Status: 504, MaybeExecuted: true}, fault.Unreachable, ""},
		{"504 on a write", post, dashboard.Result{Outcome: fault.GatewayError, Status: 504, MaybeExecuted: true}, fault.OutcomeUnknown, ""},
		{"a reset", read, dashboard.Result{Outcome: fault.Reset, MaybeExecuted: true}, fault.Unreachable, ""},
		{"a reset on a write", post, dashboard.Result{Outcome: fault.Reset, MaybeExecuted: true}, fault.OutcomeUnknown, ""},
		{"a timeout on a write", post, dashboard.Result{Outcome: fault.Timeout, MaybeExecuted: true}, fault.OutcomeUnknown, ""},
		{"no connection on a write", post, dashboard.Result{Outcome: fault.NotSent}, fault.Unreachable, ""},
		{"what cannot be sent", read, dashboard.Result{Outcome: fault.NotSent, Err: dashboard.ErrUnusable}, fault.BadRequest, ""},
		{"no JSON", read, dashboard.Result{Outcome: fault.Garbled, Status: 200, MaybeExecuted: true}, fault.Malformed, ""},
		{"no JSON after a write", post, dashboard.Result{Outcome: fault.Garbled, Status: 201, MaybeExecuted: true, Err: io.ErrUnexpectedEOF}, fault.OutcomeUnknown, reasonUnreadable},
		{"too much", read, dashboard.Result{Outcome: fault.Garbled, Status: 200, MaybeExecuted: true, Err: dashboard.ErrTooLarge}, fault.TooLarge, ""},
		{"a redirect elsewhere", read, dashboard.Result{Outcome: fault.Redirect, Status: 302, Refusal: "leads elsewhere"}, fault.RedirectRefused, ""},
		{"the caller left", post, dashboard.Result{Outcome: fault.Left, MaybeExecuted: true}, fault.Cancelled, ""},
	} {
		f := faultAfter(&c.call, c.answer)
		if f.Kind != c.kind || f.Reason != c.reason {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, f.Kind, f.Reason, c.kind, c.reason)
		}
		if f.Operation != c.call.Operation.GetId() || f.HTTPStatus != c.answer.Status || len(f.Attempts) != 1 || f.RequestID != c.answer.RequestID {
			t.Errorf("%s: %+v", c.name, f)
		}
		for _, m := range c.answer.Messages {
			if strings.Contains(f.Detail, m) {
				t.Errorf("%s: the detail repeats the Dashboard's words: %s", c.name, f.Detail)
			}
		}
	}
}

func TestFaultDelays(t *testing.T) {
	t.Parallel()
	read := judgedCalls[0].call
	f := faultAfter(&read, dashboard.Result{Outcome: fault.Limited, Status: 429, RetryAfter: 3 * time.Second, HasRetryAfter: true})
	if f.RetryAfter != 3*time.Second || f.Budget != "organization:1" {
		t.Errorf("a 429: %v of %q", f.RetryAfter, f.Budget)
	}
	f = faultAfter(&read, dashboard.Result{Outcome: fault.GatewayError, Status: 503, RetryAfter: time.Hour, HasRetryAfter: true, MaybeExecuted: true})
	if f.RetryAfter != limitedMost {
		t.Errorf("a 503 with Retry-After: %v", f.RetryAfter)
	}
	f = faultAfter(&read, dashboard.Result{Outcome: fault.Refused, Status: 400, Messages: []string{"executing batches"}})
	if f.RetryAfter != busyBase || f.Budget != "" {
		t.Errorf("too many batches: %v of %q", f.RetryAfter, f.Budget)
	}
}

// TestFaultsSayHowOften the Dashboard was asked.
func TestFaultsSayHowOften(t *testing.T) {
	t.Parallel()
	a := &dashboard.Result{Outcome: fault.ServerError, Status: 500}
	f := failure{call: &judgedCalls[0].call, answer: a}
	for _, want := range []string{"in 1 attempt;", "in 2 attempts;", "in 3 attempts;"} {
		f.history.add("x", a)
		if got := faultOf(f).Detail; !strings.Contains(got, want) {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// TestFaultsSayWhatTheyMet: the status where it says something, words where not.
func TestFaultsSayWhatTheyMet(t *testing.T) {
	t.Parallel()
	for want, a := range map[string]*dashboard.Result{
		"HTTP 503":              {Outcome: fault.GatewayError, Status: 503},
		"unreadable answer":     {Outcome: fault.Garbled, Status: 200},
		"no answer in time":     {Outcome: fault.Timeout, Status: 200}, // its body did not come
		"connection broken":     {Outcome: fault.Reset},
		fault.Redirect.String(): {Outcome: fault.Redirect},
	} {
		if got := (failure{answer: a}).met(); got != want {
			t.Errorf("%v: %q; want %q", a.Outcome, got, want)
		}
	}
}

// A call that ran out of time says so, unless it is a write that may have been executed.
func TestFaultAtTheDeadline(t *testing.T) {
	t.Parallel()
	for _, c := range judgedCalls {
		for _, sent := range []bool{true, false} {
			a := &dashboard.Result{Outcome: fault.Timeout, MaybeExecuted: sent}
			if !sent {
				a.Outcome = fault.NotSent
			}
			f := failure{call: &c.call, answer: a, now: judged, deadline: judged}
			f.history.add("x", a)
			want := fault.DeadlineExceeded
			if sent && !c.call.read() {
				want = fault.OutcomeUnknown
			}
			if got := faultOf(f).Kind; got != want {
				t.Errorf("%s, sent %t: %v; want %v", c.name, sent, got, want)
			}
		}
	}
}

func TestFaultKeepsTheCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("dial tcp 10.1.2.3:443: connection refused")
	f := faultAfter(&judgedCalls[0].call, dashboard.Result{Outcome: fault.NotSent, Err: cause})
	if !errors.Is(f, cause) || strings.Contains(f.Error(), "10.1.2.3") {
		t.Errorf("%v", f)
	}
}

func TestLongURL(t *testing.T) {
	t.Parallel()
	c := judgedCalls[0].call
	a := dashboard.Result{Outcome: fault.GatewayError, Status: 502, MaybeExecuted: true}
	if f := faultAfter(&c, a); strings.Contains(f.Detail, "URL") {
		t.Error(f.Detail)
	}
	c.Query = strings.Repeat("networkIds[]=N_1&", 100)
	if f := faultAfter(&c, a); !strings.Contains(f.Detail, "1700 bytes") {
		t.Error(f.Detail)
	}
}
