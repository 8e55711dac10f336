package ratelimit

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// First is the beginning of all classes in the order of the queue.
func TestFirst(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 3))
		starts := map[string]float64{}
		var all []Waiting
		waits := 0
		for i := range random.IntN(300) {
			w := Waiting{Class: Class{Priority(random.IntN(3)), fmt.Sprint("caller ", i/2)}, Count: random.IntN(4)}
			w.Priority = Priority(i%2*random.IntN(2) + i%2)
			starts[w.Caller] = float64(random.IntN(5))
			all = append(all, w)
			waits += min(1, w.Count)
		}
		first, more := First(all, func(caller string) float64 { return starts[caller] })
		if len(all) <= MostClasses {
			if more != 0 || len(first) != len(all) {
				t.Fatalf("seed %d: %d of %d classes, and %d more", seed, len(first), len(all), more)
			}
			continue
		}
		want := slices.DeleteFunc(slices.Clone(all), func(w Waiting) bool { return w.Count == 0 })
		slices.SortFunc(want, func(a, b Waiting) int {
			return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(starts[a.Caller], starts[b.Caller]), cmp.Compare(a.Caller, b.Caller))
		})
		want = want[:min(len(want), MostClasses)]
		if !slices.Equal(first, want) || more != waits-len(want) {
			t.Fatalf("seed %d: %v, and %d more, want %v, and %d", seed, first, more, want, waits-len(want))
		}
	}
}

// Callers whose finish says nothing any more are forgotten.
func TestFinishesAreForgotten(t *testing.T) {
	t.Parallel()
	var q fairQueue
	for i := range 10_000 {
		w := []Waiting{{Class: Class{Normal, fmt.Sprint(i)}, Count: 1, Weight: 1}, {Class: Class{Normal, "always"}, Count: 1}}
		if granted, left := q.grant(q.candidates(nil, w), 0, 2, func() bool { return true }); len(granted) != 2 || left {
			t.Fatalf("%v, %v", granted, left)
		}
		if len(q.finish) > 2*fewCallers {
			t.Fatalf("%d callers after %d steps", len(q.finish), i+1)
		}
	}
}

// Who is not among the first of a long queue comes after those whom it can come after.
func TestGrantOfTheFirst(t *testing.T) {
	t.Parallel()
	for more, want := range map[int]int{0: 4, 1: 3, 2: 3} {
		var q fairQueue
		all := q.candidates(nil, []Waiting{
			{Class: Class{Critical, "a"}, Count: 2, Weight: 1}, {Class: Class{Normal, "b"}, Count: 2, Weight: 1},
		})
		granted, left := q.grant(all, more, 9, func() bool { return true })
		if len(granted) != want || left != (more > 0) {
			t.Errorf("with %d more classes: %v, and more: %t", more, granted, left)
		}
	}
}
