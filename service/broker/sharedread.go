package broker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// sharedReads are the reads under way that others may join.
type sharedReads struct {
	mu sync.Mutex
	m  map[readKey]*sharedRead
}

// A sharedRead is one read for everyone who wants it at the moment. It is made in a
// goroutine of its own, and lasts as long as anyone waits for it.
type sharedRead struct {
	ctx   *sharedContext
	state callState
	done  chan struct{} // closed with answer or fault set

	answer *Answer
	fault  *fault.Error
}

// share makes a read, together with those who want the same at the same time.
func (b *Broker) share(ctx context.Context, c *Call) (*Answer, *fault.Error) {
	key := readKey{c.Key.Partition(), c.Path, c.Query}
	if c.MaxAge > 0 {
		if a := b.cache.find(time.Now(), key, c.MaxAge); a != nil {
			b.observer.Cached(CacheHit)
			hit := *a
			hit.Cache, hit.Attempts, hit.Queue = CacheHit, nil, 0
			return &hit, nil
		}
	}
	a, f := b.fetch(ctx, c, key, nil)
	if f == nil {
		b.observer.Cached(a.Cache)
	}
	return a, f
}

// fetch gets the answer of a shared read: one that is under way, or a new one. When
// moot is closed the answer is not needed any more: fetch returns with neither
// answer nor fault, and the read costs nothing if it has not been sent.
func (b *Broker) fetch(ctx context.Context, c *Call, key readKey, moot <-chan struct{}) (*Answer, *fault.Error) {
	r, joined := b.join(ctx, c, key)
	if r == nil {
		return nil, fault.Stopping(c.Operation.GetId())
	}
	select {
	case <-r.done:
	case <-moot:
		if deadline, ok := ctx.Deadline(); ok && r.state.sent.Load() {
			// What is paid for may as well arrive.
			time.AfterFunc(time.Until(deadline), func() { r.ctx.leave(ctx, context.DeadlineExceeded) })
		} else {
			r.ctx.leave(ctx, context.Canceled)
		}
		return nil, nil
	case <-ctx.Done():
		if last := r.ctx.leave(ctx, ctx.Err()); !last {
			return nil, fault.Ended(c.Operation.GetId(), ctx.Err(), "waiting for its answer")
		}
		<-r.done // it ends at once, and knows what it has met
	}
	if r.fault != nil {
		return nil, r.fault
	}
	a := *r.answer
	if joined {
		a.Cache = CacheCoalesced
	}
	return &a, nil
}

// join gets the caller into a shared read: one that is under way, or a new one. nil
// when the broker has closed.
func (b *Broker) join(ctx context.Context, c *Call, key readKey) (r *sharedRead, joined bool) {
	reads := &b.reads
	reads.mu.Lock()
	defer reads.mu.Unlock()
	if r := reads.m[key]; r != nil && r.ctx.join(ctx) {
		r.state.slot.Raise(c.Priority)
		return r, true
	}
	call := *c // the caller may be gone before the read ends
	r = &sharedRead{ctx: newSharedContext(b.life.Context(), ctx), done: make(chan struct{})}
	r.state.ctx, r.state.call = r.ctx, &call
	if !b.life.Go(func() { b.run(r, key) }) {
		r.ctx.cancel(nil)
		return nil, false
	}
	if reads.m == nil {
		reads.m = make(map[readKey]*sharedRead)
	}
	reads.m[key] = r
	return r, false
}

// run makes a shared read, and ends it for all who wait.
func (b *Broker) run(r *sharedRead, key readKey) {
	defer func() {
		if p := recover(); p != nil {
			r.answer, r.fault = nil, crashed(r.state.call, p)
		}
		r.ctx.cancel(nil)
		b.reads.remove(r, key)
		close(r.done)
	}()
	if r.answer, r.fault = b.perform(&r.state); r.fault == nil {
		b.cache.put(time.Now(), r.answer.Asked, key, r.answer)
	}
}

// remove lets nobody join a shared read any more.
func (reads *sharedReads) remove(r *sharedRead, key readKey) {
	reads.mu.Lock()
	defer reads.mu.Unlock()
	if reads.m[key] == r {
		delete(reads.m, key)
	}
}

// seal keeps later reads of an organization from joining those under way: a read
// that is made after a write has to see it. A read whose owner is not known yet is
// sealed by every write, and a write of no known owner seals every read.
func (reads *sharedReads) seal(organization string) {
	reads.mu.Lock()
	defer reads.mu.Unlock()
	for key, r := range reads.m {
		if owner := r.state.owner(); organization == "" || owner == "" || owner == organization {
			delete(reads.m, key)
		}
	}
}

// A sharedContext is the context of a shared read. Its deadline is the latest of
// those who wait, and it ends when the last of them has left.
type sharedContext struct {
	context.Context
	cancel context.CancelCauseFunc

	// first is whose call it is.
	first context.Context

	mu      sync.Mutex
	waiting []context.Context
	// last is the deadline of the last who left.
	last time.Time
	// closed: nobody else may join, though the context goes on.
	closed bool
}

func newSharedContext(parent, first context.Context) *sharedContext {
	c := &sharedContext{first: first, waiting: []context.Context{first}}
	c.Context, c.cancel = context.WithCancelCause(parent)
	return c
}

// join lets one more wait; false when it is too late.
func (c *sharedContext) join(ctx context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.Context.Err() != nil {
		return false
	}
	c.waiting = append(c.waiting, ctx)
	return true
}

// leave takes one off, for a cause. The last to leave ends the context by it.
func (c *sharedContext) leave(ctx context.Context, cause error) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.waiting, ctx)
	c.waiting = slices.Delete(c.waiting, i, i+1)
	if len(c.waiting) > 0 {
		return false
	}
	c.last, _ = ctx.Deadline()
	c.cancel(cause)
	return true
}

// Deadline makes sharedContext a context. It may move in either direction as those
// who wait come and go.
func (c *sharedContext) Deadline() (time.Time, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.deadline(), true
}

func (c *sharedContext) deadline() time.Time {
	latest := c.last
	for _, ctx := range c.waiting {
		if d, _ := ctx.Deadline(); d.After(latest) {
			latest = d
		}
	}
	return latest
}

// final tells whether a deadline is still the latest of all, and if it is, closes
// the context: what ends for want of time is not joined by somebody who has more.
func (c *sharedContext) final(deadline time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline().After(deadline) {
		return false
	}
	c.closed = true
	return true
}

// closeAlone lets nobody join any more if only the first one waits, and tells whether it
// has.
func (c *sharedContext) closeAlone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) != 1 || c.waiting[0] != c.first {
		return false
	}
	c.closed = true
	return true
}

// Err makes sharedContext a context.
func (c *sharedContext) Err() error {
	err := c.Context.Err()
	if err != nil && errors.Is(context.Cause(c.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}
