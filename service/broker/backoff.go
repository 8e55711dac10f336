package broker

import "time"

// Waits between attempts.
const (
	// backoffBase and backoffMost bound the wait after an attempt that failed:
	// at most 250 ms after the first, twice that after the second, never above
	// 10 s. The mean is half of it.
	backoffBase = 250 * time.Millisecond
	backoffMost = 10 * time.Second

	// limitedLeast is how long a 429 without Retry-After, or with 0, stops a lane;
	// the vendor names 1 to 2 s. limitedMost is as far as a Retry-After is
	// believed: a longer one is asked about again after that time.
	limitedLeast = time.Second
	limitedMost  = time.Minute

	// crowdedBase and crowdedMost bound the wait for something at the Dashboard
	// to finish: an action batch, another network's deletion. Both take from
	// seconds to minutes, and the vendor's own client waits 30 s and more.
	crowdedBase = 5 * time.Second
	crowdedMost = time.Minute
)

// fullJitter is the wait after the nth attempt (from 1) that failed: anything
// between nothing and a bound that doubles, so that callers who failed together
// do not come back together. random is in [0, 1).
func fullJitter(n int, random float64) time.Duration {
	return time.Duration(random * float64(doubled(backoffBase, backoffMost, n)))
}

// crowdedWait is the wait for something at the Dashboard to finish: between half
// of a bound that doubles and all of it, because coming back at once is known to
// be useless.
func crowdedWait(n int, random float64) time.Duration {
	return time.Duration((0.5 + random/2) * float64(doubled(crowdedBase, crowdedMost, n)))
}

// limitedWait is how long a 429 stops a lane: what Retry-After says within its
// bounds, and up to a tenth more, one second at the most, so that replicas do not
// all come back at the same moment.
func limitedWait(said time.Duration, random float64) time.Duration {
	if said <= 0 {
		said = limitedLeast
	}
	d := min(said, limitedMost)
	return d + time.Duration(random*float64(min(d/10, time.Second)))
}

// doubled is base, doubled n-1 times, and at most most.
func doubled(base, most time.Duration, n int) time.Duration {
	for ; n > 1 && base < most; n-- {
		base *= 2
	}
	return min(base, most)
}
