package broker

import (
	"testing"
	"time"
)

// TestShare: a caller that may have a tenth of the budget gets one slot a second
// of ten, the others the rest, and is told so before it asks.
func TestShare(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		start := time.Now()
		var calls []*Call
		for i := range 4 {
			c := read("1", i)
			c.Share = 0.1
			calls = append(calls, c)
		}
		for _, f := range do(t, b, time.Minute, calls...) {
			if f != nil {
				t.Error(f)
			}
		}
		if took := time.Since(start); took < 3*time.Second || took > 3100*time.Millisecond {
			t.Errorf("4 calls of a tenth of the budget took %v", took)
		}
		e, err := b.Explain(t.Context(), calls[0])
		if err != nil || e.Wait < 900*time.Millisecond || e.Organization != "1" {
			t.Errorf("the next one of its: %+v, %v", e, err)
		}
		if e, err = b.Explain(t.Context(), read("1", 9)); err != nil || e.Wait != 0 {
			t.Errorf("one of another caller's: %+v, %v", e, err)
		}
	})
}
