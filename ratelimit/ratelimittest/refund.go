package ratelimittest

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A slot that comes back late gives back what would be there if it had never been
// granted, and no more. The budget gets one token a second.
func testLateRefunds(s *subject) {
	const second = time.Second
	for _, c := range []struct {
		name string
		// do acts on a full bucket; what it returns is how many slots are missing
		// from a full bucket after that.
		do func(r *refunds) int
	}{
		{"at once", func(r *refunds) int {
			at := r.take(2)
			r.refund(2, at)
			return 0
		}},
		{"more than were granted", func(r *refunds) int {
			at := r.take(2)
			r.refund(100, at)
			return 0
		}},
		{"while others are spent", func(r *refunds) int {
			at := r.take(2)
			r.wait(second / 4)
			r.take(1)
			r.refund(1, at)
			return 2
		}},
		{"after the bucket was full without it", func(r *refunds) int {
			at := r.take(1)
			r.wait(10 * second)
			r.take(r.burst)
			r.refund(1, at)
			return r.burst
		}},
		{"after the bucket was full without it, and a while later", func(r *refunds) int {
			at := r.take(1)
			r.wait(10 * second)
			r.take(r.burst)
			r.wait(second)
			r.refund(1, at)
			return r.burst - 1
		}},
		{"after half of it would have overflowed", func(r *refunds) int {
			at := r.take(1)
			r.wait(second / 2)
			r.take(1)
			r.refund(1, at)
			r.wait(second / 2) // half a token is missing: a whole one cannot be had
			return 1
		}},
		{"when half of it has flowed in", func(r *refunds) int {
			at := r.take(2)
			r.wait(second / 2)
			r.refund(2, at)
			return 0
		}},
		{"two of one moment, one of which would have overflowed", func(r *refunds) int {
			at := r.take(2)
			r.wait(second)
			r.take(1)
			r.refund(1, at)
			r.refund(1, at)
			return 1
		}},
		{"of two moments, the later one first", func(r *refunds) int {
			first := r.take(2)
			r.wait(second)
			then := r.take(1)
			r.refund(1, then)
			r.refund(2, first)
			return 0
		}},
		{"a moment that is yet to come", func(r *refunds) int {
			at := r.take(2)
			r.refund(2, at.Add(time.Hour))
			return 2
		}},
		{"in a stop", func(r *refunds) int {
			at := r.take(2)
			r.stop(2 * second)
			r.wait(second)
			r.refund(2, at)
			r.wait(second)
			return r.burst
		}},
		{"after a stop", func(r *refunds) int {
			at := r.take(2)
			r.stop(second)
			r.wait(second)
			r.refund(2, at)
			return r.burst
		}},
		{"at the moment of a stop", func(r *refunds) int {
			at := r.take(2)
			r.stop(0)
			r.refund(2, at)
			return r.burst
		}},
		{"of a slot granted after a stop", func(r *refunds) int {
			r.stop(0)
			r.wait(3 * second) // two tokens at 0.7 a second
			at := r.take(2)
			r.refund(1, at)
			return r.burst - 1
		}},
		{"after the clock was set back", func(r *refunds) int {
			at := r.take(2)
			r.wait(-2 * second)
			r.refund(2, at)
			return 2
		}},
		{"after the clock was set back, when it is as late again", func(r *refunds) int {
			at := r.take(r.burst)
			r.wait(-second - second/2)
			r.take(0)
			r.wait(second)
			r.take(1)
			r.wait(second)
			r.refund(1, at)
			return r.burst - 1
		}},
	} {
		s.start(1)
		s.budget = ratelimit.Budget{Key: "late refunds: " + c.name, Rate: 1, Burst: 5}
		r := &refunds{s, int(s.ask(0, 0).State.Burst), c.name}
		missing := c.do(r)
		if got := len(s.pull(100).Classes); got != r.burst-missing {
			s.Errorf("%s: %d slots of a burst of %d, want %d", c.name, got, r.burst, r.burst-missing)
		}
	}
}

// refunds is a budget whose slots are given back.
type refunds struct {
	*subject
	burst int
	name  string
}

// take spends n slots, and returns when.
func (r *refunds) take(n int) time.Time {
	r.Helper()
	if got := len(r.pull(n).Classes); got != n {
		r.Fatalf("%s: %d slots, want %d", r.name, got, n)
	}
	r.ask(0, 0)
	return r.clock.Now()
}

func (r *refunds) wait(d time.Duration) { r.clock.Advance(d) }

func (r *refunds) refund(n int, granted time.Time) {
	r.all[0].Refund(context.Background(), r.clock.Now(), r.budget, n, granted)
}

func (r *refunds) stop(d time.Duration) {
	r.all[0].Stop(context.Background(), r.clock.Now(), r.budget, d)
}
