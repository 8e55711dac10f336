package store

import (
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	t.Parallel()
	var b breaker
	now := time.Now()
	for range 2 {
		if !b.allow(now) {
			t.Error("a store that is well is not asked")
		}
	}
	if opened, closed := b.done(now, now, false); opened || closed {
		t.Error("a success opens or closes what is closed")
	}
	if opened, _ := b.done(now, now, true); !opened {
		t.Error("a failure is no outage")
	}
	if opened, _ := b.done(now, now, true); opened {
		t.Error("an outage begins twice")
	}
	// Two failures: the second one was under way already. The pause is twice the first.
	for _, pause := range []time.Duration{2 * firstPause, 4 * firstPause, 8 * firstPause, lastPause, lastPause} {
		if b.allow(now.Add(pause - 1)) {
			t.Errorf("asked before %v", pause)
		}
		now = now.Add(pause)
		if !b.allow(now) {
			t.Errorf("not asked after %v", pause)
		}
		if b.allow(now) {
			t.Error("two ask at once")
		}
		b.done(now, now, true)
	}
	now = now.Add(lastPause)
	if !b.allow(now) {
		t.Fatal("not asked")
	}
	b.abandoned()
	if outages, there := b.state(); outages != 1 || there {
		t.Errorf("%d outages, there %v", outages, there)
	}
	if !b.allow(now) {
		t.Error("not asked after one has left")
	}
	if opened, closed := b.done(now, now, false); opened || !closed {
		t.Error("a success does not end the outage")
	}
	if outages, there := b.state(); outages != 1 || !there || !b.allow(now) {
		t.Errorf("%d outages, there %v", outages, there)
	}
}

// TestALateFailure: a command that was sent before one that has been answered says nothing of
// the store as it is now.
func TestALateFailure(t *testing.T) {
	t.Parallel()
	var b breaker
	first := time.Now()
	second := first.Add(time.Millisecond)
	b.done(second, second.Add(time.Millisecond), false)
	if opened, _ := b.done(first, first.Add(50*time.Millisecond), true); opened || !b.allow(first.Add(50*time.Millisecond)) {
		t.Error("the store is there, and is not asked")
	}
	if opened, _ := b.done(second.Add(time.Millisecond), second.Add(51*time.Millisecond), true); !opened {
		t.Error("a failure after it is no outage")
	}
}
