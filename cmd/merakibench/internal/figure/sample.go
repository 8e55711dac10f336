package figure

import (
	"math"
	"slices"
	"time"
)

// A Sample is values of which percentiles are wanted: few enough to keep all. For
// many, see package load.
type Sample []float64

// Percentile gives the smallest value that at least p percent do not exceed; not
// a number where there is none.
func (s Sample) Percentile(p float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	// The small amount takes back what binary fractions add: 99 of 100 is the
	// 99th, not the 100th.
	rank := int(math.Ceil(p/100*float64(len(s)) - 1e-9))
	return sorted[min(max(rank, 1), len(s))-1]
}

// Max gives the largest; not a number where there is none.
func (s Sample) Max() float64 { return s.Percentile(100) }

// Per is a part of a whole; not a number where there is no whole.
func Per[N int | float64](part, whole N) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

// Used is the share of a budget's rate that instants within [from, to) have used.
func Used(at []time.Time, from, to time.Time, rate float64) float64 {
	return Per(float64(Within(at, from, to)), rate*to.Sub(from).Seconds())
}

// Within counts the instants in [from, to).
func Within(at []time.Time, from, to time.Time) int {
	n := 0
	for _, t := range at {
		if !t.Before(from) && t.Before(to) {
			n++
		}
	}
	return n
}

// Rates gives how many a second there were, in windows of a length, each one step
// after the last; x is a window's middle, in seconds after the start.
func Rates(at []time.Time, start time.Time, length, window, step time.Duration) (x, y []float64) {
	sorted := slices.SortedFunc(slices.Values(at), time.Time.Compare)
	first, last := 0, 0
	for begin := time.Duration(0); begin+window <= length; begin += step {
		from, to := start.Add(begin), start.Add(begin+window)
		for first < len(sorted) && sorted[first].Before(from) {
			first++
		}
		for last = max(first, last); last < len(sorted) && sorted[last].Before(to); last++ {
		}
		x = append(x, (begin + window/2).Seconds())
		y = append(y, float64(last-first)/window.Seconds())
	}
	return x, y
}

// Settled gives when instants begin to come at a rate between low and high and go
// on so for a time: in every window of a length, in steps of a tenth of it, that
// lies in that time. In seconds after start; not a number when they never do.
func Settled(at []time.Time, start time.Time, length, window, holds time.Duration, low, high float64) float64 {
	step := window / 10
	x, y := Rates(at, start, length, window, step)
	need := int((holds-window)/step) + 1
	run := 0
	for i := range x {
		run++
		if y[i] < low-1e-9 || y[i] > high+1e-9 {
			run = 0
		}
		if run >= max(need, 1) {
			return x[i-run+1] - (window / 2).Seconds()
		}
	}
	return math.NaN()
}

// Overdraft is the most by which instants overran a budget in any window: their
// number less rate x length + burst. Below zero for a budget never overrun.
func Overdraft(at []time.Time, rate, burst float64) float64 {
	worst, level := math.Inf(-1), burst
	sorted := slices.SortedFunc(slices.Values(at), time.Time.Compare)
	for i, t := range sorted {
		if i > 0 {
			level = min(burst, level+t.Sub(sorted[i-1]).Seconds()*rate)
		}
		level--
		worst = max(worst, -level)
	}
	return worst
}
