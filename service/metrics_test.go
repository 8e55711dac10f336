package service

import (
	"sync"
	"sync/atomic"
	"testing"
)

// TestSeriesAreMadeOnce, whoever asks at the same time.
func TestSeriesAreMadeOnce(t *testing.T) {
	t.Parallel()
	type key struct {
		name   string
		number int
	}
	var made atomic.Int32
	c := newSeries(func(k key) *key { made.Add(1); return &k })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				k := key{"a", i}
				if got := c.of(k); *got != k || c.of(k) != got {
					t.Errorf("%v for %v", *got, k)
				}
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 100 {
		t.Errorf("%d were made, want 100", n)
	}
}
