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
	if opened, closed := b.done(now, false); opened || closed {
		t.Error("a success opens or closes what is closed")
	}
	if opened, _ := b.done(now, true); !opened {
		t.Error("a failure is no outage")
	}
	if opened, _ := b.done(now, true); opened {
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
		b.done(now, true)
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
	if opened, closed := b.done(now, false); opened || !closed {
		t.Error("a success does not end the outage")
	}
	if outages, there := b.state(); outages != 1 || !there || !b.allow(now) {
		t.Errorf("%d outages, there %v", outages, there)
	}
}
