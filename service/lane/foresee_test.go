package lane

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A fixed scheduler is in one state for ever, and grants nothing.
type fixed struct {
	ratelimit.Scheduler
	state ratelimit.State
}

func (f *fixed) Peek(time.Time, ratelimit.Budget) ratelimit.State { return f.state }
func (f *fixed) Pull(context.Context, time.Time, ratelimit.Ask) (ratelimit.Grant, error) {
	return ratelimit.Grant{Again: -1, State: f.state}, nil
}

var noon = time.Unix(1000, 0)

// near tells times that differ by less than a rounding error.
func near(a, b time.Duration) bool { return (a - b).Abs() < time.Microsecond }

// TestWaits: the estimate of a wait is the rest of a stop, and the calls ahead at the
// rate in force, or at the pace at which this one of several replicas is served.
func TestWaits(t *testing.T) {
	t.Parallel()
	a, bulk := classOf(ratelimit.Normal, "a"), classOf(ratelimit.Bulk, "a")
	for name, c := range map[string]struct {
		state       ratelimit.State
		pace        pace
		waiting     map[ratelimit.Class]int
		wait, least time.Duration
	}{
		"a token is there":           {state: ratelimit.State{Tokens: 1, Rate: 4}},
		"half a token":               {state: ratelimit.State{Tokens: 0.5, Rate: 4}, wait: 125 * time.Millisecond, least: 125 * time.Millisecond},
		"eight before it":            {state: ratelimit.State{Tokens: 1, Rate: 4}, waiting: map[ratelimit.Class]int{a: 8}, wait: 2 * time.Second},
		"bulk does not count":        {state: ratelimit.State{Tokens: 1, Rate: 4}, waiting: map[ratelimit.Class]int{bulk: 8}},
		"stopped":                    {state: ratelimit.State{Tokens: 2, Rate: 4, StoppedUntil: noon.Add(3 * time.Second)}, wait: 3 * time.Second, least: 3 * time.Second},
		"stopped and empty":          {state: ratelimit.State{Rate: 4, StoppedUntil: noon.Add(3 * time.Second)}, wait: 3250 * time.Millisecond, least: 3250 * time.Millisecond},
		"a stop that is over":        {state: ratelimit.State{Rate: 4, StoppedUntil: noon.Add(-time.Second)}, wait: 250 * time.Millisecond, least: 250 * time.Millisecond},
		"no rate is known":           {wait: 100 * time.Millisecond, least: 100 * time.Millisecond},
		"one of two, served slowly":  {state: ratelimit.State{Rate: 4, Replicas: 2}, pace: pace{gap: 0.4, last: noon}, wait: 400 * time.Millisecond, least: 400 * time.Millisecond},
		"never below an even share":  {state: ratelimit.State{Rate: 4, Replicas: 2}, pace: pace{gap: 2, last: noon}, wait: 500 * time.Millisecond, least: 500 * time.Millisecond},
		"never above the rate":       {state: ratelimit.State{Rate: 4, Replicas: 2}, pace: pace{gap: 0.1, last: noon}, wait: 250 * time.Millisecond, least: 250 * time.Millisecond},
		"alone, the pace is nothing": {state: ratelimit.State{Rate: 4, Replicas: 1}, pace: pace{gap: 0.4, last: noon}, wait: 250 * time.Millisecond, least: 250 * time.Millisecond},
		"a pace of a while ago":      {state: ratelimit.State{Rate: 4, Replicas: 2}, pace: pace{gap: 0.3, last: noon.Add(-1600 * time.Millisecond)}, wait: 400 * time.Millisecond, least: 400 * time.Millisecond},
		"a pace that is forgotten":   {state: ratelimit.State{Rate: 4, Replicas: 2}, pace: pace{gap: 0.4, last: noon.Add(-61 * time.Second)}, wait: 250 * time.Millisecond, least: 250 * time.Millisecond},
	} {
		l := &lane{budget: ratelimit.Budget{Rate: 10}, sched: &fixed{state: c.state}, pace: c.pace, queue: *filled(c.waiting)}
		if got := l.wait(noon, a, 1); !near(got, c.wait) {
			t.Errorf("%s: a wait of %v, want %v", name, got, c.wait)
		}
		if got := l.waitLeast(noon); !near(got, c.least) {
			t.Errorf("%s: no slot for %v, want %v", name, got, c.least)
		}
		address := &lane{budget: ratelimit.Budget{Rate: 10}, sched: &fixed{state: ratelimit.State{Rate: 2}}}
		l.address = address
		if got, want := l.foresee(noon, a, 1), max(c.wait, 500*time.Millisecond); !near(got, want) {
			t.Errorf("%s: behind the address a wait of %v, want %v", name, got, want)
		}
	}
}

// TestPace: it is smoothed, counts only while calls wait, and by slot.
func TestPace(t *testing.T) {
	t.Parallel()
	var p pace
	if p.rate(noon) != 0 {
		t.Errorf("%v before anything was served", p.rate(noon))
	}
	p.served(noon, 1, true)
	p.served(noon.Add(time.Second), 2, true) // two in a second
	if got := p.rate(noon.Add(time.Second)); got != 2 {
		t.Errorf("%v, want 2", got)
	}
	p.served(noon.Add(2500*time.Millisecond), 1, true) // one in 1.5 s
	if got := 1 / p.rate(noon.Add(2500*time.Millisecond)); got < 0.5999 || got > 0.6001 {
		t.Errorf("a gap of %v, want 0.6", got)
	}
	p.served(noon.Add(3*time.Second), 0, false)
	p.served(noon.Add(time.Minute), 1, true) // nobody has waited in between
	if got := 1 / p.rate(noon.Add(time.Minute)); got < 0.5999 || got > 0.6001 {
		t.Errorf("a gap of %v after a lull, want 0.6", got)
	}
	if p.rate(noon.Add(2*time.Minute)) == 0 || p.rate(noon.Add(2*time.Minute+1)) != 0 {
		t.Error("a pace is forgotten after a minute")
	}
}

// TestFits: a call is let in when its wait and its attempt fit into the time that is
// left, and is told otherwise when it would.
func TestFits(t *testing.T) {
	t.Parallel()
	a := classOf(ratelimit.Normal, "a")
	const second = time.Second
	for name, c := range map[string]struct {
		waiting       int
		stopped       time.Duration
		sent          bool
		left, service time.Duration
		probe         bool
		fits, asked   bool
		wait, after   time.Duration // after is without the slack
	}{
		"just in time":                   {waiting: 4, left: 3 * second, service: 2 * second, fits: true},
		"a moment too late":              {waiting: 4, left: 3*second - 1, service: 2 * second, wait: second, after: 1},
		"two seconds too late":           {waiting: 4, left: second, service: 2*second + 1, wait: 3*second + 1, after: second},
		"the service alone, and a probe": {waiting: 4, left: second + shortestAttempt, service: 2 * second, probe: true, asked: true, fits: true},
		"too late also for a probe":      {waiting: 4, left: second + shortestAttempt - 1, service: 2 * second, probe: true, wait: 3 * second, after: second},
		"one that has sent":              {waiting: 400, sent: true, left: second, service: second, fits: true},
		"one that has sent, in a stop":   {sent: true, stopped: 2 * second, left: second, service: second, wait: 2 * second, after: 2 * second},
	} {
		l := &lane{
			budget: ratelimit.Budget{Rate: 4}, queue: *filled(map[ratelimit.Class]int{a: c.waiting}), set: &Lanes{},
			sched: &fixed{state: ratelimit.State{Tokens: 1, Rate: 4, StoppedUntil: noon.Add(c.stopped)}},
		}
		asked := false
		r := l.fits(noon, &waiter{class: a, weight: 1, sent: c.sent}, c.left, c.service, func() bool { asked = true; return c.probe })
		if (r == nil) != c.fits || asked != c.asked {
			t.Errorf("%s: %+v, probe asked: %v", name, r, asked)
			continue
		}
		// The slack is 200 ms, a twentieth of the delay, and one turn at the lane's rate.
		if want := c.after + c.after/20 + slack + 250*time.Millisecond; r != nil && (r.why != refusedDeadline || !near(r.wait, c.wait) || !near(r.after, want)) {
			t.Errorf("%s: %+v, want a wait of %v, back after %v", name, r, c.wait, want)
		}
	}
}

// TestReservedMoments follow each other, one turn of the class apart, and not for ever.
func TestReservedMoments(t *testing.T) {
	t.Parallel()
	a, b := classOf(ratelimit.Normal, "a"), classOf(ratelimit.Normal, "b")
	l := &lane{budget: ratelimit.Budget{Rate: 4}, sched: &fixed{state: ratelimit.State{Rate: 4}}, queue: *filled(map[ratelimit.Class]int{b: 3, classOf(ratelimit.Bulk, "c"): 9})}
	for i, want := range []time.Duration{
		time.Second + 50*time.Millisecond + slack + 500*time.Millisecond, // beside another caller a turn is half a second
		time.Second + 50*time.Millisecond + slack + time.Second,
		time.Second + 50*time.Millisecond + slack + 1500*time.Millisecond,
	} {
		if got := l.reserve(noon, time.Second, &waiter{class: a, weight: 1, fingerprint: uint64(i)}); !near(got, want) {
			t.Errorf("call %d is told %v, want %v", i, got, want)
		}
	}
	if got := l.reserve(noon, time.Hour, &waiter{class: a, weight: 1}); got != longestDelay {
		t.Errorf("told %v, which says nothing", got)
	}
	// A call that is refused in a stop comes back after it, and after those ahead.
	l.sched = &fixed{state: ratelimit.State{Rate: 4, StoppedUntil: noon.Add(2 * time.Second)}}
	if got, want := l.later(noon, &waiter{class: b, weight: 1}), 2750*time.Millisecond; got < want+want/20+slack || got > want+want/20+slack+time.Second {
		t.Errorf("told %v, with three calls before it and a stop of 2 s", got)
	}
}

// TestForecastIsWhatACallWouldMeet: the longest of the waits that it has in its lanes, who is before
// it, and the refusal that it would get.
func TestForecastIsWhatACallWouldMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ping := &apiv1.Operation{Id: "ping", Limit: &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 1, Key: "serial"}}
		ls := lanesOf(t, func(c *Config) { c.Length = 6 })
		payer := Payer{Organization: "1", Operation: ping, Parameter: "Q", Caller: "a", Share: 0.5}
		class := classOf(ratelimit.Normal, "a")
		if f := ls.Forecast(time.Now(), payer, class, 1); f.Budget != "organization:1" || f.Wait != 0 || f.Behind != nil || f.Full || f.Refusal("ping", time.Second, time.Second) != nil {
			t.Errorf("of nothing: %+v", f)
		}
		for ls.organization("1").take(time.Now()) {
		}
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i, who := range []string{"b", "b", "a", "c", "b", "d"} {
			wg.Go(func() {
				var s Slot
				ls.Assign(&s, Payer{Organization: "1"})
				_ = s.Acquire(ctx, ask(who, ratelimit.Priority(min(2, 1+i/3))))
			})
			synctest.Wait()
		}
		now := time.Now()
		f := ls.Forecast(now, payer, class, 1)
		// Its own one, two of the other caller at its priority, then it.
		if want := 400 * time.Millisecond; !near(f.Wait, want) || f.Full {
			t.Errorf("a wait of %v, want %v; full: %v", f.Wait, want, f.Full)
		}
		if len(f.Behind) != 2 || f.Behind[0].Caller != "a" || f.Behind[0].Waiting != 1 || f.Behind[1].Caller != "b" || f.Behind[1].Waiting != 2 {
			t.Errorf("behind %+v", f.Behind)
		}
		if r := f.Refusal("ping", 0, f.Wait+shortestAttempt); r != nil {
			t.Error(r)
		}
		if r := f.Refusal("ping", time.Second, f.Wait+time.Second-1); r == nil || r.Kind != fault.BudgetExhausted || r.RetryAfter != time.Millisecond {
			t.Errorf("%+v", r)
		}
		if f := ls.Forecast(now, payer, classOf(ratelimit.Bulk, "d"), 1); !f.Full || f.Refusal("ping", 0, time.Hour) == nil || len(f.Behind) != 5 {
			t.Errorf("a lane of six is full for more bulk: %+v", f)
		}
		// The operation's own limit, where it is the longer wait.
		own := ls.operation(ping, "Q")
		for own.take(now) {
		}
		if f := ls.Forecast(now, payer, class, 1); !near(f.Wait, 5*time.Second) {
			t.Errorf("a wait of %v behind the operation's limit", f.Wait)
		}
		// What is shown of the budget.
		s := ls.Budget("1")
		if s.Waiting != 6 || len(s.Classes) != 5 || s.Organization != "1" || ls.Waiting()["organization"] != 6 {
			t.Errorf("%+v", s)
		}
		if !slices.IsSortedFunc(s.Classes, func(x, y ClassState) int {
			return 10*(int(x.Priority)-int(y.Priority)) + len(x.Caller) - len(y.Caller) + int(x.Caller[0]) - int(y.Caller[0])
		}) {
			t.Errorf("not in order: %+v", s.Classes)
		}
		all, version := ls.Budgets(0)
		if !slices.ContainsFunc(all, func(b BudgetState) bool { return b.Organization == "1" }) || !slices.IsSortedFunc(all, func(x, y BudgetState) int { return len(x.Organization) - len(y.Organization) }) {
			t.Errorf("%+v", all)
		}
		if changed, _ := ls.Budgets(version); len(changed) != 0 {
			t.Errorf("nothing has changed: %+v", changed)
		}
		var other Slot
		ls.Assign(&other, Payer{Organization: "2"})
		if f := other.Acquire(ctx, ask("a", ratelimit.Normal)); f != nil || !other.Spend() {
			t.Error(f)
		}
		other.Report(now, Result{OK: true, Answered: true})
		changed, _ := ls.Budgets(version)
		if slices.ContainsFunc(changed, func(b BudgetState) bool { return b.Organization == "1" }) || len(changed) != 2 || changed[1].Organization != "2" || changed[1].Attempts != 1 {
			t.Errorf("an attempt for 2 has changed: %+v", changed)
		}
		if only, _ := ls.Budgets(version, "2"); len(only) != 1 {
			t.Errorf("of 2 alone: %+v", only)
		}
		stop()
		wg.Wait()
	})
}

// TestFingerprints differ with each part of what is asked for.
func TestFingerprints(t *testing.T) {
	t.Parallel()
	ls := lanesOf(t)
	seen := make(map[uint64]Request)
	for _, r := range []Request{{Operation: "a", Path: "b", Query: "c"}, {Operation: "a", Path: "b"}, {Operation: "a", Path: "bc"}, {Operation: "ab", Query: "c"}, {Operation: "ab", Path: "c"}, {Path: "b", Query: "c"}} {
		f := fingerprint(ls.seed, &r)
		if other, ok := seen[f]; ok {
			t.Errorf("%+v and %+v are one", r, other)
		}
		seen[f] = r
	}
}
