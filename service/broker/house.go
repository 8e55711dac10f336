package broker

import (
	"context"
	"sync"
	"sync/atomic"
)

// A house is what all lanes of a broker have in common: its configuration, its
// life, and the count of its changes.
type house struct {
	config   Config
	observer Observer
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	draining atomic.Bool
	drained  chan struct{} // closed with draining
	// changes counts what happened to any lane, so that a watcher can ask for
	// the lanes that changed since. It is written with changing held.
	changing sync.Mutex
	changes  atomic.Uint64

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
	// work hands what is to be run to a goroutine that has nothing to do; idle is
	// how many have not.
	work chan func()
	idle atomic.Int64
}

// mostIdle bounds the goroutines that are kept for the next lane or flight: their
// stacks have grown to what that needs, and growing another one is a twentieth of
// what a call costs.
const mostIdle = 64

func newHouse(c Config) *house {
	h := &house{config: c, observer: c.Observer, drained: make(chan struct{}), work: make(chan func())}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// begin counts something that close waits for, until end; false when it is too late.
func (h *house) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.running.Add(1)
	return true
}

func (h *house) end() { h.running.Done() }

// spawn runs f in a goroutine that close waits for; false when it is too late.
func (h *house) spawn(f func()) bool {
	if !h.begin() {
		return false
	}
	select {
	case h.work <- f:
		h.end() // whoever took it is counted already
	default:
		go h.run(f)
	}
	return true
}

// run runs f, and then what else there is to do, as long as few wait for it.
func (h *house) run(f func()) {
	defer h.running.Done()
	for {
		f()
		f = nil // nothing of a flight stays with who waits for the next
		if h.idle.Add(1) > mostIdle {
			h.idle.Add(-1)
			return
		}
		select {
		case f = <-h.work:
			h.idle.Add(-1)
		case <-h.ctx.Done():
			return
		}
	}
}

// change counts a change and stamps it on what has changed. Both are done before
// either is seen: a watcher who knows the count finds the stamp.
func (h *house) change(stamp *atomic.Uint64) {
	h.changing.Lock()
	defer h.changing.Unlock()
	n := h.changes.Load() + 1
	stamp.Store(n)
	h.changes.Store(n)
}

// drain lets nothing new in.
func (h *house) drain() {
	if h.draining.CompareAndSwap(false, true) {
		close(h.drained)
	}
}

// close ends everything that spawn started, and waits for it.
func (h *house) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.drain()
	h.cancel()
	h.running.Wait()
}
