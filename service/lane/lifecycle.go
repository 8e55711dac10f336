package lane

import (
	"context"
	"sync"
	"sync/atomic"
)

// A Lifecycle begins with a broker and ends with it: it counts the goroutines of
// the lanes and of the broker above them, and tells them when to stop.
type Lifecycle struct {
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	draining atomic.Bool
	drained  chan struct{} // closed with draining

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

// NewLifecycle begins a Lifecycle.
func NewLifecycle() *Lifecycle {
	c := &Lifecycle{drained: make(chan struct{}), work: make(chan func())}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Context ends with Close.
func (c *Lifecycle) Context() context.Context { return c.ctx }

// Draining tells that nothing new is let in.
func (c *Lifecycle) Draining() bool { return c.draining.Load() }

// Drained is closed when nothing new is let in any more.
func (c *Lifecycle) Drained() <-chan struct{} { return c.drained }

// Begin counts something that Close waits for, until End; false when it is too late.
func (c *Lifecycle) Begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Add(1)
	return true
}

// End ends what Begin has counted.
func (c *Lifecycle) End() { c.running.Done() }

// Spawn runs f in a goroutine that Close waits for; false when it is too late.
func (c *Lifecycle) Spawn(f func()) bool {
	if !c.Begin() {
		return false
	}
	select {
	case c.work <- f:
		c.End() // whoever took it is counted already
	default:
		go c.run(f)
	}
	return true
}

// run runs f, and then what else there is to do, as long as few wait for it.
func (c *Lifecycle) run(f func()) {
	defer c.running.Done()
	for {
		f()
		f = nil // nothing of a flight stays with who waits for the next
		if c.idle.Add(1) > mostIdle {
			c.idle.Add(-1)
			return
		}
		select {
		case f = <-c.work:
			c.idle.Add(-1)
		case <-c.ctx.Done():
			return
		}
	}
}

// Drain lets nothing new in.
func (c *Lifecycle) Drain() {
	if c.draining.CompareAndSwap(false, true) {
		close(c.drained)
	}
}

// Close ends everything that Spawn started, and waits for it.
func (c *Lifecycle) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.Drain()
	c.cancel()
	c.running.Wait()
}
