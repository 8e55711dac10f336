package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// sharedReads are the reads on their way that others may join.
type sharedReads struct {
	mu sync.Mutex
	m  map[readKey]*sharedRead
}

// A sharedRead is one read for everyone who wants it at the moment. It goes on as
// long as any of them does: whoever started it may leave like everyone else.
//
// Mostly it runs in the goroutine of its leader, who started it: another one would
// cost two hand-offs between threads and a timer for each call. A leader who is
// cancelled stays then for the others, since nobody waits for its own reply. One
// whose deadline passes has to reply, and ends the flight, which followers with
// more time begin once more. So that this stays rare, a leader who is short of
// time has its flight made apart: that one lasts as long as the latest of all,
// and what it has sent is not sent again.
type sharedRead struct {
	life    life
	state   callState
	apart   bool
	members int // guarded by sharedReads.mu

	done   chan struct{} // closed with answer or fault set; nil while only the leader waits
	answer *Answer
	fault  *fault.Error
}

// unhurried is the time that a leader has to have left for a flight of its own: above
// what nearly all attempts take, with the wait that a lane allows before it sheds.
const unhurried = 4 * time.Second

// share makes a read, together with those who want the same at the same time.
func (b *Broker) share(ctx context.Context, c *Call) (*Answer, *fault.Error) {
	key := readKey{c.Key.ID(), c.Path, c.Query}
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

// fetch gets the answer of a flight: one that is on its way, or a new one. When
// moot is closed the answer is not needed any more: fetch returns with neither
// answer nor fault, and the flight costs nothing if it has not been sent.
func (b *Broker) fetch(ctx context.Context, c *Call, key readKey, moot <-chan struct{}) (*Answer, *fault.Error) {
	// A flight may end for a reason of its own: the deadline of those who were
	// in it. Whoever has more time starts one more.
	for {
		f, joined := b.join(ctx, c, key, moot != nil)
		if f == nil {
			return nil, fault.Stopping(c.Operation.GetId())
		}
		if !joined && !f.apart {
			return b.lead(ctx, f, key)
		}
		select {
		case <-f.done:
		case <-moot:
			if !f.state.sent.Load() {
				b.reads.leave(f)
			} // else what is paid for may as well arrive
			return nil, nil
		case <-ctx.Done():
			b.reads.leave(f)
			return nil, fault.Ended(c.Operation.GetId(), ctx.Err(), "waiting for its answer")
		}
		switch {
		case f.fault != nil && joined && f.early(ctx):
			continue
		case f.fault != nil:
			return nil, f.fault
		case !joined:
			return f.answer, nil
		}
		a := *f.answer
		a.Cache = CacheCoalesced
		return &a, nil
	}
}

// join gets the caller into a shared read: one that is on its way, or a new one, which
// is under way already if it is made apart. nil when the broker has closed.
func (b *Broker) join(ctx context.Context, c *Call, key readKey, mayLeave bool) (f *sharedRead, joined bool) {
	fs := &b.reads
	fs.mu.Lock()
	defer fs.mu.Unlock()
	deadline, _ := ctx.Deadline()
	if f := fs.m[key]; f != nil && f.life.extend(deadline) {
		f.members++
		if f.done == nil {
			f.done = make(chan struct{})
		}
		f.state.slot.Raise(c.Priority)
		return f, true
	}
	f = &sharedRead{members: 1, apart: mayLeave || time.Until(deadline) < unhurried}
	f.life.begin(b.life.Context(), deadline, f.apart)
	f.state.ctx, f.state.call = &f.life, c
	if started := f.apart && b.start(f, key) || !f.apart && b.life.Begin(); !started {
		f.life.end(nil)
		return nil, false
	}
	if fs.m == nil {
		fs.m = make(map[readKey]*sharedRead)
	}
	fs.m[key] = f
	return f, false
}

// start has the read of a flight made apart; false when the broker has closed.
func (b *Broker) start(f *sharedRead, key readKey) bool {
	call := *f.state.call // the caller's own may be gone before the flight ends
	f.state.call, f.done = &call, make(chan struct{})
	return b.life.Spawn(func() { b.run(f, key) })
}

// lead makes the read of a flight in the goroutine of its leader.
func (b *Broker) lead(ctx context.Context, f *sharedRead, key readKey) (*Answer, *fault.Error) {
	defer b.life.End()
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			f.life.end(context.DeadlineExceeded)
		} else {
			b.reads.leave(f)
			f.life.outlive()
		}
	})()
	b.run(f, key)
	if err := ctx.Err(); f.fault == nil && errors.Is(err, context.Canceled) {
		return nil, fault.Ended(f.state.call.Operation.GetId(), err, "waiting for its answer") // it stayed for others
	}
	return f.answer, f.fault
}

// run makes the read of a flight.
func (b *Broker) run(f *sharedRead, key readKey) {
	defer b.finishRead(f, key)
	if f.answer, f.fault = b.perform(&f.state); f.fault == nil {
		attempts := f.answer.Attempts
		b.cache.put(time.Now(), attempts[len(attempts)-1].Start, key, f.answer)
	}
}

// finishRead ends a flight for all who wait for it. It is deferred by run.
func (b *Broker) finishRead(f *sharedRead, key readKey) {
	if p := recover(); p != nil {
		f.answer, f.fault = nil, crashed(f.state.call, p)
	}
	f.life.end(nil)
	if b.reads.remove(f, key); f.done != nil {
		close(f.done)
	}
}

// early tells that a flight ended for want of time, and that ctx has more.
func (f *sharedRead) early(ctx context.Context) bool {
	switch f.fault.Kind {
	case fault.BudgetExhausted, fault.DeadlineExceeded, fault.Cancelled, fault.RateLimited:
	default:
		if !f.state.verdict.late {
			return false
		}
	}
	until := f.life.deadline()
	if f.fault.Kind == fault.BudgetExhausted && f.state.reckoned.Before(until) {
		until = f.state.reckoned // the lane went by this, whoever has joined since
	}
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || deadline.After(until))
}

// leave takes one member off; the last one ends the flight.
func (fs *sharedReads) leave(f *sharedRead) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.members--; f.members == 0 {
		f.life.end(context.Canceled)
	}
}

// remove takes a flight off the board.
func (fs *sharedReads) remove(f *sharedRead, key readKey) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.m[key] == f {
		delete(fs.m, key)
	}
}

// seal keeps later reads of an organization from joining those on their way: a
// read that is made after a write has to see it. A read whose owner is not known
// yet is sealed by every write, and a write of no known owner seals every read.
func (fs *sharedReads) seal(organization string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for key, f := range fs.m {
		if owner := f.state.owner(); organization == "" || owner == "" || owner == organization {
			delete(fs.m, key)
		}
	}
}
