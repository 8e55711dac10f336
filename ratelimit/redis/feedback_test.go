package redis

import (
	"fmt"
	"testing"
	"time"
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
