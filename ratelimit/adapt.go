package ratelimit

import (
	"math"
	"time"
)

const (
	// decrease is what a stop multiplies the rate by.
	decrease = 0.7
	// increase is what a success adds to the rate, in requests a second.
	increase = 0.2
	// floor is what no stop goes below, in requests a second.
	floor = 0.5
	// proof is how long the rate stays near the mark without a refusal before
	// the mark counts for nothing. By then more has been spent above the mark
	// than the server's bucket holds (12 of 10), so the mark must be wrong.
	proof = 26 * time.Second
	// probed is what has been spent above the mark when proof is over, in requests.
	probed = 12.0
	// memory is how old a stop may be for the throughput since then to mean
	// anything.
	memory = 60 * time.Second
	// settled is how long two stops have to be apart for the throughput between
	// them to mean anything; believed is how far it may fall below the rate
	// at which the second one came.
	settled  = 2 * time.Second
	believed = 0.6
	// pause is how much of a stop counts as time in which the server's bucket
	// filled: a longer one fills it to the brim, and what comes after is lost.
	pause = 1500 * time.Millisecond
	// untold stands for a number of slots that tells nothing.
	untold = -1e18
)

// A Pace is what 429s have taught about one budget: the rate in force, and how
// it comes back. It is a value: each event gives the next one. The zero Pace
// has learned nothing.
//
// The rate falls to 0.7 of itself with a stop, and rises by 0.2 a second with a
// success: at six requests a second that is from 4 to 10 in five seconds, and
// would meet the next 429 as soon. What holds it is the mark. A 429 says that the
// server's bucket is empty; so what was granted between two of them is what came
// into that bucket meanwhile, less what others took: exactly our part, whatever
// the others did and however deep the bucket. Successes lead back to the mark at
// once, and from there on a cubic curve, flat at first, looks for more.
type Pace struct {
	// Rate in force, in requests a second; 0 for the ceiling.
	Rate float64
	// Mark is what the others seemed to leave, in requests a second; 0 for none.
	Mark float64
	// Since is when the server's bucket was last known to be empty; zero for never.
	Since time.Time
	// Until is the end of the last stop.
	Until time.Time
	// Spent counts the slots granted since then. It is far below 0 when it can
	// no longer tell anything: our bucket was full in between, so less was
	// asked for than was left to us.
	Spent float64
}

// At is the rate in force under a ceiling.
func (p Pace) At(ceiling float64) float64 {
	if p.Rate <= 0 || p.Rate > ceiling {
		return ceiling
	}
	return p.Rate
}

// Stop is the pace after a 429 that stops the budget for d. Others that arrive
// before the stop is over tell the same story: they may prolong it, and do not
// lower the rate again.
func (p Pace) Stop(now time.Time, d time.Duration, ceiling float64) Pace {
	until := now.Add(d)
	if now.Before(p.Until) {
		if until.After(p.Until) {
			p.Until = until
		}
		p.Since, p.Spent = p.Until.Add(-min(d, pause)), 0
		return p
	}
	rate := p.At(ceiling)
	mark := rate
	if gap := now.Sub(p.Since); !p.Since.IsZero() && p.Spent > 0 && gap >= settled && gap <= memory {
		// One of the spent was refused. A small number
		// of requests is a poor measure: the next stop will say the rest.
		mark = max(rate*believed, min(rate, (p.Spent-1)/gap.Seconds()))
	}
	return Pace{
		Rate:  max(min(floor, ceiling), min(rate*decrease, mark)),
		Mark:  mark,
		Since: until.Add(-min(d, pause)),
		Until: until,
	}
}

// Hold is the pace of a budget that is stopped until then for a reason that
// teaches nothing.
func (p Pace) Hold(until time.Time) Pace {
	if until.After(p.Until) {
		p.Until, p.Since, p.Spent = until, until, 0
	}
	if p.Mark == 0 {
		p.Mark = math.Inf(1)
	}
	return p
}

// Succeed is the pace after n attempts that were not refused.
func (p Pace) Succeed(now time.Time, n int, ceiling float64) Pace {
	if p.Rate <= 0 || n <= 0 {
		return p
	}
	p.Rate = max(p.Rate, min(p.Rate+float64(n)*increase, p.bound(now, ceiling)))
	if p.Rate >= ceiling {
		p.Rate = 0
	}
	return p
}

// bound is how far successes may raise the rate at this moment.
func (p Pace) bound(now time.Time, ceiling float64) float64 {
	t := now.Sub(p.Until)
	if t >= proof {
		return ceiling
	}
	// The integral of c t^3 from 0 to proof is probed.
	c := 4 * probed / math.Pow(proof.Seconds(), 4)
	return min(ceiling, p.Mark+c*math.Pow(max(0, t.Seconds()), 3))
}

// Old tells that nothing the pace has learned counts any longer.
func (p Pace) Old(now time.Time) bool {
	return now.Sub(p.Until) > memory
}
