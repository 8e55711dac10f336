package ratelimittest

import (
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// many are more classes than a step looks at, one for each caller.
func many(p ratelimit.Priority, prefix string, callers, each int) []ratelimit.Waiting {
	all := make([]ratelimit.Waiting, callers)
	for i := range all {
		all[i] = waiting(p, fmt.Sprintf("%s%04d", prefix, i), each)
	}
	return all
}

// However many callers wait, each gets a slot before one of them gets two more than
// another.
func testManyCallers(s *subject) {
	const callers = 200
	s.start(1)
	all := many(ratelimit.Normal, "", callers, 1000)
	served := map[string]int{}
	total := 0
	for total < 3*callers {
		g := s.ask(0, 0, all...)
		for _, c := range g.Classes {
			served[c.Caller]++
			total++
		}
		least, most := total, 0
		for _, w := range all {
			least, most = min(least, served[w.Caller]), max(most, served[w.Caller])
		}
		if most > least+1 {
			s.Fatalf("after %d slots one caller has had %d, another %d", total, most, least)
		}
		if g.Again < 0 || g.Again > time.Second {
			s.Fatalf("again in %v, and %d callers wait", g.Again, callers)
		}
		s.clock.Advance(max(g.Again, time.Millisecond))
	}
}

// Weights and priorities are what they are among few.
func testManyWeights(s *subject) {
	s.start(1)
	all := many(ratelimit.Normal, "light", 100, 1000)
	heavy := waiting(ratelimit.Normal, "zz heavy", 1000)
	heavy.Weight = 10
	all = append(append(all, heavy), many(ratelimit.Bulk, "bulk", 100, 1000)...)
	all = append(all, waiting(ratelimit.Critical, "zz critical", 1))
	served, total := map[string]int{}, 0
	for total < 441 {
		g := s.ask(0, 0, all...)
		for _, c := range g.Classes {
			if total == 0 && c.Priority != ratelimit.Critical {
				s.Errorf("the first slot goes to %v", c)
			}
			served[c.Caller]++
			total++
		}
		if all[len(all)-1].Priority == ratelimit.Critical {
			all = all[:len(all)-1]
		}
		s.clock.Advance(max(g.Again, time.Millisecond))
	}
	near(s, "the slots of a caller of weight 10 among 100 of weight 1", float64(served["zz heavy"]), 40, 2)
	for caller, n := range served {
		if caller[0] == 'b' {
			s.Errorf("%s has had %d slots before the others", caller, n)
		}
	}
}

// More slots at once than classes that a step looks at: all are to be had, in steps
// that follow at once.
func testManySlots(s *subject) {
	s.start(1)
	s.budget = ratelimit.Budget{Key: "address", Rate: 100, Burst: 90}
	burst := int(s.ask(0, 0).State.Burst)
	all := many(ratelimit.Normal, "", 300, 2)
	served := map[string]bool{}
	for steps := 0; len(served) < burst; steps++ {
		g := s.ask(0, 0, all...)
		for _, c := range g.Classes {
			if served[c.Caller] {
				s.Errorf("%s is served twice", c.Caller)
			}
			served[c.Caller] = true
			for i := range all {
				if all[i].Class == c {
					all[i].Count--
				}
			}
		}
		if steps > 2 || len(served) < burst && g.Again != 0 {
			s.Fatalf("%d of %d slots in %d steps, again in %v", len(served), burst, steps+1, g.Again)
		}
	}
	if g := s.ask(0, 0, all...); len(g.Classes) != 0 || g.Again <= 0 {
		s.Errorf("%d slots above the burst, again in %v", len(g.Classes), g.Again)
	}
}

// Each of many callers is served at each of the replicas at which it waits.
func testManyReplicas(s *subject) {
	const callers, each = 70, 6
	s.start(3)
	served := make([]map[string]int, 3)
	all := make([][]ratelimit.Waiting, 3)
	for i := range all {
		served[i] = map[string]int{}
		all[i] = append(many(ratelimit.Normal, "everywhere", callers, 1000), many(ratelimit.Normal, fmt.Sprint("at", i, " "), callers, 1000)...)
	}
	total := 0
	for round := 0; total < 4*each*callers && round < 100*each*callers; round++ {
		s.clock.Advance(34 * time.Millisecond)
		g := s.ask(round%3, 0, all[round%3]...)
		for _, c := range g.Classes {
			served[round%3][c.Caller]++
			total++
		}
	}
	// A caller that waits everywhere has a third of its slots at each replica.
	for i := range all {
		for _, w := range all[i] {
			n := served[i][w.Caller]
			if w.Caller[0] == 'a' && (n < each-1 || n > each+1) {
				s.Errorf("%s has had %d slots, want %d", w.Caller, n, each)
			}
			if w.Caller[0] == 'e' && (n < 1 || n > each/3+1) {
				s.Errorf("%s has had %d slots at replica %d, want %d", w.Caller, n, i, each/3)
			}
		}
	}
}

// A replica to which its first classes look as if they came first, because others
// serve them, passes nobody over for it.
func testManySpentElsewhere(s *subject) {
	s.start(2)
	s.drain()
	spent := many(ratelimit.Critical, "a", 64, 1)
	for range 10 { // at the other replica they get ten slots each
		for left := spent; len(left) > 0; {
			s.clock.Advance(100 * time.Millisecond)
			left = left[len(s.ask(1, 0, left...).Classes):]
		}
	}
	all := append(many(ratelimit.Normal, "a", 64, 1000), waiting(ratelimit.Normal, "b", 1000))
	for step := 1; ; step++ {
		for _, c := range s.ask(0, 0, all...).Classes {
			if c.Caller == "b" {
				return
			}
		}
		if step == 4 {
			s.Fatal("a caller that has had no slot waits behind 64 that have had ten each")
		}
		s.clock.Advance(100 * time.Millisecond)
	}
}
