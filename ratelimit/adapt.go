package ratelimit

import (
	"math"
	"time"
)

const (
	// decrease is the factor by which a stop multiplies the rate.
	decrease = 0.7
	// increase is the amount that a success adds to the rate, in requests a
	// second.
	increase = 0.2
	// floor is the rate below which no stop goes, in requests a second.
	floor = 0.5
	// proof is the time without a refusal after which the mark is given up. By
	// then 12 requests were spent above the mark, more than the 10 that the
	// server's bucket holds, so the mark must be too low.
	proof = 26 * time.Second
	// probed is the number of requests spent above the mark within proof.
	probed = 12.0
	// memory is the age at which a stop is forgotten. A count of slots since an
	// older stop gives an average over too long a time to set a mark.
	memory = 60 * time.Second
	// settled is the least time between two stops in which the second stop
	// measures the throughput: in a shorter time a few requests more or less
	// change the figure too much.
	settled = 2 * time.Second
	// believed is the lowest measured throughput that sets the mark, as a part of
	// the rate in force at the second stop. A lower throughput says that we asked
	// for little, not that others took the rest.
	believed = 0.6
	// pause is the longest part of a stop that counts as time in which the
	// server's bucket fills. In a longer stop the bucket is full before the end,
	// and the tokens that come after that are lost.
	pause = 1500 * time.Millisecond
	// untold marks a count of slots that measures nothing.
	untold = -1e18
)

// A Pace is what 429s have shown about one budget: the rate in force, and how the
// rate comes back. It is a value: each event gives the next one. The zero Pace
// has learned nothing.
//
// A stop multiplies the rate by 0.7, and a success adds 0.2 a second to it. At
// six requests a second, successes alone would lead from 4 to 10 in five seconds,
// and the next 429 would follow as soon. The mark prevents this. A 429 says that the
// server's bucket is empty. The slots granted between two 429s are therefore the
// tokens that came into the server's bucket in between, less the tokens that
// others took. This is exactly our part, whatever the others did and however deep
// the bucket is. Successes lead the rate back to the mark at once. From there a
// cubic curve, flat at first, looks for more.
type Pace struct {
	// Rate in force, in requests a second; 0 for the ceiling.
	Rate float64
	// Mark is the rate that the others seemed to leave, in requests a second; 0
	// for none.
	Mark float64
	// Since is when the server's bucket was last known to be empty; zero for never.
	Since time.Time
	// Until is the end of the last stop.
	Until time.Time
	// Spent counts the slots granted since Since. It is far below 0 when our
	// bucket was full in between: we then asked for less than was left to us, so
	// the count does not measure what the others left.
	Spent float64
}

// At is the rate in force under a ceiling.
func (p Pace) At(ceiling float64) float64 {
	if p.Rate <= 0 || p.Rate > ceiling {
		return ceiling
	}
	return p.Rate
}

// Stop is the pace after a 429 that stops the budget for d. A 429 that arrives
// before the stop is over has the same cause as the stop: it may prolong the
// stop, and does not lower the rate again.
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
		// One of the spent requests was refused. A small number of requests is a
		// poor measure; the next stop gives another one.
		mark = max(rate*believed, min(rate, (p.Spent-1)/gap.Seconds()))
	}
	return Pace{
		Rate:  max(min(floor, ceiling), min(rate*decrease, mark)),
		Mark:  mark,
		Since: until.Add(-min(d, pause)),
		Until: until,
	}
}

// Hold is the pace of a budget that is stopped until a moment, for a reason that
// shows nothing about the rate.
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

// Old tells whether everything that the pace has learned is too old to count.
func (p Pace) Old(now time.Time) bool {
	return now.Sub(p.Until) > memory
}
