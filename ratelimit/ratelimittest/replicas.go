package ratelimittest

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// An absent replica holds up nobody: a slot that is due to it goes to others.
func testAbsent(s *subject) {
	s.start(2)
	s.drain()
	s.ask(1, 0, waiting(ratelimit.Critical, "a", 1000)) // and is never heard of again
	g := s.pull(100)
	begin, served := s.clock.Now(), 0
	for s.clock.Now().Sub(begin) < 10*time.Second {
		s.clock.Advance(max(g.Again, time.Millisecond))
		g = s.pull(100)
		served += len(g.Classes)
	}
	if served < 88 {
		s.Errorf("%d slots in ten seconds beside a replica that is gone", served)
	}
}

// A slot that falls to another replica is left to it for a moment, and no longer.
func testLate(s *subject) {
	s.start(2)
	s.drain()
	critical := waiting(ratelimit.Critical, "b", 5)
	s.ask(1, 0, critical)
	s.pull(5)
	s.clock.Advance(105 * time.Millisecond)
	if g := s.pull(5); len(g.Classes) != 0 {
		s.Error("the other replica's slot is taken 5 ms after it is due")
	}
	s.clock.Advance(10 * time.Millisecond)
	if g := s.ask(1, 0, critical); len(g.Classes) != 1 {
		s.Error("the other replica comes 15 ms late, and its slot is not there")
	}
	s.clock.Advance(90 * time.Millisecond)
	if g := s.pull(5); len(g.Classes) != 0 {
		s.Error("the other replica's next slot is taken as if it had been late for this one")
	}
	s.clock.Advance(25 * time.Millisecond)
	if g := s.pull(5); len(g.Classes) != 1 {
		s.Error("the other replica's slot is left to it for more than 25 ms")
	}
	// A slot that it did not get to fetch does not make it late for the next.
	s.clock.Advance(50 * time.Millisecond)
	s.ask(0, 0)
	s.ask(1, 0, waiting(ratelimit.Normal, "b", 500))
	bulk := waiting(ratelimit.Bulk, "a", 5)
	s.clock.Advance(51 * time.Millisecond)
	if g := s.ask(0, 0, bulk); len(g.Classes) != 0 {
		s.Error("the other replica's slot is taken as soon as it is due")
	}
	if g := s.ask(0, 0, waiting(ratelimit.Critical, "a", 1)); len(g.Classes) != 1 {
		s.Error("a slot that is there does not go to who is first")
	}
	s.clock.Advance(101 * time.Millisecond)
	if g := s.ask(0, 0, bulk); len(g.Classes) != 0 {
		s.Error("the other replica counts as late for a slot that another one took")
	}
}

// Who has not been there for long has neither saved up slots nor lost any.
func testVirtual(s *subject) {
	s.start(1)
	for range 300 {
		s.clock.Advance(100 * time.Millisecond)
		s.pull(1)
	}
	s.drain()
	got := map[string]int{}
	for range 40 {
		s.clock.Advance(101 * time.Millisecond)
		for _, c := range s.ask(0, 0, waiting(ratelimit.Normal, "a", 50), waiting(ratelimit.Normal, "b", 50)).Classes {
			got[c.Caller]++
		}
	}
	near(s, "the slots of who has been away", float64(got["b"]), 20, 1)
}

// The replicas at which one caller waits take turns.
func testTurn(s *subject) {
	s.start(3)
	s.drain()
	got := make([]int, 3)
	for i := range 3 {
		s.ask(i, 0, waiting(ratelimit.Normal, "a", 50))
	}
	for range 60 {
		s.clock.Advance(101 * time.Millisecond)
		for i := range 3 {
			got[i] += len(s.ask(i, 0, waiting(ratelimit.Normal, "a", 50)).Classes)
		}
	}
	for i, n := range got {
		near(s, "the slots of replica "+string(rune('0'+i)), float64(n), 20, 2)
	}
}

// A stop after little was asked for says nothing about what others leave.
func testLittle(s *subject) {
	s.start(1)
	ctx := context.Background()
	s.all[0].Stop(ctx, s.clock.Now(), s.budget, time.Second)
	s.pull(1)
	s.clock.Advance(2 * time.Second)
	for range 20 {
		s.all[0].Succeed(ctx, s.clock.Now(), s.budget)
	}
	for range 10 {
		s.clock.Advance(time.Second)
		s.pull(1)
	}
	s.all[0].Stop(ctx, s.clock.Now(), s.budget, time.Second)
	near(s, "the rate", s.pull(1).State.Rate, 7, 1e-5)
}

func testClockBack(s *subject) {
	s.start(1)
	s.drain()
	s.clock.Advance(-time.Hour)
	if g := s.pull(5); len(g.Classes) != 0 || g.Again > 101*time.Millisecond {
		s.Errorf("%d slots, again in %v, after the clock was set back", len(g.Classes), g.Again)
	}
	s.clock.Advance(time.Second)
	if g := s.pull(50); len(g.Classes) < 4 {
		s.Errorf("%d slots a second after the clock was set back", len(g.Classes))
	}
	s.all[0].Stop(context.Background(), s.clock.Now(), s.budget, 2*time.Second)
	s.clock.Advance(-time.Hour)
	if g := s.pull(5); len(g.Classes) != 0 || g.Again > 2200*time.Millisecond {
		s.Errorf("%d slots, again in %v, after the clock was set back in a stop", len(g.Classes), g.Again)
	}
}
