package lane

import (
	"context"
	"sync"
)

// A Lifecycle begins with a broker and ends with it: it counts the goroutines of
// the lanes and of the broker above them, and tells them when to stop.
type Lifecycle struct {
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	drained chan struct{} // closed when nothing new is let in any more
	drain   func()        // closes drained, once

	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// NewLifecycle begins a Lifecycle.
func NewLifecycle() *Lifecycle {
	c := &Lifecycle{drained: make(chan struct{})}
	c.drain = sync.OnceFunc(func() { close(c.drained) })
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Context ends with Close.
func (c *Lifecycle) Context() context.Context { return c.ctx }

// Draining tells that nothing new is let in.
func (c *Lifecycle) Draining() bool {
	select {
	case <-c.drained:
		return true
	default:
		return false
	}
}

// Drained is closed when nothing new is let in any more.
func (c *Lifecycle) Drained() <-chan struct{} { return c.drained }

// Go runs f in a goroutine that Close waits for; false when it is too late.
func (c *Lifecycle) Go(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.running.Go(f)
	return true
}

// Drain lets nothing new in.
func (c *Lifecycle) Drain() { c.drain() }

// Close ends everything that Go has started, and waits for it.
func (c *Lifecycle) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.drain()
	c.cancel()
	c.running.Wait()
}
