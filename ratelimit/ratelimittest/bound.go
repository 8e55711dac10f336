package ratelimittest

import (
	"fmt"
	"sort"
	"time"
)

// A Bound holds what has left against burst + rate x t, over every window of
// time: what a bucket that was full at first would have let pass.
type Bound struct {
	Rate, Burst float64
	left        []time.Duration
	filled      []time.Duration
}

// Leave notes a request that leaves.
func (b *Bound) Leave(at time.Duration) { b.left = append(b.left, at) }

// Fill notes a moment at which the bucket may have become full by right, as after
// a clock was set forward.
func (b *Bound) Fill(at time.Duration) { b.filled = append(b.filled, at) }

// Left is how many have left.
func (b *Bound) Left() int { return len(b.left) }

// Check tells whether the bound has held.
func (b *Bound) Check() error {
	sort.Slice(b.left, func(i, j int) bool { return b.left[i] < b.left[j] })
	level, last, fills := b.Burst, time.Duration(0), b.filled
	for i, at := range b.left {
		for len(fills) > 0 && fills[0] <= at {
			level, last, fills = b.Burst, fills[0], fills[1:]
		}
		level = min(b.Burst, level+b.Rate*(at-last).Seconds()) - 1
		last = at
		if level < -1e-3 { // a thousandth of a slot, for rounding
			return fmt.Errorf("request %d of %d, at %v, is %.3f above burst %g + rate %g/s x t", i+1, len(b.left), at, -level, b.Burst, b.Rate)
		}
	}
	return nil
}
