package rest

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestNothingIsReadAfterAGap: bytes for which there was no room are missing. What follows is
// never read as if it came next, also when there is room again.
func TestNothingIsReadAfterAGap(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer here.Close()
	c := &connection{Conn: there}
	defer c.Close()
	var all heads
	c.head.of = &all
	go func() { _, _ = here.Write(make([]byte, 3*freeHead)) }()
	piece := make([]byte, freeHead)
	if _, err := io.ReadFull(c, piece); err != nil {
		t.Fatal(err)
	}
	all.Add(allHeads) // others
	if n, err := c.Read(piece); n != 0 || !errors.Is(err, errHeads) {
		t.Fatalf("%d, %v", n, err)
	}
	all.Add(-allHeads)
	if n, err := c.Read(piece); n != 0 || !errors.Is(err, errHeads) {
		t.Errorf("after the gap: %d, %v", n, err)
	}
}

// TestLooksAreApart: however many answers were on a connection before, it is quiet only
// when several looks with a pause between them say so.
func TestLooksAreApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		c := &connection{Conn: there}
		defer c.Close()
		for range 50 {
			c.written(func(bool) {})
			time.Sleep(quietTime / 20)
			c.read.Add(1) // the next request
			c.next()
		}
		quiet := make(chan struct{})
		wrote := time.Now()
		c.written(func(bool) { close(quiet) })
		<-quiet
		if took := time.Since(wrote); took < (quietLooks-1)*quietTime || took > quietLooks*quietTime {
			t.Errorf("quiet after %v", took)
		}
	})
}

// TestAheadOfTheAnswer: what was sent before the answer does not say that the client has it.
func TestAheadOfTheAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		before, after int
		has           bool
	}{
		"after the answer":             {0, 1, true},
		"before the answer":            {1, 0, false},
		"with the request":             {0, 0, false},
		"begun before, ended after it": {1, 9, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			here, there := net.Pipe()
			defer here.Close()
			c := &connection{Conn: there}
			defer c.Close()
			read := func(n int) {
				if n == 0 {
					return // a pipe would wait
				}
				go func() { _, _ = here.Write(make([]byte, n)) }()
				if _, err := io.ReadFull(c, make([]byte, n)); err != nil {
					t.Fatal(err)
				}
			}
			read(100)
			c.asked()
			read(test.before)
			go func() { _, _ = io.ReadFull(here, make([]byte, 20)) }()
			if _, err := c.Write(make([]byte, 20)); err != nil {
				t.Fatal(err)
			}
			var settled atomic.Bool
			c.written(func(bool) { settled.Store(true) })
			read(test.after)
			c.next()
			if has := settled.Load(); has != test.has {
				t.Errorf("%s: it has the answer: %v", name, has)
			}
			time.Sleep(2 * quietLooks * quietTime) // no look is left
		})
	}
}

// TestAnAnswerToNobody: an answer that is written after it was looked whether the client
// has everything, and before its end is noted, has not reached it.
func TestAnAnswerToNobody(t *testing.T) {
	t.Parallel()
	for _, ahead := range []bool{false, true} {
		here, there := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, here) }()
		c := &connection{Conn: there}
		answer := func() {
			if _, err := c.Write([]byte("the answer")); err != nil {
				t.Fatal(err)
			}
		}
		if ahead {
			answer()
		}
		all, sent := c.received()
		if !ahead {
			answer()
		}
		c.end(!all, sent)
		delivered := !ahead
		c.written(func(is bool) { delivered = is })
		if delivered != ahead {
			t.Errorf("written before the look: %v, delivered: %v", ahead, delivered)
		}
		_ = here.Close()
		_ = c.Close()
	}
}
