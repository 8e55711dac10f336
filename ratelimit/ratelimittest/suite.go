package ratelimittest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// Open returns a scheduler for each of some replicas, which share their budgets
// and go by the clock. It ends them with the test.
type Open func(t *testing.T, clock *Clock, replicas int) []ratelimit.Scheduler

// organization is the usual budget, and dashboard the server that it is for.
var (
	organization = ratelimit.Budget{Key: "organization:1", Rate: 10, Burst: 8}
	dashboard    = ratelimit.Limit{Rate: 10, Burst: 10}
)

// Run runs the suite on up to so many replicas: 1, or 3 for a scheduler in a store.
func Run(t *testing.T, replicas int, open Open) {
	cases := []suiteCase{
		{"grants", testGrants},
		{"order", testOrder},
		{"most and refund", testMost},
		{"late refunds", testLateRefunds},
		{"stop", testStop},
		{"stops at once are one", testStops},
		{"recovery", testRecovery},
		{"budgets apart", testApart},
		{"nothing saved up", testVirtual},
		{"little asked for", testLittle},
		{"clock set back", testClockBack},
		{"fair", testFair},
		{"skew", testSkew},
		{"weights", testWeights},
		{"critical under bulk", testCritical},
		{"light load", testLight},
		{"an address", testAddress},
		{"outside application", testOutside},
		{"bound", testBound},
		{"many callers", testManyCallers},
		{"many callers with weights", testManyWeights},
		{"many slots", testManySlots},
	}
	if replicas > 1 {
		cases = append(cases, []suiteCase{
			{"taken back", testTakenBack},
			{"absent replica", testAbsent},
			{"late replica", testLate},
			{"replicas in turn", testTurn},
			{"many callers at replicas", testManyReplicas},
			{"many callers served elsewhere", testManySpentElsewhere},
		}...)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&subject{T: t, open: open, most: replicas, budget: organization})
		})
	}
}

// A suiteCase is one test of the suite.
type suiteCase struct {
	name string
	run  func(*subject)
}

// A subject is a scheduler with what a test wants to say to it.
type subject struct {
	*testing.T
	open   Open
	most   int // replicas
	clock  *Clock
	all    []ratelimit.Scheduler
	budget ratelimit.Budget
}

// start begins with this number of replicas, or as many as there can be.
func (s *subject) start(replicas int) {
	s.clock = NewClock()
	s.all = s.open(s.T, s.clock, min(replicas, s.most))
}

// at is the scheduler of a replica; replicas beyond those there are share them.
func (s *subject) at(replica int) ratelimit.Scheduler { return s.all[replica%len(s.all)] }

// pull asks for some of one caller's calls at the first replica.
func (s *subject) pull(count int) ratelimit.Grant {
	s.Helper()
	return s.ask(0, 0, ratelimit.Waiting{Class: ratelimit.Class{Priority: ratelimit.Normal, Caller: "a"}, Count: count})
}

func (s *subject) ask(replica, most int, waiting ...ratelimit.Waiting) ratelimit.Grant {
	s.Helper()
	g, err := s.at(replica).Pull(context.Background(), s.clock.Now(), ratelimit.Ask{Budget: s.budget, Waiting: waiting, Most: most})
	if err != nil {
		s.Fatal(err)
	}
	return g
}

// drain empties the bucket.
func (s *subject) drain() {
	s.Helper()
	for range 100 {
		if g := s.pull(50); len(g.Classes) == 0 {
			s.ask(0, 0)
			return
		}
	}
	s.Fatal("the bucket does not end")
}

func waiting(p ratelimit.Priority, caller string, count int) ratelimit.Waiting {
	return ratelimit.Waiting{Class: ratelimit.Class{Priority: p, Caller: caller}, Count: count}
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance {
		t.Errorf("%s is %.4g, want %.4g +- %.2g", what, got, want, tolerance)
	}
}

func testGrants(s *subject) {
	s.start(1)
	g := s.pull(20)
	burst := int(g.State.Burst)
	if len(g.Classes) != burst || burst < 4 {
		s.Fatalf("%d slots at first, with a burst of %g", len(g.Classes), g.State.Burst)
	}
	near(s, "the next slot", g.Again.Seconds(), 0.1, 0.001)
	s.clock.Advance(g.Again)
	if g = s.pull(20 - burst); len(g.Classes) != 1 {
		s.Errorf("%d slots when told to come again", len(g.Classes))
	}
	s.clock.Advance(g.Again - 2*time.Millisecond)
	if g = s.pull(1); len(g.Classes) != 0 || g.Again <= 0 || g.Again > 3*time.Millisecond {
		s.Errorf("2 ms early: %d slots, again in %v", len(g.Classes), g.Again)
	}
	s.clock.Advance(time.Hour)
	if g = s.pull(20); len(g.Classes) != burst {
		s.Errorf("%d slots after an hour", len(g.Classes))
	}
	s.clock.Advance(time.Hour)
	if g = s.pull(2); len(g.Classes) != 2 || g.Again != -1 {
		s.Errorf("%d slots, again in %v, where nothing is left", len(g.Classes), g.Again)
	}
	near(s, "the tokens left", g.State.Tokens, float64(burst-2), 0.01)
	near(s, "the tokens at a glance", s.all[0].Peek(s.clock.Now().Add(100*time.Millisecond), s.budget).Tokens, float64(burst-1), 0.01)
}

func testOrder(s *subject) {
	s.start(1)
	g := s.ask(0, 6,
		waiting(ratelimit.Bulk, "a", 5), waiting(ratelimit.Normal, "b", 2), waiting(ratelimit.Normal, "a", 2), waiting(ratelimit.Critical, "c", 1))
	var order []string
	for _, c := range g.Classes {
		order = append(order, fmt.Sprint(c.Priority, " ", c.Caller))
	}
	want := []string{"critical c", "normal a", "normal b", "normal a", "normal b", "bulk a"}
	if !slices.Equal(order, want) {
		s.Errorf("order %v, want %v", order, want)
	}
}

func testMost(s *subject) {
	s.start(1)
	g := s.ask(0, 2, waiting(ratelimit.Normal, "a", 5))
	if len(g.Classes) != 2 || g.Again != 0 {
		s.Errorf("%d slots of at most 2, again in %v", len(g.Classes), g.Again)
	}
	granted := s.clock.Now()
	s.drain()
	s.all[0].Refund(context.Background(), s.clock.Now(), s.budget, 2, granted)
	if g = s.pull(5); len(g.Classes) != 2 {
		s.Errorf("%d slots after a refund of 2", len(g.Classes))
	}
	s.clock.Advance(time.Minute)
	s.pull(1)
	s.all[0].Refund(context.Background(), s.clock.Now(), s.budget, 100, s.clock.Now())
	if g = s.pull(100); len(g.Classes) != int(g.State.Burst) {
		s.Errorf("%d slots after a refund of 100, with a burst of %g", len(g.Classes), g.State.Burst)
	}
}

func testTakenBack(s *subject) {
	s.start(2)
	s.drain()
	s.ask(0, 0, waiting(ratelimit.Critical, "a", 9))
	if g := s.ask(1, 0, waiting(ratelimit.Bulk, "b", 1)); g.Again < 900*time.Millisecond {
		s.Errorf("a slot in %v, behind nine others", g.Again)
	}
	s.ask(0, 0)
	if g := s.ask(1, 0, waiting(ratelimit.Bulk, "b", 1)); g.Again > 101*time.Millisecond {
		s.Errorf("a slot in %v after the others have gone", g.Again)
	}
}

func testStop(s *subject) {
	s.start(2)
	s.pull(1)
	s.at(1).Stop(context.Background(), s.clock.Now(), s.budget, 3*time.Second)
	g := s.pull(5)
	if len(g.Classes) != 0 || !g.State.StoppedUntil.Equal(s.clock.Now().Add(3*time.Second)) {
		s.Fatalf("%d slots, stopped until %v", len(g.Classes), g.State.StoppedUntil)
	}
	near(s, "the rate", g.State.Rate, 7, 1e-6)
	near(s, "the next slot", g.Again.Seconds(), 3+1/7.0, 0.001)
	s.clock.Advance(3*time.Second + 10*time.Millisecond)
	if g = s.pull(5); len(g.Classes) != 0 {
		s.Errorf("a burst of %d after the stop", len(g.Classes))
	}
	s.clock.Advance(time.Second)
	if g = s.pull(20); len(g.Classes) != min(7, int(g.State.Burst)) {
		s.Errorf("%d slots in the first second, at 7/s", len(g.Classes))
	}
}

func testStops(s *subject) {
	s.start(2)
	for i := range 10 {
		s.at(i).Stop(context.Background(), s.clock.Now(), s.budget, time.Second)
		s.clock.Advance(10 * time.Millisecond)
	}
	near(s, "the rate", s.pull(1).State.Rate, 7, 1e-6)
	for range 40 {
		s.clock.Advance(10 * time.Second)
		s.all[0].Stop(context.Background(), s.clock.Now(), s.budget, time.Second)
	}
	near(s, "the lowest rate", s.pull(1).State.Rate, 0.5, 1e-6)
}

func testRecovery(s *subject) {
	s.start(1)
	s.all[0].Stop(context.Background(), s.clock.Now(), s.budget, time.Second)
	s.pull(1)
	s.clock.Advance(2 * time.Second)
	for i := range 20 {
		s.all[0].Succeed(context.Background(), s.clock.Now(), s.budget)
		near(s, fmt.Sprintf("the rate after %d successes", i+1), s.pull(0).State.Rate, min(10, 7+0.2*float64(i+1)), 1e-5)
	}
}

func testApart(s *subject) {
	s.start(1)
	s.drain()
	s.budget.Key = "organization:2"
	if g := s.pull(4); len(g.Classes) != 4 {
		s.Errorf("%d slots of a budget that nobody used", len(g.Classes))
	}
	s.budget = ratelimit.Budget{Key: "address", Rate: 100, Burst: 80}
	if g := s.pull(40); len(g.Classes) != 40 {
		s.Errorf("%d slots of a wide budget", len(g.Classes))
	}
	s.budget = ratelimit.Budget{Key: "operation:blink:1", Rate: 1.0 / 30, Burst: 1}
	if g := s.pull(2); len(g.Classes) != 1 || g.Again > time.Second {
		s.Errorf("%d slots of a narrow budget, again in %v", len(g.Classes), g.Again)
	}
}
