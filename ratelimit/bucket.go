package ratelimit

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// grain is the part of a token that counts as a whole one, so that a lane that
// comes back exactly when told is not sent away for a rounding.
const grain = 1e-9

// A bucket is a rate.Limiter with a level that can be set. The Limiter itself
// only starts full; one that has been emptied a while ago stands at any level
// that is wanted.
type bucket struct {
	limiter *rate.Limiter
	rate    float64
	burst   int
}

// newBucket returns a bucket that is full.
func newBucket(perSecond, burst float64) bucket {
	k := bucket{rate: max(0, perSecond), burst: depth(burst)}
	k.limiter = rate.NewLimiter(rate.Limit(k.rate), k.burst)
	return k
}

// depth is a burst in whole requests; a bucket that holds none would never
// grant any.
func depth(burst float64) int {
	return int(max(1, min(burst, math.MaxInt32)))
}

// set gives the bucket another rate and burst from now on.
func (k *bucket) set(now time.Time, perSecond, burst float64) {
	if perSecond = max(0, perSecond); perSecond != k.rate {
		k.limiter.SetLimitAt(now, rate.Limit(perSecond))
		k.rate = perSecond
	}
	if deep := depth(burst); deep != k.burst {
		k.limiter.SetBurstAt(now, deep)
		k.burst = deep
	}
}

// reset gives the bucket the level that it has at a moment, which may lie ahead.
func (k *bucket) reset(at time.Time, level float64) {
	level = min(level, float64(k.burst))
	k.limiter = rate.NewLimiter(rate.Limit(k.rate), k.burst)
	if k.rate > 0 {
		at = at.Add(-time.Duration(level / k.rate * float64(time.Second)))
	}
	k.limiter.AllowN(at, k.burst)
}

// level is how many tokens there are.
func (k *bucket) level(now time.Time) float64 {
	return k.limiter.TokensAt(now)
}

// take takes one token if there is one.
func (k *bucket) take(now time.Time) bool {
	return k.limiter.AllowN(now, 1)
}

// wait is how long it takes until there are n tokens.
func (k *bucket) wait(now time.Time, n float64) time.Duration {
	missing := n - k.level(now)
	switch {
	case missing <= grain:
		return 0
	case k.rate <= 0:
		return math.MaxInt64
	}
	// Rounded up: a lane that comes a nanosecond early would find nothing.
	return time.Duration(min(math.Ceil(missing/k.rate*float64(time.Second))+1, math.MaxInt64/2))
}
