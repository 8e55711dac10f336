package broker

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

var judged = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

// calls are the methods that the judge tells apart.
var judgedCalls = []struct {
	name string
	call Call
}{
	{"read", Call{Operation: &apiv1.Operation{Id: "getThing", Verb: apiv1.Verb_VERB_GET, RetryClass: apiv1.RetryClass_RETRY_CLASS_READ}}},
	{"put", Call{Operation: &apiv1.Operation{Id: "updateThing", Verb: apiv1.Verb_VERB_PUT, RetryClass: apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT}}},
	{"delete", Call{Operation: &apiv1.Operation{Id: "deleteNetwork", Verb: apiv1.Verb_VERB_DELETE, RetryClass: apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT}}},
	{"post", Call{Operation: &apiv1.Operation{Id: "createThing", Verb: apiv1.Verb_VERB_POST, RetryClass: apiv1.RetryClass_RETRY_CLASS_UNSAFE}}},
	{"post, may repeat", Call{RetryWrites: true, Operation: &apiv1.Operation{Id: "createThing", Verb: apiv1.Verb_VERB_POST, RetryClass: apiv1.RetryClass_RETRY_CLASS_UNSAFE}}},
}

// answers are the ways in which an attempt ends.
var judgedAnswers = []struct {
	name   string
	answer dashboard.Result
}{
	{"200", dashboard.Result{Outcome: fault.OK, Status: 200, MaybeExecuted: true}},
	{"200 too large", dashboard.Result{Outcome: fault.Garbled, Status: 200, MaybeExecuted: true, Err: dashboard.ErrTooLarge}},
	{"200 cut", dashboard.Result{Outcome: fault.Garbled, Status: 200, MaybeExecuted: true, Err: io.ErrUnexpectedEOF}},
	{"302", dashboard.Result{Outcome: fault.Redirect, Status: 302, Location: &dashboard.Target{Host: "https://n1.meraki.com"}}},
	{"304", dashboard.Result{Outcome: fault.Redirect, Status: 304}},
	{"308", dashboard.Result{Outcome: fault.Redirect, Status: 308, Location: &dashboard.Target{Host: "https://n1.meraki.com"}}},
	{"308 astray", dashboard.Result{Outcome: fault.Redirect, Status: 308, Location: &dashboard.Target{Path: "/organizations/2"}}},
	{"308 elsewhere", dashboard.Result{Outcome: fault.Redirect, Status: 308, Refusal: "leads to a host outside of the vendor's domains"}},
	{"400", dashboard.Result{Outcome: fault.Refused, Status: 400, Messages: []string{"VLANs are not enabled for this network"}}},
	{"400 batches", dashboard.Result{Outcome: fault.Refused, Status: 400, Messages: []string{"Too many concurrently executing batches. Maximum is 5 confirmed but not yet executed batches."}}},
	{"400 deletes", dashboard.Result{Outcome: fault.Refused, Status: 400, Messages: []string{"This may be due to concurrent requests to delete networks."}}},
	{"401", dashboard.Result{Outcome: fault.Refused, Status: 401}},
	{"403", dashboard.Result{Outcome: fault.Refused, Status: 403}},
	{"404", dashboard.Result{Outcome: fault.Refused, Status: 404}},
	{"408", dashboard.Result{Outcome: fault.Refused, Status: 408, MaybeExecuted: true}},
	{"409", dashboard.Result{Outcome: fault.Refused, Status: 409}},
	{"429", dashboard.Result{Outcome: fault.Limited, Status: 429}},
	{"429 for 5 s", dashboard.Result{Outcome: fault.Limited, Status: 429, RetryAfter: 5 * time.Second, HasRetryAfter: true}},
	{"500", dashboard.Result{Outcome: fault.ServerError, Status: 500, MaybeExecuted: true}},
	{"501", dashboard.Result{Outcome: fault.ServerError, Status: 501}},
	{"502", dashboard.Result{Outcome: fault.GatewayError, Status: 502, MaybeExecuted: true}},
	{"503", dashboard.Result{Outcome: fault.GatewayError, Status: 503, MaybeExecuted: true}},
	{"503 for 5 s", dashboard.Result{Outcome: fault.GatewayError, Status: 503, MaybeExecuted: true, RetryAfter: 5 * time.Second, HasRetryAfter: true}},
	{"504", dashboard.Result{Outcome: fault.GatewayError, Status: 504, MaybeExecuted: true}},
	{"not sent", dashboard.Result{Outcome: fault.NotSent}},
	{"unusable", dashboard.Result{Outcome: fault.NotSent, Err: fmt.Errorf("x: %w", dashboard.ErrUnusable)}},
	{"reset", dashboard.Result{Outcome: fault.Reset, MaybeExecuted: true}},
	{"timeout", dashboard.Result{Outcome: fault.Timeout, MaybeExecuted: true}},
	{"left", dashboard.Result{Outcome: fault.Left, MaybeExecuted: true}},
}

// judgedCases are the columns of the table: which attempt it was, and how much
// time is left.
var judgedCases = []struct {
	name   string
	number int
	left   time.Duration
}{
	{"first, time", 1, time.Minute},
	{"first, no time", 1, 10 * time.Millisecond},
	{"last, time", mostFailures, time.Minute},
	{"last, no time", mostFailures, 10 * time.Millisecond},
}

// judgementOf is a case of the table. All attempts before the one that is judged
// were resets that may have been executed; where such a one is never followed by
// another, they had no connection.
func judgementOf(c *Call, a dashboard.Result, number int, left time.Duration) judgement {
	j := judgement{
		call: c, answer: &a, hops: 5,
		now: judged, deadline: judged.Add(left), usual: 50 * time.Millisecond, permit: true, random: 0.5,
	}
	before := &dashboard.Result{Outcome: fault.Reset, MaybeExecuted: true}
	if !repeatable(c) {
		before = &dashboard.Result{Outcome: fault.NotSent}
	}
	for range number - 1 {
		j.history.add(c.Operation.GetId(), before)
	}
	j.history.add(c.Operation.GetId(), &a)
	return j
}

// The whole table stands in testdata/judge.txt, for people: what becomes of a
// call by method, answer, attempt and time, and what a caller is told when it is
// given up. A change of a rule shows there. Write it anew with UPDATE=1.
func TestJudgeTable(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, c := range judgedCalls {
		fmt.Fprintf(w, "%s\t", strings.ToUpper(c.name))
		for _, k := range judgedCases {
			fmt.Fprintf(w, "%s\t", k.name)
		}
		fmt.Fprintln(w)
		for _, a := range judgedAnswers {
			fmt.Fprintf(w, "%s\t", a.name)
			for _, k := range judgedCases {
				j := judgementOf(&c.call, a.answer, k.number, k.left)
				fmt.Fprintf(w, "%s\t", cell(j, judge(j)))
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	lines := strings.Split(b.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	got := strings.TrimRight(strings.Join(lines, "\n"), "\n") + "\n"
	const file = "testdata/judge.txt"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(lines) || lines[i] != line {
			t.Fatalf("line %d of %s:\n%s\nis now:\n%s", i+1, file, line, lines[min(i, len(lines)-1)])
		}
	}
}

// cell writes a verdict into the table: what is done, or the kind of the fault.
func cell(j judgement, v verdict) string {
	switch {
	case v.gone:
		return "done (gone)"
	case v.action == done:
		return "done"
	case v.follow != nil:
		return "follow"
	case v.action == giveUp:
		kind := faultOf(failure{call: j.call, answer: j.answer, history: j.history, verdict: v, now: j.now, deadline: j.deadline}).Kind
		if v.stop > 0 {
			return fmt.Sprintf("give up: %s (stop %v)", kind, v.stop)
		}
		return "give up: " + kind.String()
	case v.stop > 0:
		return fmt.Sprintf("again (stop %v)", v.stop)
	}
	return fmt.Sprintf("again after %v", v.after)
}

// What holds for every case, whatever the table says.
func TestJudgeHolds(t *testing.T) {
	t.Parallel()
	n := 0
	for _, c := range judgedCalls {
		for _, a := range judgedAnswers {
			for _, number := range []int{1, 2, mostFailures - 1, mostFailures, mostAttempts, mostAttempts + 1} {
				for _, left := range []time.Duration{-time.Second, 0, 50 * time.Millisecond, time.Second, 5 * time.Second, time.Minute, -1 << 62} {
					for _, permit := range []bool{true, false} {
						for _, random := range []float64{0, 0.5, 0.999999} {
							j := judgementOf(&c.call, a.answer, number, left)
							if left == -1<<62 {
								j.deadline = time.Time{}
							}
							j.permit, j.random = permit, random
							holds(t, c.name+", "+a.name, j, judge(j))
							n++
						}
					}
				}
			}
		}
	}
	if n < 30_000 {
		t.Errorf("only %d cases", n)
	}
}

func holds(t *testing.T, name string, j judgement, v verdict) {
	t.Helper()
	bad := func(what string) { t.Errorf("%s, attempt %d: %s: %v %+v", name, j.history.number, what, v, v) }
	a := j.answer
	unsafe := j.call.Operation.GetRetryClass() == apiv1.RetryClass_RETRY_CLASS_UNSAFE && !j.call.RetryWrites
	if v.action == again {
		if unsafe && a.MaybeExecuted {
			bad("a write that may have been executed goes again")
		}
		if !j.deadline.IsZero() && j.now.Add(max(v.after, v.stop)+j.usual).After(j.deadline) {
			bad("past the deadline")
		}
		if v.charged && !j.permit {
			bad("charged to an empty budget")
		}
		if j.history.number >= mostAttempts || v.charged && j.history.failed >= mostFailures {
			bad("too many attempts")
		}
	}
	if v.charged && (v.action != again || a.Outcome == fault.Limited || a.Outcome == fault.Redirect || busy(j.call.Operation.GetId(), a) != "") {
		bad("charged for what costs no retry")
	}
	if (v.stop > 0) != (a.Outcome == fault.Limited) || v.stop > limitedMost+time.Second || v.stop != 0 && v.stop < limitedLeast {
		bad("a lane's stop")
	}
	if v.after < 0 || v.after > max(limitedMost, busyMost) {
		bad("a wait out of bounds")
	}
	if (a.Outcome == fault.OK) != (v.action == done && !v.gone) {
		bad("done is not OK")
	}
	if v.gone && (a.Status != 404 || !j.history.before || j.call.Operation.GetVerb() != apiv1.Verb_VERB_DELETE) {
		bad("gone")
	}
	if v.action != done && v.reason == "" {
		bad("no reason")
	}
	if v.action != giveUp {
		return
	}
	f := faultOf(failure{call: j.call, answer: a, history: j.history, verdict: v, now: j.now, deadline: j.deadline})
	if f.Kind == fault.Unknown || f.Kind == fault.Internal || f.Detail == "" || f.Operation == "" {
		bad("a fault without a meaning: " + f.Error())
	}
	// A write that may have been executed is never said to be anything else.
	if !j.call.read() && j.history.maybe && f.Kind != fault.OutcomeUnknown && f.Kind != fault.Cancelled {
		bad("a write that may have been executed ends as " + f.Kind.String())
	}
	if (j.call.read() || !j.history.maybe) && f.Kind == fault.OutcomeUnknown {
		bad("the outcome is known")
	}
	if f.RetryAfter < 0 || f.RetryAfter > limitedMost+time.Second {
		bad("a delay out of bounds")
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		said   time.Duration
		random float64
		want   time.Duration
	}{
		{"missing or 0", 0, 0, time.Second},
		{"with jitter", 0, 0.5, 1050 * time.Millisecond},
		{"a second", time.Second, 0, time.Second},
		{"a fraction", 100 * time.Millisecond, 0, 100 * time.Millisecond},
		{"half a minute", 30 * time.Second, 0.5, 30500 * time.Millisecond},
		{"absurd", math.MaxInt64, 0, time.Minute},
		{"absurd, with jitter", math.MaxInt64, 0.5, time.Minute + 500*time.Millisecond},
	} {
		if got := limitedWait(c.said, c.random); got != c.want {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
}

func TestOwnLimit(t *testing.T) {
	t.Parallel()
	ping := &apiv1.Operation{Id: "createDeviceLiveToolsPing", Limit: &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 5, Key: "serial"}}
	if !ownLimit(ping, nil) || !ownLimit(ping, []string{"Too many pings"}) {
		t.Error("a limit of the operation's own is not seen")
	}
	if ownLimit(ping, []string{"API rate limit exceeded for organization"}) || ownLimit(&apiv1.Operation{}, nil) {
		t.Error("the organization's limit is taken for the operation's")
	}
}

// TestNameless: the API's own 429 names its limit or says when to come back; the one of
// the proxy before it, which limits addresses, does neither.
func TestNameless(t *testing.T) {
	t.Parallel()
	html, json := []string{"429 Too Many Requests"}, []string{"API rate limit exceeded for organization"}
	for _, row := range []struct {
		answer dashboard.Result
		want   bool
	}{
		{dashboard.Result{Messages: html}, true},
		{dashboard.Result{}, true},
		{dashboard.Result{Messages: json, HasRetryAfter: true, RetryAfter: time.Second}, false},
		{dashboard.Result{Messages: json}, false},
		{dashboard.Result{Messages: html, HasRetryAfter: true}, false},
	} {
		row.answer.Outcome, row.answer.Status = fault.Limited, 429
		if v := judge(judgementOf(&judgedCalls[0].call, row.answer, 1, time.Minute)); v.nameless != row.want || v.stop <= 0 {
			t.Errorf("%+v: nameless %v, stopped for %v", row.answer, v.nameless, v.stop)
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	t.Parallel()
	read := &judgedCalls[0].call
	j := judgement{call: read, hops: 5, now: judged, answer: &dashboard.Result{Outcome: fault.Redirect, Status: 302, Location: new(dashboard.Target)}}
	followed := 0
	for {
		j.history.add("getThing", j.answer)
		v := judge(j)
		if v.action != again {
			if v.action != giveUp || !strings.Contains(v.reason, "too many") || followed != 5 {
				t.Errorf("%v after %d redirects", v, followed)
			}
			f := faultOf(failure{call: read, answer: j.answer, history: j.history, verdict: v})
			if f.Kind != fault.RedirectRefused {
				t.Errorf("a circle ends as %v", f.Kind)
			}
			return
		}
		if v.charged || v.after != 0 || v.follow == nil {
			t.Errorf("%+v", v)
		}
		followed++
	}
}

func TestRefuseRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range judgedCalls {
		call := c.call
		if refuseRepeated(&call) != nil {
			t.Errorf("%s: refused although it comes for the first time", c.name)
		}
		call.Repeated = true
		f := refuseRepeated(&call)
		if (f != nil) != (c.name == "post") {
			t.Errorf("%s: %v", c.name, f)
		}
		if f != nil && (f.Kind != fault.OutcomeUnknown || f.Reason != reasonRepeated || !f.NoRetry) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
	if refuseRepeated(&Call{Repeated: true, Operation: &apiv1.Operation{Verb: apiv1.Verb_VERB_POST}}) == nil {
		t.Error("an operation without a retry class is taken for safe")
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for n, most := range map[int]time.Duration{0: 250, 1: 250, 2: 500, 3: 1000, 4: 2000, 5: 4000, 6: 8000, 7: 10000, 100: 10000, math.MaxInt: 10000} {
		most *= time.Millisecond
		if a, b := fullJitter(n, 0), fullJitter(n, 1); a != 0 || b != most {
			t.Errorf("after attempt %d: %v to %v; want 0 to %v", n, a, b, most)
		}
	}
	for n, most := range map[int]time.Duration{1: 5, 2: 10, 3: 20, 4: 40, 5: 60, 6: 60} {
		most *= time.Second
		if a, b := busyWait(n, 0), busyWait(n, 1); a != most/2 || b != most {
			t.Errorf("crowded %d: %v to %v; want %v to %v", n, a, b, most/2, most)
		}
	}
}
