package redis

import (
	"math"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// part is this replica's part of every budget while the store is away.
//
// Of those that were heard from just before, m, each takes an equal part; while
// there may be more than those, up to the configured number n, one part is left
// for the ones that start without the store. They know nothing of m. There are
// at most n-m of them, and (n+1)^2/4 is the most that (m+1)(n-m) can be, so
// with that part each they stay within the part that is left, whatever m is:
// m/(m+1) + (n-m) x 4/(n+1)^2 <= 1. If none has ever been heard from, all n start
// so, and 1/n is the bound. One that has not been there for long enough to have heard of
// all counts among those that start without the store (Store.peers).
func part(members int, heard bool, replicas int) float64 {
	n := float64(max(replicas, 1))
	if !heard || members < 1 {
		return min(1/n, 4/((n+1)*(n+1)))
	}
	m := float64(members)
	if m >= n {
		return 1 / m
	}
	return 1 / (m + 1)
}

// spare is what each of n replicas keeps of a burst to go on with when the store
// has just gone: a slot, but together no more than half of the burst, and
// never the one slot that the store needs to grant any.
func spare(burst float64, n int) float64 {
	return max(0, min(1, burst/2/float64(n), (burst-1)/float64(n)))
}

// kept is a budget as the store knows it, less the spares.
func kept(b ratelimit.Budget, n int) ratelimit.Budget {
	b.Burst = max(1, b.Burst) - float64(n)*spare(b.Burst, n)
	return b
}

// divided is this replica's part of a budget. pace is the rate that was in force
// in the store, 0 if it is not known.
func (o *outage) divided(b ratelimit.Budget, pace float64) ratelimit.Budget {
	if pace > 0 {
		b.Rate = min(b.Rate, pace)
	}
	b.Rate *= o.part
	b.Burst = max(1, math.Floor(b.Burst*o.part))
	return b
}

// goAlone begins an outage at a moment, because of the budget with this key.
func (s *Store) goAlone(at time.Time, key string, cause error) *outage {
	members, known := s.peers(at)
	o := &outage{since: at, key: key, part: part(members, known, s.config.Replicas)}
	o.local = ratelimit.NewLocal()
	current, opened := s.breaker.open(o)
	if opened {
		s.config.Logger.Warn("the store of the budgets is out of reach; going on alone",
			"part", o.part, "replicas_heard", members, "error", cause)
	}
	return current
}
