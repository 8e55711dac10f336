package broker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
)

func TestExplain(t *testing.T) {
	d := &fakeDashboard{delay: 200 * time.Millisecond}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		explain := func(c *Call, timeout time.Duration) Explanation {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			e, err := b.Explain(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		e := explain(read("1", 0), time.Minute)
		if e.Attempts != 1 || e.Organization != "1" || !e.OwnerKnown || e.Wait != 0 || e.ServiceTime != 0 || e.Refusal != nil || e.Budget != "organization:1" {
			t.Errorf("an idle organization: %+v", e)
		}
		if e = explain(network("N_1", 0), time.Minute); e.Attempts != 2 || e.OwnerKnown {
			t.Errorf("an unknown network: %+v", e)
		}
		if e = explain(device("Q1", 0), time.Minute); e.Attempts != 3 || e.OwnerKnown || e.Wait < time.Second {
			t.Errorf("an unknown device: %+v", e)
		}
		b.owners.Learn(time.Now(), []owner.Fact{{Serial: "Q1", Network: "N_1"}})
		if e = explain(device("Q1", 0), time.Minute); e.Attempts != 2 {
			t.Errorf("a device of a known network: %+v", e)
		}
		none := read("1", 0)
		none.Operation = operation("getOrganizations", apiv1.Verb_VERB_GET, apiv1.Scope_SCOPE_NONE)
		if e = explain(none, time.Minute); e.Attempts != 1 || !e.OwnerKnown || e.Organization != "" || e.Budget != "address" {
			t.Errorf("no organization: %+v", e)
		}

		done := make(chan []*fault.Error)
		var calls []*Call
		for i := range 38 {
			calls = append(calls, read("1", i))
			calls[i].Priority = ratelimit.Bulk
		}
		go func() { done <- do(t, b, time.Minute, calls...) }()
		synctest.Wait()
		bulk := read("1", 99)
		bulk.Priority = ratelimit.Bulk
		e = explain(bulk, time.Minute)
		if e.Wait < 3*time.Second || e.Wait > 3200*time.Millisecond || len(e.Behind) != 1 || e.Behind[0].Waiting != 30 || e.Refusal != nil {
			t.Errorf("behind 30: %+v", e)
		}
		if e = explain(bulk, 2*time.Second); e.Refusal == nil || e.Refusal.Kind != fault.BudgetExhausted || e.Refusal.RetryAfter < time.Second {
			t.Errorf("behind 30 with 2 s: %+v", e)
		}
		if e = explain(read("1", 98), 2*time.Second); e.Refusal != nil || len(e.Behind) != 0 {
			t.Errorf("normal before bulk: %+v", e)
		}
		<-done
		if e = explain(read("1", 0), time.Minute); e.ServiceTime < 200*time.Millisecond || e.ServiceTime > 240*time.Millisecond {
			t.Errorf("service time %v, want 200 ms or a fifth more", e.ServiceTime)
		}
		if d.count() != 38 {
			t.Errorf("explaining sent %d requests", d.count()-38)
		}
		b.Drain()
		if e = explain(read("1", 0), time.Minute); e.Refusal == nil || e.Refusal.Kind != fault.Draining {
			t.Errorf("while draining: %+v", e)
		}
	})
}

func TestBudgets(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if s := b.Budget("1"); s.Rate != 10 || s.Ceiling != 10 || s.Burst != 8 || s.Tokens != 8 || s.Attempts != 0 || s.Organization != "1" {
			t.Errorf("before anything: %+v", s)
		}
		all, version := b.Budgets(0)
		if len(all) != 1 || all[0].Organization != "" {
			t.Errorf("%+v", all)
		}
		if again, same := b.Budgets(version); len(again) != 0 || same != version {
			t.Errorf("nothing has changed: %+v", again)
		}
		done := make(chan []*fault.Error)
		var calls []*Call
		for i := range 12 {
			calls = append(calls, read("1", i))
			if i >= 10 {
				calls[i].Caller, calls[i].Priority = "b", ratelimit.Critical
			}
		}
		go func() { done <- do(t, b, time.Minute, calls...) }()
		synctest.Wait()
		_ = pause(t.Context(), 50*time.Millisecond)
		changed, next := b.Budgets(version)
		if len(changed) != 2 || changed[1].Organization != "1" || changed[1].Waiting != 4 || next == version {
			t.Fatalf("%+v", changed)
		}
		oldest := changed[1].Classes[len(changed[1].Classes)-1]
		if oldest.Oldest != 50*time.Millisecond || changed[1].Attempts != 8 {
			t.Errorf("%+v", changed[1])
		}
		if only, _ := b.Budgets(0, "2", ""); len(only) != 1 || only[0].Key != "address" {
			t.Errorf("%+v", only)
		}
		<-done
		if s := b.Budget(""); s.Attempts != 12 || s.Waiting != 0 {
			t.Errorf("the address: %+v", s)
		}
	})
}

func TestUsualServiceTime(t *testing.T) {
	t.Parallel()
	var s serviceTimes
	now := time.Now()
	for i := range 4 {
		s.observe("a", now, time.Second)
		if got := s.usual("a", now); got != 0 {
			t.Errorf("%v after %d samples", got, i+1)
		}
	}
	for i := range 1000 {
		d := 100 * time.Millisecond
		if i%20 == 0 {
			d = 10 * time.Second
		}
		s.observe("a", now, d)
	}
	if got := s.usual("a", now); got < 100*time.Millisecond || got > 120*time.Millisecond {
		t.Errorf("p90 is %v: one in twenty takes 10 s, the others 100 ms", got)
	}
	for range 1000 {
		s.observe("a", now, 3*time.Second)
	}
	if got := s.usual("a", now); got < 3*time.Second || got > 3600*time.Millisecond {
		t.Errorf("p90 is %v after a thousand of 3 s", got)
	}
	if got := s.usual("a", now.Add(serviceStale+time.Second)); got != 0 {
		t.Errorf("%v after a minute without samples", got)
	}
	if got := s.usual("b", now); got != 0 {
		t.Errorf("an unknown operation: %v", got)
	}
	for _, d := range []time.Duration{0, time.Microsecond, time.Hour} {
		s.observe("c", now, d)
	}
	// One probe a second; one that is fast ends the doubt at once.
	if !s.probe("a", now) || s.probe("a", now) || !s.probe("a", now.Add(time.Second)) {
		t.Error("not one probe a second")
	}
	if s.disprove("a", now, 2*time.Second); s.usual("a", now) == 0 {
		t.Error("a probe that took nearly the usual time has wiped the estimate")
	}
	if s.disprove("a", now, 90*time.Millisecond); s.usual("a", now) != 0 {
		t.Errorf("%v after a probe that took 90 ms", s.usual("a", now))
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := Config{Dashboard: &fakeDashboard{}, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}}
	for name, change := range map[string]func(*Config){
		"no dashboard": func(c *Config) { c.Dashboard = nil },
		"no scheduler": func(c *Config) { c.Budgets.Scheduler = nil },
		"rate":         func(c *Config) { c.Budgets.Rate = -1 },
		"deadline":     func(c *Config) { c.Deadline = -time.Second },
		"lane length":  func(c *Config) { c.Budgets.Length = -1 },
	} {
		c := good
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	b, err := New(good)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	b.Close()
	if _, err := b.Do(t.Context(), read("1", 0)); fault.As(err) == nil || fault.As(err).Kind != fault.Draining {
		t.Errorf("after Close: %v", err)
	}
	for _, c := range []*Call{{Operation: &apiv1.Operation{}}, {Operation: askNetwork, Path: "x"}, {Operation: askNetwork, Path: "/x", Priority: 9}, {Operation: askNetwork, Path: "/x", MaxAge: -1}} {
		if _, err := b.Do(t.Context(), c); err == nil || fault.As(err).Kind == fault.Draining {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestConfigurationsThatMakeNoSense are refused, each for itself.
func TestConfigurationsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Config){
		"Deadline":  func(c *Config) { c.Deadline = -1 },
		"BatchHold": func(c *Config) { c.BatchHold = -1 },
		"Batches":   func(c *Config) { c.Batches = -1 },
		"Redirects": func(c *Config) { c.Redirects = -1 },
		"Dashboard": func(c *Config) { c.Dashboard = nil },
	} {
		c := Config{Dashboard: &fakeDashboard{}, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}}
		change(&c)
		if b, err := New(c); err == nil {
			b.Close()
			t.Errorf("%s below 0 is taken", name)
		}
	}
}

// TestExplainWhatIsAtHand: an answer that is kept costs nothing.
func TestExplainWhatIsAtHand(t *testing.T) {
	inBubble(t, &fakeDashboard{}, func(t *testing.T, b *Broker) {
		c := read("1", 0)
		c.MaxAge = time.Minute
		for _, want := range []int{1, 0} {
			if e, err := b.Explain(t.Context(), c); err != nil || e.Attempts != want || e.Refusal != nil {
				t.Errorf("%+v, %v; want %d attempts", e, err, want)
			}
			if _, err := b.Do(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	})
}
