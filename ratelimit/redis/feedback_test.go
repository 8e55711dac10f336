package redis

import (
	"fmt"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A note is kept for as long as what is in it matters, and the notes are bounded.
func TestNotes(t *testing.T) {
	t.Parallel()
	n, err := newNotes()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	n.of(now, "old").alone = 1
	n.of(now, "used").alone = 2
	n.of(now.Add(noteAge), "used")
	if k := n.of(now.Add(noteAge), "old"); k.alone != 1 {
		t.Error("a note was dropped before its time")
	}
	n.of(now.Add(noteAge+time.Second), "used")
	n.of(now.Add(2*noteAge+time.Millisecond), "another")
	if k := n.of(now.Add(2*noteAge+time.Millisecond), "old"); k.alone != 0 {
		t.Error("a note is kept that nobody has looked at for longer than a minute")
	}
	if k := n.of(now.Add(2*noteAge+time.Millisecond), "used"); k.alone != 2 {
		t.Error("a note that was used within the minute was dropped")
	}
	for i := range mostNotes + 10 {
		n.of(now.Add(2*noteAge), fmt.Sprint(i))
	}
	if got := n.lru.Len(); got != mostNotes {
		t.Errorf("%d notes, want %d at the most", got, mostNotes)
	}
}

// TestStepsHeardInAnyOrder: the state that the store told last stays, also when it is
// heard first; and a stop counts as told where the step before told it.
func TestStepsHeardInAnyOrder(t *testing.T) {
	t.Parallel()
	const takes = 50 * time.Millisecond
	start := time.Now()
	stop := start.Add(time.Minute)
	hear := func(k *note, r feedback, at time.Duration, stopped time.Time) {
		k.hear(start, r, ratelimit.State{StoppedUntil: stopped}, result{at: (time.Hour + at).Microseconds()}, takes)
	}
	for name, row := range map[string]struct {
		first, second time.Duration // by the store's clock
		stoppedFirst  bool          // the first that is heard tells of a stop
		want          bool
	}{
		"a pull that was before the stop, heard after it": {takes, takes / 2, true, true},
		"a pull after the stop's end":                     {0, takes, true, false},
		"a stop before a pull that did not meet it":       {takes, takes / 2, false, false},
		"a stop":                                 {0, takes, false, true},
		"the store's clock went back, no stop":   {time.Minute, 0, true, false},
		"the store's clock went back, by a stop": {time.Minute, 0, false, true},
	} {
		k := new(note)
		for i, at := range []time.Duration{row.first, row.second} {
			var until time.Time
			if (i == 0) == row.stoppedFirst {
				until = stop
			}
			hear(k, feedback{outage: uint64(2 - i)}, at, until)
		}
		if got := k.state.StoppedUntil.Equal(stop); got != row.want || k.outage != 2 {
			t.Errorf("%s: stopped %v, outage %d", name, got, k.outage)
		}
	}

	k := &note{stopped: stop}
	hear(k, feedback{}, 0, time.Time{}) // asked before the stop
	if !k.stopped.Equal(stop) {
		t.Error("a stop that was not told is forgotten")
	}
	hear(k, k.feedback(start, history{}), takes, stop)
	if !k.stopped.IsZero() {
		t.Error("a stop that was told is told again")
	}
}
