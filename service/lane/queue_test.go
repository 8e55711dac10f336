package lane

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

func classOf(p ratelimit.Priority, caller string) ratelimit.Class {
	return ratelimit.Class{Priority: p, Caller: caller}
}

// filled makes a queue with so many calls of each class.
func filled(counts map[ratelimit.Class]int) *queue {
	q := new(queue)
	now := time.Unix(0, 0)
	for c, n := range counts {
		for i := range n {
			q.push(&waiter{class: c, weight: 1, since: now.Add(time.Duration(i))})
		}
	}
	return q
}

func TestAhead(t *testing.T) {
	t.Parallel()
	normalA, normalB := classOf(ratelimit.Normal, "a"), classOf(ratelimit.Normal, "b")
	criticalB, bulkA := classOf(ratelimit.Critical, "b"), classOf(ratelimit.Bulk, "a")
	for name, c := range map[string]struct {
		waiting map[ratelimit.Class]int
		class   ratelimit.Class
		weight  float64
		want    int
	}{
		"nobody":                 {nil, normalA, 1, 0},
		"its own":                {map[ratelimit.Class]int{normalA: 5}, normalA, 1, 5},
		"a lower priority":       {map[ratelimit.Class]int{bulkA: 500}, normalA, 1, 0},
		"a higher priority":      {map[ratelimit.Class]int{criticalB: 7}, normalA, 1, 7},
		"another caller's many":  {map[ratelimit.Class]int{normalB: 500}, normalA, 1, 1},
		"another caller's few":   {map[ratelimit.Class]int{normalB: 2, normalA: 9}, normalA, 1, 11},
		"with three shares":      {map[ratelimit.Class]int{normalB: 500, normalA: 8}, normalA, 3, 11},
		"with a third of one":    {map[ratelimit.Class]int{normalB: 500}, normalA, 1.0 / 3, 3},
		"of everything a little": {map[ratelimit.Class]int{criticalB: 2, normalA: 1, normalB: 10, bulkA: 10}, normalA, 1, 5},
	} {
		if got := filled(c.waiting).ahead(c.class, c.weight); got != c.want {
			t.Errorf("%s: %d ahead, want %d", name, got, c.want)
		}
	}
}

func TestLongest(t *testing.T) {
	t.Parallel()
	normalA, normalB := classOf(ratelimit.Normal, "a"), classOf(ratelimit.Normal, "b")
	bulkA, criticalB := classOf(ratelimit.Bulk, "a"), classOf(ratelimit.Critical, "b")
	for name, c := range map[string]struct {
		waiting  map[ratelimit.Class]int
		newcomer ratelimit.Class
		want     *ratelimit.Class
	}{
		"itself has most":            {map[ratelimit.Class]int{normalA: 9, normalB: 1}, normalA, nil},
		"another has most":           {map[ratelimit.Class]int{normalA: 9, normalB: 1}, normalB, &normalA},
		"both have the same":         {map[ratelimit.Class]int{normalA: 5, normalB: 5}, normalB, nil},
		"one more would be the most": {map[ratelimit.Class]int{normalA: 6, normalB: 5}, normalB, nil},
		"bulk goes first":            {map[ratelimit.Class]int{normalA: 9, bulkA: 1}, normalB, &bulkA},
		"never a higher priority":    {map[ratelimit.Class]int{criticalB: 10}, normalA, nil},
	} {
		w := filled(c.waiting).longest(c.newcomer, 1)
		switch {
		case w == nil && c.want != nil:
			t.Errorf("%s: nobody, want one of %v", name, *c.want)
		case w != nil && (c.want == nil || w.class != *c.want):
			t.Errorf("%s: one of %v, want %v", name, w.class, c.want)
		case w != nil && w.next != nil:
			t.Errorf("%s: not the latest of its class", name)
		}
	}
}

// TestQueueKeepsOrder does random things to a queue and holds it against what it
// must be: counts that add up, and in each class those that come back first, each
// oldest first.
func TestQueueKeepsOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	var q queue
	var in []*waiter
	now := time.Unix(0, 0)
	for range 20_000 {
		now = now.Add(time.Millisecond)
		if random.IntN(2) == 0 && len(in) < 200 {
			w := &waiter{
				class:  classOf(ratelimit.Priority(random.IntN(3)), fmt.Sprint(random.IntN(4))),
				weight: 1, since: now, returning: random.IntN(5) == 0, internal: random.IntN(20) == 0,
			}
			if random.IntN(10) == 0 {
				w.since = now.Add(-time.Second) // raised, with the time it has waited
			}
			q.push(w)
			in = append(in, w)
		} else if len(in) > 0 {
			i := random.IntN(len(in))
			q.remove(in[i])
			in[i] = in[len(in)-1]
			in = in[:len(in)-1]
		}
		length, calls := 0, 0
		for i, c := range q.classes {
			if c.index != i || q.byClass[c.class] != c || c.count == 0 {
				t.Fatalf("class %v at %d: %+v", c.class, i, c)
			}
			n := 0
			for w := c.head; w != nil; w = w.next {
				n++
				if !w.internal {
					calls++
				}
				if p := w.prev; p != nil && (!p.returning && w.returning || p.returning == w.returning && p.since.After(w.since)) {
					t.Fatal("out of order")
				}
				if w.next == nil && c.tail != w {
					t.Fatal("the last is not the tail")
				}
			}
			if n != c.count {
				t.Fatalf("%d in the class, which counts %d", n, c.count)
			}
			length += n
		}
		if length != len(in) || q.length != length || q.calls != calls || len(q.byClass) != len(q.classes) {
			t.Fatalf("%d in the queue, %d counted, %d put in", length, q.length, len(in))
		}
	}
}

func TestReservations(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	var q queue
	a := &waiter{class: classOf(ratelimit.Normal, "a"), fingerprint: 1}
	p := q.history(now, a.class)
	p.issue(now, now.Add(time.Second), 1)
	p.issue(now, now.Add(2*time.Second), 1)
	for _, c := range []struct {
		name  string
		after time.Duration
		w     *waiter
		want  bool
	}{
		{"too soon", time.Second, a, false},
		{"another thing", 2 * time.Second, &waiter{class: a.class, fingerprint: 2}, false},
		{"another caller", 2 * time.Second, &waiter{class: classOf(ratelimit.Normal, "b"), fingerprint: 1}, false},
		{"in time", 2 * time.Second, a, true},
		{"the second of two", 3 * time.Second, a, true},
		{"a third", 3 * time.Second, a, false},
	} {
		if got := q.claim(now.Add(c.after), c.w); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	p.issue(now, now.Add(time.Second), 3)
	if q.claim(now.Add(time.Second+reservationLasts+1), &waiter{class: a.class, fingerprint: 3}) {
		t.Error("a reservation is good long after its moment")
	}
	// Neither reservations nor classes grow without bound.
	for i := range uint64(5000) {
		p.issue(now, now, i)
	}
	if len(p.reservations) > mostReservations {
		t.Errorf("%d reservations", len(p.reservations))
	}
	for i := range 1000 {
		if p := q.history(now, classOf(ratelimit.Normal, fmt.Sprint(i))); p != nil {
			p.booked = now
		}
	}
	if len(q.histories) > mostHistories {
		t.Errorf("%d classes remembered", len(q.histories))
	}
	if q.history(now.Add(time.Hour), classOf(ratelimit.Normal, "late")) == nil || len(q.histories) > 2 {
		t.Errorf("%d classes remembered an hour later", len(q.histories))
	}
}

// TestASlotOfAnEmptyClass goes to whoever is first.
func TestASlotOfAnEmptyClass(t *testing.T) {
	t.Parallel()
	l := lanesOf(t).organization("1")
	w := &waiter{class: classOf(ratelimit.Normal, "a"), weight: 1}
	l.queue.push(w)
	if got := l.pick(classOf(ratelimit.Bulk, "b"), time.Now()); got != w {
		t.Errorf("%+v", got)
	}
}

// TestARaisedSlot waits in the class that it was raised to, before it waits too.
func TestARaisedSlot(t *testing.T) {
	t.Parallel()
	var s Slot
	for _, p := range []ratelimit.Priority{ratelimit.Normal, ratelimit.Bulk, ratelimit.Critical} {
		s.Raise(p)
		want := min(p, ratelimit.Normal)
		if got := s.class(classOf(ratelimit.Bulk, "a")).Priority; got != want {
			t.Errorf("raised to %v: %v; want %v", p, got, want)
		}
	}
}

// TestOnlyAClassThatIsNewIsNews to the scheduler, which counts classes; it is so again
// when the last of it has gone.
func TestOnlyAClassThatIsNewIsNews(t *testing.T) {
	t.Parallel()
	var q queue
	var first *waiter
	for i, want := range []bool{true, false, true} {
		w := &waiter{class: classOf(ratelimit.Normal, "a"), weight: 1}
		if first = cmp.Or(first, w); i == 2 {
			w.class.Caller = "b"
		}
		if got := q.push(w); got != want {
			t.Errorf("the waiter %d: %t", i, got)
		}
	}
	q.remove(first)
	q.remove(q.oldest(first.class))
	if !q.push(&waiter{class: first.class, weight: 1}) {
		t.Error("a class that had gone is no news")
	}
}
