package lane

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type ignored struct{}

func (ignored) Waited(string, ratelimit.Priority, time.Duration) {}
func (ignored) Refused(string, ratelimit.Priority, string)       {}
func (ignored) Queued(string, ratelimit.Priority, int)           {}

// lanesOf makes lanes that end with the test.
func lanesOf(t testing.TB, change ...func(*Config)) *Lanes {
	t.Helper()
	c := Config{Scheduler: ratelimit.NewLocal(), Observer: ignored{}}
	for _, f := range change {
		f(&c)
	}
	life := NewLifecycle()
	ls, err := New(c, life)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(life.Close)
	return ls
}

// pause waits for d, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// ask is a request of a caller's at a priority.
func ask(caller string, p ratelimit.Priority) *Request {
	return &Request{
		Operation: "getThing", Path: "/things", Class: ratelimit.Class{Caller: caller, Priority: p}, Weight: 1,
		Probe: func() bool { return false },
	}
}

// TestDoubtfulLanesGoEarly: lanes of ids for which the Dashboard has never had an
// answer do not wait for others to become many.
func TestDoubtfulLanesGoEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t)
		var s Slot
		ls.Assign(&s, Payer{Organization: "real"})
		if f := s.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil || !s.Spend() {
			t.Fatal(f)
		}
		s.Report(time.Now(), Result{OK: true})
		for i := range fewLanes {
			ls.organization(fmt.Sprint("random-", i))
		}
		pause(t.Context(), doubtfulLane+time.Second)
		for i := range fewLanes {
			ls.organization(fmt.Sprint("more-", i))
		}
		if n := len(ls.all()); n > fewLanes+fewLanes/4 {
			t.Errorf("%d lanes are left", n)
		}
		if ls.peek("real") == nil {
			t.Error("the lane of an organization that has answered is among those that went")
		}
	})
}

func TestIdleLanesAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.Lanes = 50 })
		for i := range 100 {
			ls.organization(string(rune('A' + i)))
		}
		if ls.sweepAt < 100 {
			t.Errorf("with 100 lanes in use, the next is looked for an idle one at %d", ls.sweepAt)
		}
		pause(t.Context(), idleLane+time.Second)
		for i := range 20 {
			ls.organization(string(rune(1000 + i)))
		}
		if n := len(ls.all()); n > 21 {
			t.Errorf("%d lanes are left, want the 20 new ones and the address's", n)
		}
	})
}

// TestNoChangeIsMissed: whoever knows the count of changes finds the lane that
// made the last of them.
func TestNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	ls := lanesOf(t)
	lanes := [2]*lane{ls.organization("1"), ls.organization("2")}
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			for range 100_000 {
				l.touch()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
		}
		version := ls.changes.Load()
		if found := max(lanes[0].stamp.Load(), lanes[1].stamp.Load()); found < version {
			t.Errorf("%d changes are counted, and the last that is found is %d", version, found)
			<-done
		}
	}
}

// An interrupter is called when a call comes to wait, with its lane locked.
type interrupter struct {
	ignored
	now func()
}

func (i *interrupter) Queued(string, ratelimit.Priority, int) {
	if f := i.now; f != nil {
		i.now = nil
		f()
	}
}

// TestRaisedOnTheWayIntoTheLane: somebody urgent joins a read at the moment at
// which it has its class and no place in the lane yet.
func TestRaisedOnTheWayIntoTheLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		interrupt := new(interrupter)
		ls := lanesOf(t, func(c *Config) { c.Observer = interrupt })
		l := ls.organization("1")
		for l.take(time.Now()) {
		}
		var s Slot
		ls.Assign(&s, Payer{Organization: "1"})
		interrupt.now = func() { s.Raise(ratelimit.Critical) }
		done := make(chan bool)
		go func() { done <- s.Acquire(t.Context(), ask("a", ratelimit.Bulk)) == nil }()
		synctest.Wait()
		l.mu.Lock()
		if first := l.queue.first(); first != &s.waiter || first.class.Priority != ratelimit.Critical {
			t.Errorf("it waits as %+v", first)
		}
		l.mu.Unlock()
		if !<-done {
			t.Error("refused")
		}
		s.GiveBack()
	})
}

func TestASlotIsSpentOnce(t *testing.T) {
	t.Parallel()
	ls := lanesOf(t)
	var s Slot
	ls.Assign(&s, Payer{Organization: "1"})
	if s.Spend() {
		t.Error("an empty slot was spent")
	}
	if f := s.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
		t.Fatal(f)
	}
	if !s.Spend() || s.Spend() || ls.Granted() != 1 {
		t.Errorf("a slot is spent once; %d granted", ls.Granted())
	}
}

func TestASlotThatIsNotSpentIsPassedOn(t *testing.T) {
	t.Parallel()
	ls := lanesOf(t)
	var s Slot
	ls.Assign(&s, Payer{Organization: "1"})
	if f := s.Acquire(t.Context(), ask("a", ratelimit.Normal)); f != nil {
		t.Fatal(f)
	}
	s.GiveBack()
	s.GiveBack() // there is nothing left to give
	if o, a := ls.Budget("1"), ls.Budget(""); o.Tokens < o.Burst-1e-6 || a.Tokens < a.Burst-1e-6 || ls.Granted() != 0 {
		t.Errorf("%v of %v, %v of %v, %d granted", o.Tokens, o.Burst, a.Tokens, a.Burst, ls.Granted())
	}
}

func TestAStoppedOrganizationHoldsNoSlotOfTheAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t)
		l := ls.organization("1")
		l.sched.Stop(t.Context(), time.Now(), l.budget, 10*time.Second)
		var s Slot
		ls.Assign(&s, Payer{Organization: "1"})
		done := make(chan bool)
		go func() { done <- s.Acquire(t.Context(), ask("a", ratelimit.Bulk)) == nil }()
		synctest.Wait()
		if a := ls.Budget(""); a.Tokens < a.Burst {
			t.Errorf("the address has %v of %v tokens while the only call is stopped", a.Tokens, a.Burst)
		}
		if !<-done {
			t.Error("refused")
		}
	})
}

// TestABudgetIsNotOverrunAfterAnothersStop: calls that a limit of their own has let
// through keep nothing while the organization is stopped. What leaves then is what
// the limit allows at that moment, and not what it has allowed in the meantime too.
func TestABudgetIsNotOverrunAfterAnothersStop(t *testing.T) {
	ping := &apiv1.Operation{Id: "createDeviceLiveToolsPing", Limit: &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 5, Key: "serial"}}
	for name, c := range map[string]struct {
		payer       Payer
		rate, burst float64
	}{
		"an operation's limit":     {Payer{Organization: "1", Operation: ping, Parameter: "Q1"}, 0.2, 5},
		"a caller's share":         {Payer{Organization: "1", Caller: "a", Share: 0.02}, 0.2, 1},
		"both":                     {Payer{Organization: "1", Operation: ping, Parameter: "Q1", Caller: "a", Share: 0.02}, 0.2, 1},
		"an organization's budget": {Payer{Organization: "1"}, 10, 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ls := lanesOf(t)
				l := ls.organization("1")
				l.sched.Stop(t.Context(), time.Now(), l.budget, 20*time.Second)
				var mu sync.Mutex
				var left []time.Time
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						var s Slot
						ls.Assign(&s, c.payer)
						if f := s.Acquire(t.Context(), ask("a", ratelimit.Bulk)); f != nil || !s.Spend() {
							t.Error(f)
						}
						mu.Lock()
						defer mu.Unlock()
						left = append(left, time.Now())
					})
				}
				pause(t.Context(), 19*time.Second)
				mu.Lock()
				if n := len(left); n > 0 {
					t.Errorf("%d left while the organization was stopped", n)
				}
				mu.Unlock()
				wg.Wait()
				// A slot may be holdMost old when it leaves.
				tokens, last := c.burst+c.rate*holdMost.Seconds(), left[0]
				for i, at := range left {
					tokens = min(c.burst+c.rate*holdMost.Seconds(), tokens+c.rate*at.Sub(last).Seconds()) - 1
					last = at
					if tokens < -1e-6 {
						t.Fatalf("call %d of %d left %v after the first, %.2f tokens too early", i, len(left), at.Sub(left[0]), -tokens)
					}
				}
				synctest.Wait()
				pause(t.Context(), 2*time.Minute)
				for _, l := range ls.all() {
					if s := l.sched.Peek(time.Now(), l.budget); s.Tokens < s.Burst-0.01 {
						t.Errorf("%s has %.2f of %v tokens two minutes later", l.budget.Key, s.Tokens, s.Burst)
					}
				}
				if took := left[len(left)-1].Sub(left[0]).Seconds(); took > 20/c.rate+10 {
					t.Errorf("20 calls took %v s", took)
				}
			})
		})
	}
}

// TestNothingBeginsAfterClose: what comes too late is told so, and not run.
func TestNothingBeginsAfterClose(t *testing.T) {
	t.Parallel()
	life := NewLifecycle()
	ended := make(chan struct{})
	if !life.Go(func() { <-life.Context().Done(); close(ended) }) || life.Draining() {
		t.Error("not begun")
	}
	life.Close()
	select {
	case <-ended:
	default:
		t.Error("Close did not wait")
	}
	if life.Go(func() { t.Error("run after Close") }) || !life.Draining() {
		t.Error("begun after Close")
	}
	life.Close()
}

// BenchmarkAdmission is the decision for a call that finds its lane empty: the
// organization's slot and the address's.
func BenchmarkAdmission(b *testing.B) {
	l := fastLanes(b, 0).organization("1")
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if !l.take(now) {
			b.Fatal("refused")
		}
	}
}

// fastLanes have more of a budget than can be spent.
func fastLanes(t testing.TB, lanes int) *Lanes {
	return lanesOf(t, func(c *Config) {
		c.Rate, c.Burst, c.AddressRate, c.AddressBurst, c.Lanes = 1e6, 1e6, 1e6, 1e6, lanes
	})
}

func TestAdmissionAllocatesNothing(t *testing.T) {
	l := fastLanes(t, 0).organization("1")
	if n := testing.AllocsPerRun(1000, func() { l.take(time.Now()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIdleOrganizationsAreSmall(t *testing.T) {
	const many = 20_000
	ls := lanesOf(t, func(c *Config) { c.Lanes = many })
	memory := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := memory()
	for i := range many {
		ls.organization(fmt.Sprint(i)).take(time.Now())
	}
	each := (memory() - before) / many
	t.Logf("%d bytes an organization", each)
	if each > 1024 {
		t.Errorf("an idle organization takes %d bytes", each)
	}
	runtime.KeepAlive(ls)
}

func TestManyBusyLanes(t *testing.T) {
	const lanes = 2000 // 10,000 do as well, but take their time under the race detector
	synctest.Test(t, func(t *testing.T) {
		ls := lanesOf(t, func(c *Config) { c.Burst, c.AddressRate, c.AddressBurst = 1, 1e6, 1e6 })
		var wg sync.WaitGroup
		for i := range lanes {
			for range 2 { // the second one waits
				wg.Go(func() {
					var s Slot
					ls.Assign(&s, Payer{Organization: fmt.Sprint(i)})
					if f := s.Acquire(t.Context(), ask("a", ratelimit.Bulk)); f != nil {
						t.Error(f)
					}
				})
			}
		}
		wg.Wait()
		synctest.Wait()
		for _, l := range ls.all() {
			l.mu.Lock()
			if l.driving || l.queue.length > 0 {
				t.Errorf("lane %s is still driven", l.budget.Key)
			}
			l.mu.Unlock()
		}
	})
}

// TestCautiousRateIsAsConfigured: what the calls of one credential may spend while no
// owner is known, each credential for itself.
func TestCautiousRateIsAsConfigured(t *testing.T) {
	for _, rate := range []float64{0, 0.25, 4} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ls := lanesOf(t, func(c *Config) { c.CautiousRate = rate })
				want := cmp.Or(rate, 1) // the default
				if pace := ls.CautiousPace(); pace != seconds(1/want) {
					t.Errorf("the pace is %v", pace)
				}
				start := time.Now()
				var wg sync.WaitGroup
				for i := range 10 {
					wg.Go(func() {
						var s Slot
						ls.Assign(&s, Payer{Credential: fmt.Sprint(i % 2)})
						if f := s.Acquire(t.Context(), ask("a", ratelimit.Bulk)); f != nil {
							t.Error(f)
						}
					})
				}
				wg.Wait()
				// Of five calls one goes at once.
				if took := time.Since(start); took < seconds(4/want)-holdMost || took > seconds(4/want)+holdMost {
					t.Errorf("five calls of each credential took %v at a rate of %v", took, want)
				}
			})
		})
	}
}
