package lane

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A teller writes down what lanes tell their observer.
type teller struct {
	mu     sync.Mutex
	queued map[string]int
	told   map[string]int
}

func (r *teller) note(what string, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil {
		r.told, r.queued = make(map[string]int), make(map[string]int)
	}
	r.told[what] += n
}

func (r *teller) Waited(budget string, p ratelimit.Priority, d time.Duration) {
	r.note(fmt.Sprintf("waited %s %d %v", budget, p, d.Round(time.Millisecond)), 1)
}
func (r *teller) Refused(budget string, p ratelimit.Priority, why string) {
	r.note(fmt.Sprintf("refused %s %d %s", budget, p, why), 1)
}
func (r *teller) Queued(budget string, p ratelimit.Priority, n int) {
	r.note("changed", 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queued[fmt.Sprintf("%s %d", budget, p)] += n
}

func (r *teller) of(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told[what]
}

// waiting is how many calls wait, by budget and priority.
func (r *teller) waiting() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.queued)
}

// standing is a lane with a standing queue: calls of two callers since some time.
func standing(t *testing.T, rate float64, counts map[ratelimit.Class]int, age time.Duration) *lane {
	t.Helper()
	ls := lanesOf(t)
	l := &lane{budget: ratelimit.Budget{Key: "k", Rate: rate}, set: ls, news: make(chan struct{}, 1), sched: &fixed{state: ratelimit.State{Rate: rate}}}
	for class, n := range counts {
		for i := range n {
			l.queue.push(&waiter{class: class, weight: 1, since: noon.Add(-age + time.Duration(i)*100*time.Millisecond), ready: make(chan struct{})})
		}
	}
	return l
}

// TestShedding: a class is shed when its oldest call has been over the target of a
// second for a second, down to one call, and then at the target for ten seconds.
func TestShedding(t *testing.T) {
	t.Parallel()
	normal, bulk := classOf(ratelimit.Normal, "a"), classOf(ratelimit.Bulk, "a")
	for name, c := range map[string]struct {
		rate  float64
		class ratelimit.Class
		count int
		age   time.Duration
		shed  time.Time // the class's shedUntil
		left  int
		next  time.Duration
	}{
		"young":                          {rate: 10, class: normal, count: 5, age: 400 * time.Millisecond, left: 5, next: 600 * time.Millisecond},
		"over the target":                {rate: 10, class: normal, count: 5, age: 1500 * time.Millisecond, left: 5, next: 500 * time.Millisecond},
		"over it for a second":           {rate: 10, class: normal, count: 5, age: 2 * time.Second, left: 1, next: time.Hour},
		"the young ones stay":            {rate: 10, class: normal, count: 20, age: 2 * time.Second, left: 9, next: 100 * time.Millisecond},
		"just before":                    {rate: 10, class: normal, count: 5, age: 2*time.Second - 1, left: 5, next: shortestSleep},
		"alone":                          {rate: 10, class: normal, count: 1, age: 5 * time.Second, left: 1, next: time.Hour},
		"bulk waits":                     {rate: 10, class: bulk, count: 5, age: 5 * time.Second, left: 5, next: time.Hour},
		"shed a while ago":               {rate: 10, class: normal, count: 5, age: 1250 * time.Millisecond, shed: noon.Add(time.Second), left: 2, next: 50 * time.Millisecond},
		"shed long ago":                  {rate: 10, class: normal, count: 5, age: 1250 * time.Millisecond, shed: noon, left: 5, next: 750 * time.Millisecond},
		"a slow budget has a later one":  {rate: 0.5, class: normal, count: 5, age: 4500 * time.Millisecond, left: 5, next: 500 * time.Millisecond},
		"a slow budget, and two seconds": {rate: 1, class: normal, count: 5, age: 3 * time.Second, left: 1, next: time.Hour},
	} {
		l := standing(t, c.rate, map[ratelimit.Class]int{c.class: c.count}, c.age)
		if !c.shed.IsZero() {
			l.queue.history(noon, c.class).shedUntil = c.shed
		}
		first := l.queue.oldest(c.class)
		next := l.shed(noon)
		if l.queue.length != c.left || !near(next, c.next) {
			t.Errorf("%s: %d left, next after %v; want %d, %v", name, l.queue.length, next, c.left, c.next)
		}
		if c.left == c.count {
			continue
		}
		select {
		case <-first.ready:
		default:
			t.Errorf("%s: nobody has told the first", name)
		}
		if first.state != refused || first.refusal.why != refusedShed || first.refusal.after < slack {
			t.Errorf("%s: the first is %v, %+v", name, first.state, first.refusal)
		}
		if until := l.queue.histories[c.class].shedUntil; until != noon.Add(10*time.Second) && c.age >= 2*time.Second {
			t.Errorf("%s: shed until %v", name, until)
		}
	}
	l := standing(t, 10, map[ratelimit.Class]int{normal: 5}, time.Minute)
	if l.kind = cautiousLane; l.shed(noon) != time.Hour || l.queue.length != 5 {
		t.Errorf("look-ups are shed: %d are left", l.queue.length)
	}
}

// TestWhatIsToldOfLanes: each call that waits counts once, under the priority that it has, and
// what it waited and why it was refused is told once.
func TestWhatIsToldOfLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r teller
		ls := lanesOf(t, func(c *Config) { c.Observer = &r })
		l := ls.organization("1")
		acquire := func(ctx context.Context, s *Slot, caller string, p ratelimit.Priority) *fault.Error {
			ls.Assign(s, Payer{Organization: "1"})
			return s.Acquire(ctx, ask(caller, p))
		}
		var s Slot
		if f := acquire(t.Context(), &s, "a", ratelimit.Normal); f != nil || r.of("waited organization 1 0s") != 1 {
			t.Error(f)
		}
		for l.take(time.Now()) {
		}
		results := make(chan *fault.Error, 3)
		var raised, left Slot
		ctx, leave := context.WithCancel(t.Context())
		go func() { results <- acquire(t.Context(), new(Slot), "a", ratelimit.Normal) }()
		synctest.Wait()
		go func() { results <- acquire(t.Context(), &raised, "b", ratelimit.Bulk) }()
		synctest.Wait()
		go func() { results <- acquire(ctx, &left, "c", ratelimit.Normal) }()
		synctest.Wait()
		for want, n := range map[string]int{"organization 1": 2, "organization 2": 1} {
			if r.waiting()[want] != n {
				t.Errorf("%s: %v, want %d", want, r.waiting(), n)
			}
		}
		raised.Raise(ratelimit.Critical)
		raised.Raise(ratelimit.Normal) // lower than it has
		leave()
		synctest.Wait()
		if f := <-results; f == nil || f.Kind != fault.Cancelled {
			t.Errorf("who left is told %v", f)
		}
		for want, n := range map[string]int{"organization 0": 1, "organization 1": 1, "organization 2": 0} {
			if r.waiting()[want] != n {
				t.Errorf("%s: %v, want %d", want, r.waiting(), n)
			}
		}
		// The raised one goes first: after 100 ms, and the other one 100 ms later.
		for range 2 {
			if f := <-results; f != nil {
				t.Error(f)
			}
		}
		if r.of("waited organization 0 100ms") != 1 || r.of("waited organization 1 200ms") != 1 {
			t.Error("not told of that")
		}
		for _, n := range r.waiting() {
			if n != 0 {
				t.Errorf("nobody waits any more: %v", r.waiting())
			}
		}
		if ls.Granted() != 3 {
			t.Errorf("%d granted", ls.Granted())
		}
		// A deadline that it cannot meet.
		l.sched.Stop(t.Context(), time.Now(), l.budget, 5*time.Second)
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		f := acquire(short, new(Slot), "a", ratelimit.Normal)
		if f == nil || f.Kind != fault.BudgetExhausted || f.Budget != "organization:1" || f.RetryAfter < 3*time.Second || f.RetryAfter > 4*time.Second || !strings.Contains(f.Detail, "the wait for a slot of the budget is 5.") {
			t.Errorf("%+v", f)
		}
		if r.of("refused organization 1 deadline") != 1 {
			t.Error("not told of that")
		}
	})
}

// TestReportCounts attempts and 429s where they belong.
func TestReportCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ping := &apiv1.Operation{Id: "ping", Limit: &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 5, Key: "serial"}}
		ls := lanesOf(t)
		attempt := func(r Result) {
			var s Slot
			ls.Assign(&s, Payer{Organization: "1", Operation: ping, Parameter: "Q"})
			if f := s.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil || !s.Spend() {
				t.Fatal(f)
			}
			s.Report(time.Now(), r)
		}
		own := ls.operation(ping, "Q")
		attempt(Result{Answered: true})
		if own.proved.Load() || ls.organization("1").proved.Load() {
			t.Error("a refusal proves a budget")
		}
		attempt(Result{OK: true, Answered: true})
		if !own.proved.Load() || !ls.organization("1").proved.Load() {
			t.Error("an answer proves no budget")
		}
		attempt(Result{Stop: 10 * time.Second, Own: true})
		now := time.Now()
		if s := ls.Budget("1"); s.Attempts != 3 || s.RateLimited != 0 || s.StoppedUntil.After(now) || s.Rate != 10 {
			t.Errorf("the organization: %+v", s)
		}
		if s := own.sched.Peek(now, own.budget); own.attempts.Load() != 3 || own.limited.Load() != 1 || s.StoppedUntil.Sub(now) != 10*time.Second {
			t.Errorf("the operation: %d attempts, %+v", own.attempts.Load(), s)
		}
		if s := ls.Budget(""); s.Attempts != 3 || s.RateLimited != 0 {
			t.Errorf("the address: %+v", s)
		}
		pause(t.Context(), time.Minute)
		attempt(Result{Stop: 2 * time.Second})
		if s := ls.Budget("1"); s.RateLimited != 1 || time.Until(s.StoppedUntil) != 2*time.Second || s.Rate >= 10 {
			t.Errorf("the organization: %+v", s)
		}
	})
}

// TestConfigurationOfLanes: what is left out has the value of its comment, and nothing
// is below 0.
func TestConfigurationOfLanes(t *testing.T) {
	t.Parallel()
	base := Config{Scheduler: ratelimit.NewLocal(), Observer: ignored{}}
	c, err := base.complete()
	if err != nil || c.Rate != 10 || c.Burst != 8 || c.AddressRate != 100 || c.AddressBurst != 80 || c.CautiousRate != 1 || c.CautiousBurst != 1 ||
		c.Target != time.Second || c.Interval != time.Second || c.Length != 1000 || c.Lanes != 65536 {
		t.Errorf("%+v, %v", c, err)
	}
	own := base
	own.Rate, own.Target, own.Interval, own.Length = 3, 2*time.Second, 3*time.Second, 4
	if c, err := own.complete(); err != nil || c.Rate != 3 || c.Target != 2*time.Second || c.Interval != 3*time.Second || c.Length != 4 {
		t.Errorf("%+v, %v", c, err)
	}
	for name, change := range map[string]func(*Config){
		"Rate": func(c *Config) { c.Rate = -1 }, "AddressBurst": func(c *Config) { c.AddressBurst = 1e6 + 1 },
		"Target": func(c *Config) { c.Target = -1 }, "Interval": func(c *Config) { c.Interval = -1 }, "Length": func(c *Config) { c.Length = -1 }, "Lanes": func(c *Config) { c.Lanes = -1 },
	} {
		wrong := base
		change(&wrong)
		if _, err := wrong.complete(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
