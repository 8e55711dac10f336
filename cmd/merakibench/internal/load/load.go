// Package load offers work at a stated rate, and measures how long it took, the
// way that tells the truth about a queue.
//
// The loop is open: arrivals come when they are due, whether or not the ones
// before them are done, as callers who do not know of each other do. And a time
// counts from the moment at which the arrival was *due*, not from when the
// machine came to send it: a loop that waits for a slow answer before it asks
// again leaves out just the waits that it is to find (coordinated omission).
package load

import (
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Even gives arrivals at equal distances: rate a second, for a length of time.
func Even(rate float64, length time.Duration) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		for i := 0; ; i++ {
			due := time.Duration(float64(i) / rate * float64(time.Second))
			if due >= length || !yield(due) {
				return
			}
		}
	}
}

// Poisson gives arrivals as independent callers make them, rate a second on the
// average, for a length of time; the same for the same seed.
func Poisson(rate float64, length time.Duration, seed uint64) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		random := rand.New(rand.NewPCG(seed, 0xa881))
		due := 0.0
		for {
			due += random.ExpFloat64() / rate
			d := time.Duration(due * float64(time.Second))
			if d >= length || !yield(d) {
				return
			}
		}
	}
}

// Offer calls do for each arrival when it is due, each in a goroutine of its own,
// and returns when all are over. It stops offering when ctx ends; do has to see
// to its own end then.
func Offer(ctx context.Context, start time.Time, arrivals iter.Seq[time.Duration], do func(n int, due time.Time)) {
	var under sync.WaitGroup
	defer under.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	n := 0
	for after := range arrivals {
		due := start.Add(after)
		if left := time.Until(due); left > 0 {
			timer.Reset(left)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		if ctx.Err() != nil {
			return
		}
		i := n
		under.Go(func() { do(i, due) })
		n++
	}
}

// Times are how long things took, in a histogram of constant size whose values
// are right to three digits, from a microsecond to ten minutes. Safe for use by
// many goroutines.
type Times struct {
	mu sync.Mutex
	h  *hdr.Histogram
}

const (
	shortest = time.Microsecond
	longest  = 10 * time.Minute
)

// Record adds a time; one out of range counts as the nearest that is in it.
func (t *Times) Record(d time.Duration) {
	d = min(max(d, shortest), longest)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h == nil {
		t.h = hdr.New(shortest.Microseconds(), longest.Microseconds(), 3)
	}
	_ = t.h.RecordValue(d.Microseconds()) // in range, so it cannot fail
}

// Percentile gives the time that p percent do not exceed; 0 when there is none.
func (t *Times) Percentile(p float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h == nil {
		return 0
	}
	return time.Duration(t.h.ValueAtPercentile(p)) * time.Microsecond
}

// Count is how many there are.
func (t *Times) Count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.h == nil {
		return 0
	}
	return t.h.TotalCount()
}

// Curve gives the percentiles for a plot, from the median on, ever closer to 100:
// x is "nines" (1 for 90, 2 for 99), y milliseconds.
func (t *Times) Curve() (x, y []float64) {
	for nines := 0.3; nines <= 4; nines += 0.1 {
		x = append(x, nines)
		y = append(y, t.Percentile(100-100*pow10(-nines)).Seconds()*1e3)
	}
	return x, y
}

func pow10(x float64) float64 { return math.Pow(10, x) }
