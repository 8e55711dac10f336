package ratelimittest

import (
	"testing"
	"time"
)

func TestBoundCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		left   []time.Duration
		filled []time.Duration
		ok     bool
	}{
		"a burst, and the rate":     {left: []time.Duration{0, 0, 0, 500 * time.Millisecond, time.Second}, ok: true},
		"one more than the burst":   {left: []time.Duration{0, 0, 0, 0}},
		"one too early":             {left: []time.Duration{0, 0, 0, 400 * time.Millisecond}},
		"in any order":              {left: []time.Duration{time.Second, 0, 500 * time.Millisecond, 0, 0}, ok: true},
		"a burst after a rest":      {left: []time.Duration{0, 0, 0, time.Minute, time.Minute, time.Minute}, ok: true},
		"two bursts after a rest":   {left: []time.Duration{0, time.Minute, time.Minute, time.Minute, time.Minute}},
		"a burst after it was full": {left: []time.Duration{0, 0, 0, 9, 9, 9}, filled: []time.Duration{9}, ok: true},
	} {
		b := Bound{Rate: 2, Burst: 3, left: c.left, filled: c.filled}
		if err := b.Check(); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
