package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The replica says now and then that it is there; when the store has gone it asks
// soon, then less often, and always within half a second of its return.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := newBreaker()
		p := &prober{start: time.Now()}
		done := make(chan struct{})
		go func() {
			defer close(done)
			watch(ctx, b, 3*time.Second, p.probe,
				func(error) { b.open(&outage{since: time.Now(), part: 0.5}) }, func() { b.restore(time.Now()) })
		}()

		pass(7 * time.Second)
		p.want(t, "", 3*time.Second, 6*time.Second)
		// A step fails: the next probe does not wait for the next beat.
		p.set(errors.New("down"))
		b.open(&outage{since: time.Now(), part: 0.5, key: "organization:1"})
		pass(1500 * time.Millisecond)
		p.want(t, "organization:1", 50*time.Millisecond, 150*time.Millisecond, 350*time.Millisecond, 750*time.Millisecond, 1250*time.Millisecond)
		p.set(nil)
		pass(probeLast)
		if b.alone() != nil {
			t.Error("still alone, half a second after the store is back")
		}
		if h := b.history(); h.outages != 1 || h.part != 0.5 || h.returned.IsZero() {
			t.Errorf("history %+v", h)
		}
		// It goes again at once, and again: each time it is left alone for longer.
		for _, first := range []time.Duration{200 * time.Millisecond, 800 * time.Millisecond, 3200 * time.Millisecond, 5 * time.Second, 5 * time.Second} {
			p.set(nil)
			b.open(&outage{since: time.Now(), part: 0.5})
			pass(first)
			p.want(t, "", first)
		}
		// A beat fails: that is an outage, too.
		pass(calm)
		p.set(errors.New("down"))
		pass(3 * time.Second)
		if b.alone() == nil {
			t.Error("not alone, and the store does not answer")
		}
		stop()
		<-done
	})
}

// pass lets time pass on the bubble's clock.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A prober notes when it is asked, and answers as it is told.
type prober struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
	keys  []string
	err   error
}

func (p *prober) probe(_ context.Context, key string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.keys = append(p.at, time.Since(p.start)), append(p.keys, key)
	return p.err
}

// set begins anew, with another answer.
func (p *prober) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.keys, p.err, p.start = nil, nil, err, time.Now()
}

// want holds the probes until now against when they should have been.
func (p *prober) want(t *testing.T, key string, at ...time.Duration) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.at, at) || slices.ContainsFunc(p.keys, func(k string) bool { return k != key }) {
		t.Errorf("probed at %v, of %q, want it at %v", p.at, p.keys, at)
	}
}

// Who opens the breaker first is the one who counts.
func TestBreakerOpensOnce(t *testing.T) {
	t.Parallel()
	b := newBreaker()
	first := &outage{part: 0.5}
	if o, opened := b.open(first); o != first || !opened {
		t.Error("the first outage does not open the breaker")
	}
	if o, opened := b.open(&outage{part: 0.1}); o != first || opened {
		t.Error("a second outage takes the place of the first")
	}
	if !b.restore(time.Now()) || b.restore(time.Now()) {
		t.Error("an outage ends once")
	}
}
