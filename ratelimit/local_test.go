package ratelimit

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"
)

var organization = Budget{Key: "organization:1", Rate: 10, Burst: 8}

// ask asks for some of a caller's calls.
func ask(l *Local, now time.Time, b Budget, caller string, count int) Grant {
	g, err := l.Pull(context.Background(), now, Ask{
		Budget: b, Waiting: []Waiting{{Class: Class{Normal, caller}, Count: count}},
	})
	if err != nil {
		panic(err) // Local never fails
	}
	return g
}

func TestTake(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	for i := range 8 {
		if !l.Take(start, organization) {
			t.Fatalf("no slot %d of a burst of 8", i+1)
		}
	}
	if l.Take(start, organization) {
		t.Error("a ninth slot of a burst of 8")
	}
	if g := ask(l, start, organization, "a", 2); len(g.Classes) != 0 || g.Again.Round(time.Microsecond) != 100*time.Millisecond {
		t.Errorf("%d slots, again in %v", len(g.Classes), g.Again)
	}
	if g := ask(l, seconds(0.3), organization, "a", 2); len(g.Classes) != 2 {
		t.Errorf("%d slots", len(g.Classes))
	}
	if !l.Take(seconds(0.35), organization) {
		t.Error("no slot, and nobody waits")
	}
	l.Stop(context.Background(), seconds(10), organization, time.Second)
	if l.Take(seconds(10.9), organization) {
		t.Error("a slot in a stop")
	}
	if l.Take(seconds(11.1), organization) || !l.Take(seconds(11.2), organization) {
		t.Error("the first slot comes 1/7 s after the stop")
	}
}

func TestBucketReset(t *testing.T) {
	t.Parallel()
	for _, level := range []float64{0, 0.25, 1, 7.5, 8} {
		k := newBucket(10, 8)
		k.reset(seconds(1), level)
		if got := k.level(seconds(1)); got < level-1e-6 || got > level+1e-6 {
			t.Errorf("a level of %g, set to %g", got, level)
		}
		if wait := k.wait(seconds(1), level+1); wait < 99*time.Millisecond || wait > 101*time.Millisecond {
			t.Errorf("one more than %g in %v", level, wait)
		}
	}
	k := newBucket(0, 8)
	k.reset(start, 0)
	if k.take(seconds(1e6)) || k.wait(start, 1) < 24*time.Hour {
		t.Error("a bucket into which nothing flows gives nothing")
	}
}

// A narrow budget's lane is told to come back now and then, and not every instant.
func TestAgainIsBounded(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	b := Budget{Key: "operation:1", Rate: 0.01, Burst: 1}
	ask(l, start, b, "a", 1)
	if g := ask(l, start, b, "a", 1); len(g.Classes) != 0 || g.Again != recheck {
		t.Errorf("%d slots, again in %v", len(g.Classes), g.Again)
	}
	l.Hold(start, b, seconds(50))
	if g := ask(l, start, b, "a", 1); g.Again != 50*time.Second+recheck {
		t.Errorf("again in %v of a stop of 50 s", g.Again)
	}
	if g := ask(l, start, Budget{Key: "shut", Burst: 1}, "a", 2); len(g.Classes) != 1 || g.Again != recheck {
		t.Errorf("%d slots of a budget without a rate, again in %v", len(g.Classes), g.Again)
	}
}

func TestBudgetChanges(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	for l.Take(start, organization) {
	}
	half := organization
	half.Rate, half.Burst = 5, 4
	if g := ask(l, start, half, "a", 9); g.Again.Round(time.Microsecond) != 200*time.Millisecond || g.State.Ceiling != 5 {
		t.Errorf("again in %v, state %+v", g.Again, g.State)
	}
	if g := ask(l, seconds(60), half, "a", 9); len(g.Classes) != 4 {
		t.Errorf("%d slots of a burst of 4", len(g.Classes))
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	l.Open(start, organization, 1)
	if g := ask(l, start, organization, "a", 9); len(g.Classes) != 1 {
		t.Errorf("%d slots of a bucket with one token", len(g.Classes))
	}
	l.Open(start, organization, 8)
	if g := ask(l, start, organization, "a", 9); len(g.Classes) != 0 {
		t.Errorf("%d slots of a bucket that was opened twice", len(g.Classes))
	}
}

// A budget is forgotten when a new one would be no different, and not before.
func TestForget(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	ctx := context.Background()
	slow := Budget{Key: "slow", Rate: 0.01, Burst: 2}
	l.Take(start, slow)
	l.Stop(ctx, start, Budget{Key: "stopped", Rate: 10, Burst: 8}, time.Second)
	waits := Budget{Key: "waits", Rate: 10, Burst: 1}
	ask(l, start, waits, "a", 9)
	for i := range 1000 {
		l.Take(start, Budget{Key: strconv.Itoa(i), Rate: 10, Burst: 8})
	}
	if n := l.Budgets(); n != 1003 {
		t.Errorf("%d budgets, want 1003", n)
	}
	for range 1000 {
		l.Take(seconds(11), organization)
	}
	if n := l.Budgets(); n != 3 {
		t.Errorf("%d budgets after a rest, want the one in use, the slow and the stopped one", n)
	}
	if l.Peek(seconds(11), slow).Tokens > 1.2 {
		t.Error("the slow budget was forgotten before it was full")
	}
	for i := range 200 {
		l.Take(seconds(120+float64(i)), organization)
	}
	if n := l.Budgets(); n != 1 {
		t.Errorf("%d budgets in the end, want 1", n)
	}
	if got := NewLocal().Peek(start, organization); got.Tokens != 8 || got.Rate != 10 {
		t.Errorf("a budget that is not known: %+v", got)
	}
}

// Readings of the clock that arrive out of order do not count time twice.
func TestOutOfOrder(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	b := Budget{Key: "wide", Rate: 1000, Burst: 10}
	for l.Take(start, b) {
	}
	got := 0
	for range 100 {
		for _, now := range []time.Time{seconds(0.002), start} {
			if l.Take(now, b) {
				got++
			}
		}
	}
	if got != 2 {
		t.Errorf("%d slots in 2 ms at 1000/s", got)
	}
}

// Everything at once, for the race detector; and the count is right.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	ctx := context.Background()
	var all sync.WaitGroup
	var mu sync.Mutex
	got := 0
	for i := range 8 {
		all.Go(func() {
			for j := range 200 {
				now := start.Add(time.Duration(j) * time.Millisecond)
				n := len(ask(l, now, organization, fmt.Sprint("lane ", i), 3).Classes)
				if l.Take(now, organization) {
					n++
				}
				l.Succeed(ctx, now, organization)
				l.Peek(now, organization)
				l.Refund(ctx, now, organization, n/2, now)
				mu.Lock()
				got += n - n/2
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if got > 8+2 {
		t.Errorf("%d slots in 0.2 s", got)
	}
}

// TestClockSetBackInAStop: the stop ends as long after as it would have, and the bucket
// fills from there.
func TestClockSetBackInAStop(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	l.Stop(context.Background(), seconds(100), organization, 20*time.Second)
	for at, want := range map[float64]bool{50: false, 69.9: false} {
		if l.Take(seconds(at), organization) != want {
			t.Errorf("at %v s", at)
		}
	}
	if !l.Take(seconds(71), organization) {
		t.Error("no slot a second after the stop")
	}
}

// TestAStopOfNoTime is over at once, whatever a clock has said.
func TestAStopOfNoTime(t *testing.T) {
	t.Parallel()
	l := NewLocal()
	l.Stop(context.Background(), start, organization, -time.Second)
	if until := l.Peek(start, organization).StoppedUntil; !until.Equal(start) {
		t.Errorf("stopped until %v after %v", until, start)
	}
}
