package broker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// flights are the reads on their way that others may join.
type flights struct {
	mu sync.Mutex
	m  map[readKey]*flight
}

// A flight is one read for everyone who wants it at the moment. It lives as long
// as any of them: whoever started it may leave like everyone else.
type flight struct {
	life    *life
	journey *journey
	members int // guarded by flights.mu

	done   chan struct{} // closed with answer or fault set
	answer *Answer
	fault  *fault.Error
}

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
		f, joined := b.board(ctx, c, key)
		if f == nil {
			return nil, draining(c.Operation.GetId())
		}
		select {
		case <-f.done:
			b.flights.leave(f)
		case <-moot:
			if !f.journey.sent.Load() {
				b.flights.leave(f)
			} // else what is paid for may as well arrive
			return nil, nil
		case <-ctx.Done():
			b.flights.leave(f)
			return nil, ended(c.Operation.GetId(), ctx.Err(), "waiting for its answer")
		}
		if f.fault != nil {
			if joined && f.early(ctx) {
				continue
			}
			return nil, f.fault
		}
		a := *f.answer
		if joined {
			a.Cache = CacheCoalesced
		}
		return &a, nil
	}
}

// board gets the caller on a flight: one that is on its way, or a new one. nil
// when the broker has closed.
func (b *Broker) board(ctx context.Context, c *Call, key readKey) (f *flight, joined bool) {
	fs := &b.flights
	fs.mu.Lock()
	defer fs.mu.Unlock()
	deadline, _ := ctx.Deadline()
	if f := fs.m[key]; f != nil && f.life.extend(deadline) {
		f.members++
		f.journey.raise(c.Priority)
		return f, true
	}
	call := *c // the caller's own may be gone before the flight ends
	f = &flight{life: newLife(b.house.ctx, deadline), members: 1, done: make(chan struct{})}
	f.journey = &journey{ctx: f.life, call: &call}
	if !b.house.spawn(func() { b.fly(f, key) }) {
		f.life.end(nil)
		return nil, false
	}
	if fs.m == nil {
		fs.m = make(map[readKey]*flight)
	}
	fs.m[key] = f
	return f, false
}

// fly makes the read of a flight.
func (b *Broker) fly(f *flight, key readKey) {
	defer close(f.done)
	defer f.life.end(nil)
	defer func() {
		if p := recover(); p != nil {
			f.answer, f.fault = nil, crashed(f.journey.call, p)
		}
		b.flights.land(f, key)
	}()
	begun := time.Now()
	f.answer, f.fault = b.perform(f.journey)
	if f.fault == nil {
		if n := len(f.answer.Attempts); n > 0 {
			begun = f.answer.Attempts[n-1].Start
		}
		b.cache.put(time.Now(), begun, key, f.answer)
	}
}

// early tells that a flight ended for want of time, and that ctx has more.
func (f *flight) early(ctx context.Context) bool {
	switch f.fault.Kind {
	case fault.BudgetExhausted, fault.DeadlineExceeded, fault.Cancelled, fault.RateLimited:
	default:
		return false
	}
	deadline, ok := ctx.Deadline()
	return ctx.Err() == nil && (!ok || deadline.After(f.life.deadline()))
}

// leave takes one member off; the last one ends the flight.
func (fs *flights) leave(f *flight) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.members--; f.members == 0 {
		f.life.end(context.Canceled)
	}
}

// land takes a flight off the board.
func (fs *flights) land(f *flight, key readKey) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.m[key] == f {
		delete(fs.m, key)
	}
}

// seal keeps later reads of an organization from joining those on their way: a
// read that is made after a write has to see it. A read whose owner is not known
// yet is sealed by every write, and a write of no known owner seals every read.
func (fs *flights) seal(organization string) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for key, f := range fs.m {
		owner := f.journey.owner.Load()
		if organization == "" || owner == nil || *owner == "" || *owner == organization {
			delete(fs.m, key)
		}
	}
}

// A life is the context of a flight. It ends when the last member has left, or
// at the latest deadline of any.
type life struct {
	context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time
	timer *time.Timer
	over  bool
}

func newLife(parent context.Context, until time.Time) *life {
	l := &life{until: until}
	l.Context, l.cancel = context.WithCancelCause(parent)
	if !until.IsZero() {
		l.mu.Lock() // the timer may go off before it has been noted
		defer l.mu.Unlock()
		l.timer = time.AfterFunc(time.Until(until), func() { l.end(context.DeadlineExceeded) })
	}
	return l
}

// extend moves the deadline back to until, if it is later; false when the life
// is over.
func (l *life) extend(until time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.Context.Err() != nil {
		return false
	}
	switch {
	case l.until.IsZero() || !until.IsZero() && !until.After(l.until):
	case until.IsZero():
		l.until = until
		l.timer.Stop()
	case l.timer.Reset(time.Until(until)):
		l.until = until
	default:
		return false // it has just gone off
	}
	return true
}

func (l *life) end(cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	if l.timer != nil {
		l.timer.Stop()
	}
	l.cancel(cause)
}

func (l *life) deadline() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// Deadline makes life a context.
func (l *life) Deadline() (time.Time, bool) {
	d := l.deadline()
	return d, !d.IsZero()
}

// Err makes life a context.
func (l *life) Err() error {
	err := l.Context.Err()
	if err != nil && errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}
