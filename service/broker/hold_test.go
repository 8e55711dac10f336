package broker

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// holding gives a broker holds of its own, and a function that places one.
func holding() (func(*Config), func(t *testing.T, s hold.Scope, name string)) {
	h := hold.New(hold.Config{Log: slog.New(slog.DiscardHandler)})
	return func(c *Config) { c.Holds = h }, func(t *testing.T, s hold.Scope, name string) {
		t.Helper()
		if _, err := h.Place(t.Context(), time.Now(), hold.Hold{Scope: s, Name: name, Reason: "incident 7"}, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
}

// wasHeld says whether a call was refused for a hold.
func wasHeld(f *fault.Error) bool {
	return f != nil && f.Kind == fault.BudgetExhausted && f.Reason == hold.Reason && f.RetryAfter > 0
}

func bulk(c *Call, caller string) *Call {
	c.Priority, c.Caller = ratelimit.Bulk, caller
	return c
}

// TestHeld: what is held is refused at once and spends nothing; everything else goes on.
func TestHeld(t *testing.T) {
	for name, test := range map[string]struct {
		scope hold.Scope
		of    string
		held  func(*Call) bool
	}{
		"caller":       {hold.CallerBulk, "a", func(c *Call) bool { return c.Priority == ratelimit.Bulk && c.Caller == "a" }},
		"organization": {hold.OrganizationBulk, "1", func(c *Call) bool { return c.Priority == ratelimit.Bulk && c.ID == "1" }},
		"writes":       {hold.AllWrites, "", func(c *Call) bool { return !c.read() }},
	} {
		t.Run(name, func(t *testing.T) {
			with, place := holding()
			d := new(fakeDashboard)
			inBubble(t, d, func(t *testing.T, b *Broker) {
				place(t, test.scope, test.of)
				calls := []*Call{
					read("1", 0), bulk(read("1", 1), "a"), bulk(read("1", 2), "b"), bulk(read("2", 3), "a"),
					write(apiv1.Verb_VERB_PUT, "1"), bulk(write(apiv1.Verb_VERB_PUT, "1"), "a"), bulk(write(apiv1.Verb_VERB_POST, "2"), "b"),
				}
				want := len(calls)
				for i, f := range do(t, b, time.Minute, calls...) {
					if held := test.held(calls[i]); held != wasHeld(f) || !held && f != nil {
						t.Errorf("call %d, held: %v: %v", i, held, f)
					} else if held {
						want--
					}
				}
				if d.count() != want {
					t.Errorf("%d requests, want %d", d.count(), want)
				}
				for i, c := range calls {
					e, err := b.Explain(t.Context(), c)
					if err != nil || wasHeld(e.Refusal) != test.held(c) {
						t.Errorf("call %d explained: %v, %v", i, e.Refusal, err)
					}
				}
			}, with)
		})
	}
}

// TestHeldOwner: the owner of a network is looked up where the bulk of an organization is
// held, and the call itself is not made.
func TestHeldOwner(t *testing.T) {
	with, place := holding()
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result { return ok(`{"id":"N_1","organizationId":"1"}`) }}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		place(t, hold.OrganizationBulk, "1")
		for range 2 {
			if f := do(t, b, time.Minute, bulk(network("N_1", 0), "a"))[0]; !wasHeld(f) {
				t.Errorf("%v", f)
			}
		}
		if d.count() != 1 || d.count("/networks/N_1") != 1 {
			t.Errorf("%d requests", d.count())
		}
	}, with)
}

// TestHeldWhileWaiting: a hold reaches the calls that wait already, and lets a read go on
// for which somebody waits who is not held.
func TestHeldWhileWaiting(t *testing.T) {
	with, place := holding()
	d := new(fakeDashboard)
	inBubble(t, d, func(t *testing.T, b *Broker) {
		var calls []*Call
		for i := range 30 {
			calls = append(calls, bulk(read("1", i), "a"))
		}
		joined := make(chan []*fault.Error)
		waited := make(chan []*fault.Error)
		go func() { waited <- do(t, b, time.Minute, calls...) }()
		synctest.Wait()
		sent := d.count()
		waiting := calls[0]
		for _, c := range calls {
			seen := false
			for _, r := range d.requests {
				seen = seen || r.Query == c.Query
			}
			if !seen {
				waiting = c
			}
		}
		other := *waiting
		other.Caller = "b"
		go func() { joined <- do(t, b, time.Minute, &other) }()
		synctest.Wait()
		place(t, hold.CallerBulk, "a")
		held := 0
		for _, f := range <-waited {
			if wasHeld(f) {
				held++
			} else if f != nil {
				t.Errorf("%v", f)
			}
		}
		if f := (<-joined)[0]; f != nil {
			t.Errorf("the other caller: %v", f)
		}
		if held != 30-sent-1 || d.count() != sent+1 {
			t.Errorf("%d were sent, then %d held; %d requests", sent, held, d.count())
		}
	}, with)
}

// TestHeldAfterAnAttempt: a write that has been sent goes on to its end.
func TestHeldAfterAnAttempt(t *testing.T) {
	with, place := holding()
	first := true
	d := &fakeDashboard{answer: func(*dashboard.Request) *dashboard.Result {
		if first {
			first = false
			place(t, hold.AllWrites, "")
			return status(429)
		}
		return ok("{}")
	}}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if f := do(t, b, time.Minute, write(apiv1.Verb_VERB_PUT, "1"))[0]; f != nil || d.count() != 2 {
			t.Errorf("%v, %d requests", f, d.count())
		}
	}, with)
}
