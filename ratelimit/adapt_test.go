package ratelimit

import (
	"math"
	"testing"
	"time"
)

// start is when the clock of a test starts.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// seconds is a time on that clock.
func seconds(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

func TestPace(t *testing.T) {
	t.Parallel()
	type step struct {
		at        float64
		stop      float64 // seconds, if above 0
		successes int
		spent     float64 // slots granted before the step
		rate      float64 // after it
	}
	for _, c := range []struct {
		name    string
		ceiling float64
		steps   []step
	}{
		{"a first stop comes back by successes", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 1.1, successes: 1, rate: 7.2},
			{at: 1.2, successes: 4, rate: 8},
			{at: 1.3, successes: 100, rate: 10},
		}},
		{"stops while one lasts are one", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 0.1, stop: 1, rate: 7},
			{at: 1.05, stop: 1, rate: 7},
			{at: 2.2, stop: 1, rate: 4.9},
		}},
		{"the floor", 10, []step{
			{at: 0, stop: 1, rate: 7}, {at: 100, stop: 1, rate: 4.9}, {at: 200, stop: 1, rate: 3.43},
			{at: 300, stop: 1, rate: 2.401}, {at: 400, stop: 1, rate: 1.6807}, {at: 500, stop: 1, rate: 1.17649},
			{at: 600, stop: 1, rate: 0.823543}, {at: 700, stop: 1, rate: 0.5764801}, {at: 800, stop: 1, rate: 0.5}, {at: 900, stop: 1, rate: 0.5},
		}},
		{"a ceiling below the floor", 0.25, []step{
			{at: 0, stop: 1, rate: 0.25}, {at: 10, successes: 5, rate: 0.25},
		}},
		{"the second stop tells what is left", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 3, successes: 15, rate: 10},
			{at: 5, stop: 1, spent: 31, rate: 6},  // 30 in five seconds
			{at: 6.1, successes: 1, rate: 6},      // the mark
			{at: 6.2, successes: 100, rate: 6},    // is where it stays
			{at: 16, successes: 100, rate: 6.105}, // for a while
			{at: 31.9, successes: 100, rate: 7.825},
			{at: 32.1, successes: 2, rate: 8.225}, // until it is proved wrong
			{at: 32.2, successes: 100, rate: 10},
		}},
		{"too little spent is believed in part", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 10, successes: 15, rate: 10},
			{at: 20, stop: 1, spent: 21, rate: 6},
		}},
		{"stops close together tell nothing", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 1.5, stop: 1, spent: 2, rate: 4.9},
			{at: 3, successes: 100, rate: 7},
		}},
		{"old stops tell nothing", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 2, successes: 100, rate: 10},
			{at: 100, stop: 1, spent: 200, rate: 7},
			{at: 102, successes: 100, rate: 10},
		}},
		{"a bucket that was full in between tells nothing", 10, []step{
			{at: 0, stop: 1, rate: 7},
			{at: 2, successes: 100, rate: 10},
			{at: 20, stop: 1, spent: untold, rate: 7},
			{at: 22, successes: 100, rate: 10},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var p Pace
			for i, s := range c.steps {
				now := seconds(s.at)
				p.Spent += s.spent
				if s.stop > 0 {
					p = p.Stop(now, time.Duration(s.stop*float64(time.Second)), c.ceiling)
				}
				p = p.Succeed(now, s.successes, c.ceiling)
				if got := p.At(c.ceiling); math.Abs(got-s.rate) > 0.005 {
					t.Errorf("step %d, at %gs: %.4f/s, want %g/s", i, s.at, got, s.rate)
				}
			}
		})
	}
}

func TestPaceHold(t *testing.T) {
	t.Parallel()
	p := Pace{}.Hold(seconds(5))
	if p.At(10) != 10 || !p.Until.Equal(seconds(5)) {
		t.Errorf("held: %+v", p)
	}
	if q := p.Hold(seconds(4)); q != p {
		t.Errorf("held until earlier: %+v", q)
	}
	if q := p.Stop(seconds(6), time.Second, 10); q.At(10) != 7 {
		t.Errorf("stopped after a hold: %+v", q)
	}
	if p.Old(seconds(60)) || !p.Old(seconds(66)) {
		t.Error("a pace is old a minute after its stop")
	}
}
