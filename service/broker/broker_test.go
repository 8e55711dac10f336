package broker

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/owner"
	"github.com/merakibroker/merakibroker/service/record"
)

func TestCallsStayWithinTheBudget(t *testing.T) {
	d := &fakeDashboard{delay: 50 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		var calls []*Call
		for i := range 108 {
			calls = append(calls, read("1", i))
			calls[i].Priority = 2
		}
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(begun); took < 10*time.Second || took > 10*time.Second+100*time.Millisecond {
			t.Errorf("108 calls at 10/s with a burst of 8 took %v, want 10.05 s", took)
		}
		bucketCheck(t, d.times, 10, 8)
	})
}

func TestFirstCallsDoNotWait(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for i := range 8 {
			a, err := b.Do(t.Context(), read("1", i))
			if err != nil {
				t.Fatal(err)
			}
			if a.Queue != 0 || a.Cache != CacheMiss || len(a.Attempts) != 1 || a.Organization != "1" {
				t.Errorf("answer %+v", a)
			}
		}
	})
}

func TestEveryAttemptPays(t *testing.T) {
	turn := 0
	d := &fakeDashboard{answer: func(r *dashboard.Request) *dashboard.Result {
		turn++
		switch turn {
		case 1:
			a := status(429)
			a.HasRetryAfter, a.RetryAfter = true, 2*time.Second
			return a
		case 2:
			return status(502)
		case 3:
			a := status(307)
			a.Outcome, a.Location = fault.Redirect, &dashboard.Target{Host: "https://n1.meraki.com", Path: r.Path, Query: r.Query}
			return a
		}
		a := ok("{}")
		a.Host = r.Host
		return a
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		a, err := b.Do(t.Context(), read("1", 0))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Attempts) != 4 || d.count() != 4 {
			t.Errorf("%d attempts on the answer, %d at the Dashboard, want 4", len(a.Attempts), d.count())
		}
		if took := time.Since(begun); took < 2*time.Second {
			t.Errorf("the call came back %v after a 429 that asked for 2 s", took)
		}
		if s := b.Budget("1"); s.Attempts != 4 || s.RateLimited != 1 || s.Rate >= 10 {
			t.Errorf("budget %+v", s)
		}
		// The shard that the redirect taught is asked directly now.
		if _, err := b.Do(t.Context(), read("1", 1)); err != nil {
			t.Fatal(err)
		}
		if got := d.requests[4].Host; got != "https://n1.meraki.com" {
			t.Errorf("host %q", got)
		}
		if n := len(b.Record().List(record.AttemptFilter{})); n != 5 {
			t.Errorf("%d attempts on record", n)
		}
	})
}

func TestA429StopsTheLane(t *testing.T) {
	first := true
	d := &fakeDashboard{delay: 20 * time.Millisecond}
	d.answer = func(*dashboard.Request) *dashboard.Result {
		if first {
			first = false
			a := status(429, "API rate limit exceeded for organization")
			a.HasRetryAfter, a.RetryAfter = true, 3*time.Second
			return a
		}
		return ok("{}")
	}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		go func() { _, _ = b.Do(t.Context(), read("1", 0)) }()
		synctest.Wait()
		if err := pause(t.Context(), 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		other := read("1", 1)
		other.Caller, other.Priority = "b", 2
		if _, err := b.Do(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < 3*time.Second {
			t.Errorf("another caller's call left %v after a 429 that stops the lane for 3 s", took)
		}
		// Another organization is not concerned.
		begun = time.Now()
		if _, err := b.Do(t.Context(), read("2", 1)); err != nil || time.Since(begun) > time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestRefusedBeforeAnythingIsSpent(t *testing.T) {
	d := &fakeDashboard{delay: 100 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var background []*Call
		for i := range 58 { // a burst of 8, and 50 that wait 5 s
			c := read("1", i)
			c.Priority = 2
			background = append(background, c)
		}
		done := make(chan struct{})
		go func() { defer close(done); do(t, b, time.Minute, background...) }()
		synctest.Wait()
		before := d.count()
		begun := time.Now()
		late := read("1", 1000)
		late.Priority = 2
		f := do(t, b, 2*time.Second, late)[0]
		if f == nil || f.Kind != fault.BudgetExhausted || f.Budget != "organization:1" {
			t.Fatalf("fault %+v", f)
		}
		if time.Since(begun) != 0 || d.count() != before {
			t.Errorf("refused after %v, %d attempts", time.Since(begun), d.count()-before)
		}
		if f.RetryAfter < 2900*time.Millisecond || f.RetryAfter > 4*time.Second {
			t.Errorf("come back after %v: 5 s wait, 2 s given", f.RetryAfter)
		}
		// The delay holds: the same call fits then.
		if err := pause(t.Context(), f.RetryAfter); err != nil {
			t.Fatal(err)
		}
		if f := do(t, b, 2*time.Second, late)[0]; f != nil {
			t.Errorf("refused again: %v", f)
		}
		<-done
	})
}

func TestDeadlineWhileWaitingIsToldInTime(t *testing.T) {
	// The estimate says it fits; then a 429 stops the lane for longer.
	d := &fakeDashboard{delay: 10 * time.Millisecond}
	d.answer = func(*dashboard.Request) *dashboard.Result {
		a := status(429)
		a.HasRetryAfter, a.RetryAfter = true, 30*time.Second
		return a
	}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 12 {
			calls = append(calls, read("1", i))
		}
		begun := time.Now()
		for _, f := range do(t, b, 5*time.Second, calls...) {
			if f == nil {
				t.Fatal("a call succeeded")
			}
			switch f.Kind {
			case fault.RateLimited, fault.BudgetExhausted:
			default:
				t.Errorf("fault %v: %v", f.Kind, f)
			}
			if f.RetryAfter < 25*time.Second || f.RetryAfter > 45*time.Second {
				t.Errorf("%v: come back after %v, want about 30 s", f.Kind, f.RetryAfter)
			}
		}
		if time.Since(begun) >= 5*time.Second {
			t.Error("the answers came after the deadline")
		}
	})
}

func TestOwnLimitDoesNotShrinkTheOrganization(t *testing.T) {
	n := 0
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		if n++; n == 1 {
			return status(429)
		}
		return ok("{}")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		b.owners.Learn(time.Now(), []owner.Fact{{Serial: "Q2", Organization: "1"}})
		ping := func() *Call {
			c := device("Q2", 0)
			c.Operation = operation("createDeviceLiveToolsPing", apiv1.Verb_VERB_POST, apiv1.Scope_SCOPE_DEVICE)
			c.Operation.Limit = &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 5, Key: "serial"}
			return c
		}
		if _, err := b.Do(t.Context(), ping()); err != nil {
			t.Fatal(err)
		}
		if s := b.Budget("1"); s.Rate != 10 || s.RateLimited != 0 || s.Attempts != 2 {
			t.Errorf("the organization's budget: %+v", s)
		}
		begun := time.Now()
		for range 5 {
			if _, err := b.Do(t.Context(), ping()); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took < 10*time.Second {
			t.Errorf("5 pings after a 429 took %v", took)
		}
	})
}

func TestWriteWithUnknownOutcomeStaysSo(t *testing.T) {
	// A PUT that may have been executed, and is then held up by the lane until its
	// time is over, must not end as "refused".
	n := 0
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		if n++; n == 1 {
			return status(502)
		}
		a := status(429)
		a.HasRetryAfter, a.RetryAfter = true, 30*time.Second
		return a
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		f := do(t, b, 5*time.Second, write(apiv1.Verb_VERB_PUT, "1"))[0]
		if f == nil || f.Kind != fault.OutcomeUnknown {
			t.Errorf("fault %v", f)
		}
	})
}

// TestAReadThatWaitsAgainEndsAsTheWaitDoes, and tells what its attempt has met.
func TestAReadThatWaitsAgainEndsAsTheWaitDoes(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		d.answer = func(*dashboard.Request) *dashboard.Result { // the next attempt has to wait
			b.lanes.Owe("1", 20)
			return status(500, "ouch")
		}
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		_, err := b.Do(ctx, read("1", 1))
		if f := fault.As(err); f == nil || f.Kind != fault.Cancelled || len(f.Attempts) != 1 || f.HTTPStatus != 500 {
			t.Errorf("%+v", f)
		}
	}, func(c *Config) { c.Budgets.Rate, c.Budgets.Burst = 0.1, 1 })
}

// TestAnEarlierAttemptMayHaveBeenExecuted: the caller is told so where the last one
// surely was not.
func TestAnEarlierAttemptMayHaveBeenExecuted(t *testing.T) {
	n := 0
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		if n++; n == 1 {
			return status(502)
		}
		return status(400, "name is wrong")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		f := do(t, b, time.Minute, write(apiv1.Verb_VERB_PUT, "1"))[0]
		if f == nil || f.Kind != fault.OutcomeUnknown || !strings.Contains(f.Detail, "an earlier one may have been executed") {
			t.Errorf("%+v", f)
		}
	})
	inBubble(t, &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { return status(502) }}, func(t *testing.T, b *Broker) {
		f := do(t, b, time.Minute, write(apiv1.Verb_VERB_PUT, "1"))[0]
		if f == nil || f.Kind != fault.OutcomeUnknown || !strings.Contains(f.Detail, "the write may have been executed or not") {
			t.Errorf("%+v", f)
		}
	})
}

// TestAnAcceptedWriteIsNotSentAgain: 2xx says that it was executed, whatever follows.
func TestAnAcceptedWriteIsNotSentAgain(t *testing.T) {
	for name, a := range map[string]dashboard.Result{
		"HTML":        {Outcome: fault.Garbled, Status: 200, MaybeExecuted: true},
		"cut":         {Outcome: fault.Reset, Status: 201, MaybeExecuted: true},
		"a slow body": {Outcome: fault.Timeout, Status: 200, MaybeExecuted: true},
	} {
		for _, verb := range []apiv1.Verb{apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_POST, apiv1.Verb_VERB_DELETE} {
			d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { once := a; return &once }}
			inBubble(t, d, func(t *testing.T, b *Broker) {
				c := write(verb, "1")
				c.RetryWrites = true
				f := do(t, b, time.Minute, c)[0]
				if f == nil || f.Kind != fault.OutcomeUnknown || f.Reason != reasonUnreadable || d.count() != 1 {
					t.Errorf("%s, %v: %+v after %d attempts", name, verb, f, d.count())
				}
			})
		}
	}
}

// TestA502ToALongURL is answered for its length: two attempts tell.
func TestA502ToALongURL(t *testing.T) {
	for length, want := range map[int]int{1400: mostFailures, 1600: 2} {
		d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { return status(502) }}
		inBubble(t, d, func(t *testing.T, b *Broker) {
			c := read("1", 0)
			c.Query = strings.Repeat("q", length-len(c.Path))
			f := do(t, b, time.Minute, c)[0]
			if f == nil || f.Kind != fault.Unreachable || !strings.Contains(f.Detail, "fewer ids") || d.count() != want {
				t.Errorf("%d bytes: %v after %d attempts, want %d", length, f, d.count(), want)
			}
		})
	}
}

func TestCallerWhoLeavesCostsNothing(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		for i := range 8 {
			if _, err := b.Do(t.Context(), read("1", i)); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 20 {
			go func() { _, _ = b.Do(ctx, read("1", 100+i)) }()
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		begun := time.Now()
		if _, err := b.Do(t.Context(), read("1", 500)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 101*time.Millisecond {
			t.Errorf("the call after 20 that left waited %v", took)
		}
		if d.count() != 9 {
			t.Errorf("%d requests", d.count())
		}
	})
}

func TestDrain(t *testing.T) {
	d := &fakeDashboard{delay: time.Second}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 12 {
			calls = append(calls, read("1", i))
			if i%2 == 0 {
				calls[i] = write(apiv1.Verb_VERB_POST, "1")
			}
		}
		out := make(chan []*fault.Error)
		go func() { out <- do(t, b, time.Minute, calls...) }()
		synctest.Wait()
		b.Drain()
		sent, refused := 0, 0
		for _, f := range <-out {
			switch {
			case f == nil:
				sent++
			case f.Kind == fault.Draining:
				refused++
			default:
				t.Error(f)
			}
		}
		if sent != 8 || refused != 4 {
			t.Errorf("%d finished, %d refused", sent, refused)
		}
		if f := do(t, b, time.Second, read("2", 0))[0]; f == nil || f.Kind != fault.Draining {
			t.Errorf("after drain: %v", f)
		}
	})
}

func TestDefaultDeadline(t *testing.T) {
	d := &fakeDashboard{delay: time.Hour}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		begun := time.Now()
		_, err := b.Do(t.Context(), read("1", 0))
		if f := fault.As(err); f == nil || f.Kind != fault.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		if took := time.Since(begun); took != time.Minute {
			t.Errorf("a call without a deadline ended after %v", took)
		}
	})
}
