package ratelimittest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// simulate runs ten minutes of traffic, and holds it against what is true of
// all traffic: no 429, the bound kept, few pulls.
func simulate(s *subject, replicas int, loads ...Load) *Result {
	s.Helper()
	s.start(replicas)
	const duration = 10 * time.Minute
	r := Simulation{
		Budget: organization, Server: dashboard, Loads: loads, Duration: duration, Deadline: 5 * time.Second, Seed: 1,
	}.Run(s.clock, s.all)
	if refused := r.Limited(0, duration); refused != 0 {
		s.Errorf("%.2f %% of the requests were refused", 100*refused)
	}
	trips := float64(r.Pulls+r.Stops) / float64(r.Total)
	s.Logf("used %.3f, pulls a call %.2f", r.Rate(0, duration)/dashboard.Rate, trips)
	if trips > 2 {
		s.Errorf("%.2f pulls a call, want 2 or less", trips)
	}
	for caller, served := range r.Served {
		s.Logf("%s: %.2f/s, wait p50 %v, p99 %v, served %.0f %%", caller, float64(served)/duration.Seconds(),
			r.Wait(caller, 0.5).Round(time.Millisecond), r.Wait(caller, 0.99).Round(time.Millisecond),
			100*float64(served)/float64(r.Offered[caller]))
	}
	return r
}

func (r *Result) used(s *subject) {
	s.Helper()
	if used := r.Rate(0, 10*time.Minute) / dashboard.Rate; used < 0.99 {
		s.Errorf("%.3f of the budget was used, want 0.99", used)
	}
}

func (r *Result) perSecond(caller string) float64 { return float64(r.Served[caller]) / 600 }

func normal(caller string) ratelimit.Class {
	return ratelimit.Class{Priority: ratelimit.Normal, Caller: caller}
}

// One caller at all replicas, one at one, a light one at one.
func testFair(s *subject) {
	r := simulate(s, 3,
		Load{Replica: 0, Class: normal("a"), Rate: 20.0 / 3}, Load{Replica: 1, Class: normal("a"), Rate: 20.0 / 3}, Load{Replica: 2, Class: normal("a"), Rate: 20.0 / 3},
		Load{Replica: 0, Class: normal("b"), Rate: 8}, Load{Replica: 1, Class: normal("c"), Rate: 0.5})
	r.used(s)
	near(s, "a", r.perSecond("a"), 4.76, 0.15)
	near(s, "b", r.perSecond("b"), 4.76, 0.15)
	if served := float64(r.Served["c"]) / float64(r.Offered["c"]); served < 0.99 {
		s.Errorf("%.3f of the light caller's calls were served", served)
	}
	if wait := r.Wait("c", 0.99); wait > time.Second {
		s.Errorf("the light caller waits %v at the 99th percentile, want 1s or less", wait)
	}
}

// Most of the traffic at one replica.
func testSkew(s *subject) {
	r := simulate(s, 3,
		Load{Replica: 0, Class: normal("a"), Rate: 9.6}, Load{Replica: 1, Class: normal("a"), Rate: 1.2}, Load{Replica: 2, Class: normal("a"), Rate: 1.2})
	r.used(s)
}

// A source address: ten times the budget of an organization, most of the traffic at
// one replica. Who asks for less than an even part gets all of it, and the one who asks
// for more the rest.
func testAddress(s *subject) {
	s.start(3)
	const duration = 40 * time.Second
	r := Simulation{
		Budget: ratelimit.Budget{Key: "address:east", Rate: 100, Burst: 80}, Server: ratelimit.Limit{Rate: 100, Burst: 100},
		Duration: duration, Deadline: 5 * time.Second, Seed: 1,
		Loads: []Load{{Replica: 0, Class: normal("a"), Rate: 104}, {Replica: 1, Class: normal("b"), Rate: 13}, {Replica: 2, Class: normal("c"), Rate: 13}},
	}.Run(s.clock, s.all)
	if refused := r.Limited(0, duration); refused != 0 {
		s.Errorf("%.2f %% of the requests were refused", 100*refused)
	}
	if used := r.Rate(5*time.Second, duration) / 100; used < 0.99 {
		s.Errorf("%.3f of the budget was used, want 0.99", used)
	}
	for _, caller := range []string{"b", "c"} {
		if served := float64(r.Served[caller]) / float64(r.Offered[caller]); served < 0.99 {
			s.Errorf("%.3f of %s's calls were served", served, caller)
		}
		if wait := r.Wait(caller, 0.99); wait > 200*time.Millisecond {
			s.Errorf("%s waits %v at the 99th percentile", caller, wait)
		}
	}
}

func testWeights(s *subject) {
	r := simulate(s, 3,
		Load{Replica: 0, Class: normal("a"), Weight: 3, Rate: 10}, Load{Replica: 1, Class: normal("b"), Weight: 1, Rate: 10}, Load{Replica: 2, Class: normal("b"), Weight: 1, Rate: 10})
	r.used(s)
	near(s, "a against b", r.perSecond("a")/r.perSecond("b"), 3, 0.15)
}

func testCritical(s *subject) {
	bulk := ratelimit.Class{Priority: ratelimit.Bulk, Caller: "bulk"}
	r := simulate(s, 3,
		Load{Replica: 0, Class: bulk, Rate: 40}, Load{Replica: 1, Class: bulk, Rate: 40}, Load{Replica: 2, Class: bulk, Rate: 40},
		Load{Replica: 1, Class: ratelimit.Class{Priority: ratelimit.Critical, Caller: "critical"}, Rate: 5})
	r.used(s)
	if served := float64(r.Served["critical"]) / float64(r.Offered["critical"]); served < 0.994 {
		s.Errorf("%.4f of the critical calls were served, want 0.994", served)
	}
	if wait := r.Wait("critical", 0.99); wait > time.Second {
		s.Errorf("critical calls wait %v at the 99th percentile", wait)
	}
}

func testLight(s *subject) {
	r := simulate(s, 3,
		Load{Replica: 0, Class: normal("a"), Rate: 1}, Load{Replica: 1, Class: normal("b"), Rate: 1}, Load{Replica: 2, Class: normal("c"), Rate: 1})
	if trips := float64(r.Pulls) / float64(r.Total); trips > 1.1 {
		s.Errorf("%.2f pulls a call", trips)
	}
	for caller := range r.Offered {
		if wait := r.Wait(caller, 0.99); wait > 10*time.Millisecond {
			s.Errorf("%s waits %v at the 99th percentile, with most of the budget free", caller, wait)
		}
	}
}

// Another application takes 4/s for a minute.
func testOutside(s *subject) {
	for seed := range uint64(5) {
		s.start(2)
		s.budget.Key += fmt.Sprint(seed)
		const came, left = 30 * time.Second, 90 * time.Second
		r := Simulation{
			Budget: s.budget, Server: dashboard, Duration: 150 * time.Second, Deadline: 5 * time.Second, Seed: seed,
			Loads:   []Load{{Replica: 0, Class: normal("a"), Rate: 10}, {Replica: 1, Class: normal("b"), Rate: 10}},
			Outside: 4, From: came, To: left,
		}.Run(s.clock, s.all)
		first := r.Rate(came+10*time.Second, came+25*time.Second)
		whole := r.Rate(came+10*time.Second, left)
		back := r.Rate(left+30*time.Second, left+60*time.Second)
		limited := r.Limited(came, left+time.Second)
		s.Logf("seed %d: %.2f/s from 10 s on, %.2f/s to the end, %.2f/s from 30 s after; 429s %.2f %%, of the other's %.2f %%",
			seed, first, whole, back, 100*limited, 100*float64(r.Others)/240)
		if first < 5.4 || whole < 5.7 {
			s.Errorf("seed %d: %.2f/s, then %.2f/s, of the 6 that are left", seed, first, whole)
		}
		if limited >= 0.02 {
			s.Errorf("seed %d: %.2f %% of the requests were refused, want less than 2", seed, 100*limited)
		}
		if back < 9.9 {
			s.Errorf("seed %d: %.2f/s after the other application has left, want 9.9", seed, back)
		}
	}
}

// Whatever happens, no more leaves than burst + rate x t.
func testBound(s *subject) {
	for seed := range uint64(12) {
		if err := anything(s, seed); err != nil {
			s.Errorf("seed %d: %v", seed, err)
		}
	}
}

// anything happens to three replicas.
func anything(s *subject, seed uint64) error {
	s.start(3)
	s.budget.Key += fmt.Sprint("/", seed)
	random := rand.New(rand.NewPCG(seed, 11))
	b := Bound{Rate: s.budget.Rate, Burst: s.budget.Burst}
	var now time.Duration // that has really passed
	type slot struct {    // one that may still be given back
		granted time.Duration
		clock   time.Time
		replica int
	}
	var held []slot
	dead := map[int]bool{}
	for range 600 {
		d := time.Duration(random.ExpFloat64() * float64(30*time.Millisecond))
		now += d
		s.clock.Advance(d)
		replica := random.IntN(len(s.all))
		if dead[replica] {
			continue
		}
		scheduler, at := s.all[replica], s.clock.Now()
		switch x := random.IntN(100); {
		case x < 70:
			var ask []ratelimit.Waiting
			for range random.IntN(4) {
				w := waiting(ratelimit.Priority(random.IntN(3)), string(rune('a'+len(ask))), random.IntN(12))
				w.Weight = random.Float64() * 4
				ask = append(ask, w)
			}
			for range s.ask(replica, random.IntN(6), ask...).Classes {
				if random.IntN(8) == 0 {
					held = append(held, slot{now, at, replica})
				} else {
					b.Leave(now)
				}
			}
		case x < 80: // at once, or much later
			if len(held) == 0 {
				break
			}
			i := random.IntN(len(held))
			if back := held[i]; !dead[back.replica] {
				s.all[back.replica].Refund(s.Context(), at, s.budget, 1, back.clock)
				held = slices.Delete(held, i, i+1)
			}
		case x < 81:
			scheduler.Stop(s.Context(), at, s.budget, time.Duration(random.IntN(700))*time.Millisecond)
		case x < 93:
			scheduler.Succeed(s.Context(), at, s.budget)
		case x < 95:
			s.clock.Advance(-time.Duration(random.ExpFloat64() * float64(2*time.Second)))
		case x < 96:
			s.clock.Advance(time.Duration(random.ExpFloat64() * float64(2*time.Second)))
			b.Fill(now)
		case x < 97 && len(dead) < len(s.all)-1:
			dead[replica] = true
		}
	}
	for _, slot := range held {
		b.Leave(slot.granted)
	}
	if b.Left() < 40 {
		return fmt.Errorf("only %d left: nothing was tried", b.Left())
	}
	return b.Check()
}
