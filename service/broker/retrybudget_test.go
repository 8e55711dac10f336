package broker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// traffic makes calls at a rate a second, each attempt failing with a
// probability, and retries as the judge does. Time passes in steps, not really.
func traffic(b *retryBudget, start time.Time, calls int, rate, failing float64, seed uint64) (ok, attempts int) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range calls {
		now := start.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		for failed := 1; ; failed++ {
			attempts++
			if r.Float64() >= failing {
				b.succeed()
				ok++
				break
			}
			if failed == mostFailures || !b.allows(now) || !b.spend(now) {
				break
			}
		}
	}
	return ok, attempts
}

// Scattered failures are all retried: nothing is lost that could be helped.
func TestRetryBudgetScatteredFailures(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0.1, 1, 10, 1000} {
		for seed := range uint64(5) {
			var b retryBudget
			const calls = 10_000
			if ok, attempts := traffic(&b, judged, calls, rate, 0.2, seed); ok < calls*999/1000 || attempts > calls*13/10 {
				t.Errorf("%g calls a second: %d of %d OK with %d attempts", rate, ok, calls, attempts)
			}
		}
	}
}

// An outage is not multiplied, and the budget is back soon after it.
func TestRetryBudgetOutage(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{2, 10, 100} {
		var b retryBudget
		traffic(&b, judged, 1000, rate, 0, 1)
		start := judged.Add(time.Hour)
		calls := int(rate * 120)
		ok, attempts := traffic(&b, start, calls, rate, 1, 1)
		if share := float64(attempts) / float64(calls); ok != 0 || share > 1.1 {
			t.Errorf("%g calls a second: %.3f attempts a call in an outage", rate, share)
		}
		end := start.Add(2 * time.Minute)
		if ok, _ := traffic(&b, end, 5*int(rate), rate, 0, 1); ok != 5*int(rate) || !b.allows(end.Add(5*time.Second)) {
			t.Errorf("%g calls a second: no retry within 5 s of the outage's end", rate)
		}
	}
}

func TestRetryBudgetClock(t *testing.T) {
	t.Parallel()
	var b retryBudget
	for i := range 10 {
		if !b.spend(judged) {
			t.Fatalf("the bank holds %d", i)
		}
	}
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {-time.Hour, false}, {9 * time.Second, false}, {10*time.Second + time.Millisecond, true}, {0, false}, {time.Hour, true}} {
		if got := b.spend(judged.Add(c.after)); got != c.want {
			t.Errorf("after %v: %t", c.after, got)
		}
	}
	b.succeed()
	if b.spent < 0 || b.spent > retryBank {
		t.Errorf("the bank lacks %v", b.spent)
	}
}
