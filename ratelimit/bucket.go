package ratelimit

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// grain is the part of a token that may be missing from a whole one, so that a
// lane that comes back exactly at the told time is not sent away for a rounding
// error.
const grain = 1e-9

// A bucket is a rate.Limiter whose level can be set. A new Limiter always starts
// full; a Limiter that was emptied some time ago can stand at any level.
//
// The bucket remembers its past levels for refunds. A slot that is given back
// raises the level to where it would be if the slot had never been granted. If
// the bucket would have been full in between, the token would have overflowed,
// and the refund raises nothing.
type bucket struct {
	limiter *rate.Limiter
	rate    float64
	burst   int
	// full is when the bucket was last full, or lost everything that could come
	// back. Slots granted before full do not come back.
	full time.Time
	// peaks are levels that the bucket has had since full, each just before slots
	// were granted.
	peaks []peak
}

// A peak is a level that the bucket has had.
type peak struct {
	at    time.Time
	level float64
}

// mostPeaks bounds the peaks. More peaks would make refunds a little less
// cautious, not more correct.
const mostPeaks = 8

// newBucket returns a bucket that is full.
func newBucket(perSecond, burst float64) bucket {
	k := bucket{rate: max(0, perSecond), burst: depth(burst)}
	k.limiter = rate.NewLimiter(rate.Limit(k.rate), k.burst)
	return k
}

// depth is a burst in whole requests, at least one: a bucket that holds none
// would never grant a slot.
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
		k.void(now)
	}
}

// reset sets the level that the bucket has at a moment; the moment may lie ahead.
func (k *bucket) reset(at time.Time, level float64) {
	level = min(level, float64(k.burst))
	k.limiter = rate.NewLimiter(rate.Limit(k.rate), k.burst)
	if k.rate > 0 {
		at = at.Add(-time.Duration(level / k.rate * float64(time.Second)))
	}
	k.limiter.AllowN(at, k.burst)
}

// level is the number of tokens in the bucket.
func (k *bucket) level(now time.Time) float64 {
	return k.limiter.TokensAt(now)
}

// take takes one token if there is one.
func (k *bucket) take(now time.Time) bool {
	level := k.level(now)
	if !k.limiter.AllowN(now, 1) {
		return false
	}
	k.note(now, level)
	return true
}

// note remembers the level before a slot was granted.
func (k *bucket) note(now time.Time, level float64) {
	if level >= float64(k.burst)-grain {
		k.void(now)
		return
	}
	n := len(k.peaks)
	if !now.After(k.full) || n > 0 && !now.After(k.peaks[n-1].at) {
		return // of slots granted at one moment the first one saw the highest level
	}
	for n > 0 && k.peaks[n-1].level <= level {
		n--
	}
	k.peaks = k.peaks[:n]
	if n == mostPeaks { // the two oldest become one that is as high and as late
		k.peaks[1].level = max(k.peaks[0].level, k.peaks[1].level)
		k.peaks = append(k.peaks[:0], k.peaks[1:]...)
	}
	k.peaks = append(k.peaks, peak{now, level})
}

// void notes that no slot granted before a moment can come back.
func (k *bucket) void(before time.Time) {
	if before.After(k.full) {
		k.full = before
	}
	k.peaks = k.peaks[:0]
}

// refund gives back n slots that were granted at a moment, as far as the bucket
// would not have overflowed without the grants. It reports false when none of the
// slots can come back.
func (k *bucket) refund(now time.Time, n int, granted time.Time) bool {
	if granted.Before(k.full) || granted.After(now) {
		return false
	}
	level := k.level(now)
	highest := level
	for _, p := range k.peaks {
		if p.at.After(granted) {
			highest = max(highest, p.level)
		}
	}
	back := min(float64(n), float64(k.burst)-highest)
	if back <= 0 {
		return false
	}
	for i := range k.peaks {
		if p := &k.peaks[i]; p.at.After(granted) {
			p.level += back
		}
	}
	k.reset(now, level+back)
	return true
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
