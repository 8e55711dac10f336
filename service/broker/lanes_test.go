package broker

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// TestDoubtfulLanesGoEarly: lanes of ids for which the Dashboard has never had an
// answer do not wait for others to become many.
func TestDoubtfulLanesGoEarly(t *testing.T) {
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		if _, err := b.Do(t.Context(), read("real", 0)); err != nil {
			t.Fatal(err)
		}
		for i := range fewLanes {
			b.lanes.organization(fmt.Sprint("random-", i))
		}
		if err := pause(t.Context(), doubtfulLane+time.Second); err != nil {
			t.Fatal(err)
		}
		for i := range fewLanes {
			b.lanes.organization(fmt.Sprint("more-", i))
		}
		if n := len(b.lanes.all()); n > fewLanes+fewLanes/4 {
			t.Errorf("%d lanes are left", n)
		}
		if b.lanes.peek("real") == nil {
			t.Error("the lane of an organization that has answered is among those that went")
		}
	})
}

// TestNoChangeIsMissed: whoever knows the count of changes finds the lane that
// made the last of them.
func TestNoChangeIsMissed(t *testing.T) {
	t.Parallel()
	h := newHouse(Config{})
	defer h.close()
	lanes := [2]*lane{{house: h}, {house: h}}
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			for range 100_000 {
				l.touch()
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for {
		select {
		case <-done:
			return
		default:
		}
		version := h.changes.Load()
		if found := max(lanes[0].stamp.Load(), lanes[1].stamp.Load()); found < version {
			t.Errorf("%d changes are counted, and the last that is found is %d", version, found)
			<-done
		}
	}
}

// An interrupter is called when a call comes to wait, with its lane locked.
type interrupter struct {
	deaf
	now func()
}

func (i *interrupter) Queued(string, ratelimit.Priority, int) {
	if f := i.now; f != nil {
		i.now = nil
		f()
	}
}

// TestRaisedOnTheWayIntoTheLane: somebody urgent joins a read at the moment at
// which it has its class and no place in the lane yet.
func TestRaisedOnTheWayIntoTheLane(t *testing.T) {
	interrupt := new(interrupter)
	d := &fakeDashboard{}
	inBubble(t, d, func(t *testing.T, b *Broker) {
		l := b.lanes.organization("1")
		for l.take(time.Now()) {
		}
		c := read("1", 0)
		c.Priority = ratelimit.Bulk
		j := &journey{ctx: t.Context(), call: c}
		j.waiter.weight = 1
		interrupt.now = func() { j.raise(ratelimit.Critical) }
		done := make(chan error)
		go func() { done <- j.enter(l, false) }()
		synctest.Wait()
		l.mu.Lock()
		if first := l.queue.first(); first != &j.waiter || first.class.Priority != ratelimit.Critical {
			t.Errorf("it waits as %+v", first)
		}
		l.mu.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
		l.pass(1)
	}, func(c *Config) { c.Observer = interrupt })
}
