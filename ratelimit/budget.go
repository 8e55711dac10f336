package ratelimit

import (
	"fmt"
	"time"
)

// A Budget is what may be spent: a token bucket under a name. Two asks with one
// key draw on the same bucket; the rate and the burst of the latest count.
type Budget struct {
	// Key names the budget: "organization:123", "address".
	Key string
	// Rate is the ceiling, in requests a second. Headroom for applications that
	// do not go through this scheduler has been taken off already.
	Rate float64
	// Burst is how many requests may go at one moment. Parts of a request are
	// cut off.
	Burst float64
}

// State is what is known of a budget at one moment.
type State struct {
	// Rate is in force now, in requests a second; Ceiling is the budget's own.
	// They differ after a 429.
	Rate, Ceiling float64
	// Burst is the depth of the bucket, Tokens what is in it.
	Burst, Tokens float64
	// StoppedUntil is the end of the last stop; zero when there was none.
	StoppedUntil time.Time
	// Replicas that share the budget, this one included, as last heard.
	Replicas int
	// Shared tells that the state is held in a store for all replicas. It is
	// false in one process, and while the store is out of reach.
	Shared bool
}

// A Limit is what the server at the other end accepts: Rate requests a second
// for ever, and Burst at one moment.
type Limit struct {
	Rate, Burst float64
}

// Check tells whether a bucket of ours, in front of the limit, can never
// overfill it. Requests that leave within the rule can still arrive closer
// together than they left: those of jitter seconds can arrive at one moment.
// So burst + rate x jitter must not exceed the burst that the limit accepts, nor
// rate its rate. Headroom for others has to come out of the rate.
func Check(rate, burst float64, jitter time.Duration, limit Limit) error {
	if !(rate > 0) || !(burst >= 1) || jitter < 0 { // put so that NaN is wrong, too
		return fmt.Errorf("rate %g/s, burst %g, jitter %v: the rate must be above 0, the burst at least 1, the jitter not below 0", rate, burst, jitter)
	}
	if rate > limit.Rate {
		return fmt.Errorf("rate %g/s is above the %g/s that are accepted: lower the rate", rate, limit.Rate)
	}
	late := rate * jitter.Seconds()
	if sum := burst + late; sum > limit.Burst+1e-9 {
		return fmt.Errorf("burst %g + rate %g/s x jitter %gs = %g + %g = %g, above the burst of %g that is accepted: lower the burst to %g, or the rate",
			burst, rate, jitter.Seconds(), burst, late, sum, limit.Burst, max(0, limit.Burst-late))
	}
	return nil
}
