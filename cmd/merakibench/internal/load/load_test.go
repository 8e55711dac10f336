package load

import (
	"context"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestArrivals(t *testing.T) {
	t.Parallel()
	even := slices.Collect(Even(4, time.Second))
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}
	if !slices.Equal(even, want) {
		t.Errorf("four a second: %v", even)
	}
	one := slices.Collect(Poisson(100, 100*time.Second, 1))
	if n := float64(len(one)); math.Abs(n-10_000) > 400 { // four standard deviations
		t.Errorf("100 a second for 100 s: %v", n)
	}
	if !slices.IsSorted(one) || one[len(one)-1] >= 100*time.Second {
		t.Error("out of order, or too late")
	}
	if !slices.Equal(one, slices.Collect(Poisson(100, 100*time.Second, 1))) {
		t.Error("the same seed gives other arrivals")
	}
	if slices.Equal(one, slices.Collect(Poisson(100, 100*time.Second, 2))) {
		t.Error("another seed gives the same arrivals")
	}
}

// TestOpenLoop: what is slow does not hold back what is due, and a time counts from
// when it was due.
func TestOpenLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var times Times
		var mu sync.Mutex
		turn := 0
		Offer(t.Context(), start, Even(10, time.Second), func(_ int, due time.Time) {
			if late := time.Since(due); late != 0 {
				t.Errorf("offered %v late", late)
			}
			// One at a time, a second each: the tenth waits for the nine before it.
			mu.Lock()
			turn++
			until := start.Add(time.Duration(turn) * time.Second)
			mu.Unlock()
			<-time.After(time.Until(until))
			times.Record(time.Since(due))
		})
		if times.Count() != 10 {
			t.Errorf("%d times", times.Count())
		}
		if got := times.Percentile(100); math.Abs(got.Seconds()-9.1) > 0.01 {
			t.Errorf("the last took %v, want 9.1 s", got)
		}
		if got := times.Percentile(10); math.Abs(got.Seconds()-1) > 0.01 {
			t.Errorf("the first took %v, want 1 s", got)
		}
	})
}

func TestOfferEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1050*time.Millisecond)
		defer cancel()
		n := 0
		var mu sync.Mutex
		begun := time.Now()
		Offer(ctx, begun, Even(10, time.Hour), func(int, time.Time) {
			mu.Lock()
			n++
			mu.Unlock()
		})
		if n != 11 || time.Since(begun) > 2*time.Second {
			t.Errorf("%d in %v", n, time.Since(begun))
		}
	})
}

func TestTimes(t *testing.T) {
	t.Parallel()
	var times Times
	if times.Percentile(99) != 0 || times.Count() != 0 {
		t.Error("nothing is something")
	}
	for i := range 1000 {
		times.Record(time.Duration(i+1) * time.Millisecond)
	}
	for p, want := range map[float64]time.Duration{50: 500 * time.Millisecond, 99: 990 * time.Millisecond, 100: time.Second} {
		if got := times.Percentile(p); math.Abs(got.Seconds()/want.Seconds()-1) > 0.002 {
			t.Errorf("percentile %v: %v, want %v", p, got, want)
		}
	}
	times.Record(-time.Second)
	times.Record(time.Hour)
	if times.Count() != 1002 || times.Percentile(100) < 9*time.Minute {
		t.Errorf("what is out of range is lost: %d, %v", times.Count(), times.Percentile(100))
	}
	x, y := times.Curve()
	if len(x) != len(y) || !slices.IsSorted(y) {
		t.Errorf("a curve of percentiles that falls: %v", y)
	}
}
