package ratelimit

import (
	"context"
	"sync"
	"time"
)

const (
	// recheck is the longest time after which a lane is told to pull again,
	// except for a stop: the rate may rise in the meantime.
	recheck = time.Second
	// skew is how far the clock readings of two callers may differ because
	// different goroutines took them. A larger step back means that the clock was
	// set back.
	skew = time.Second
)

// Local is the Scheduler of one process. It has no goroutine and needs no
// closing. It takes about 300 bytes for each budget in use, and forgets budgets
// that have been idle.
type Local struct {
	mu         sync.Mutex
	table      table
	candidates []candidate // the memory of one pull, kept for the next
}

var _ Scheduler = (*Local)(nil)

// NewLocal returns a Scheduler for one process.
func NewLocal() *Local { return &Local{} }

// Take takes one slot if there is one at once; if not, Pull says when there will
// be one. It is the short way for a lane in which no call waits. Take needs no
// class, because a slot that no other call wants counts against no caller.
func (l *Local) Take(now time.Time, b Budget) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.entry(now, b)
	if e.pace != nil && (now.Before(e.pace.Until) || e.level(now) < 1-grain) {
		return false
	}
	if !e.bucket.take(now) {
		return false
	}
	e.count(1)
	return true
}

// Pull implements Scheduler.
func (l *Local) Pull(_ context.Context, now time.Time, ask Ask) (Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.entry(now, ask.Budget)
	free, stopped := 0, time.Duration(0)
	if e.pace != nil && now.Before(e.pace.Until) {
		stopped = e.pace.Until.Sub(now)
	} else {
		free = int(e.level(now) + grain)
	}
	if ask.Most > 0 {
		free = min(free, ask.Most)
	}
	first, more := First(ask.Waiting, e.queue.start)
	l.candidates = e.queue.candidates(l.candidates[:0], first)
	granted, left := e.queue.grant(l.candidates, more, free, func() bool { return e.bucket.take(now) })
	e.count(len(granted))

	again := time.Duration(-1)
	if left {
		again = stopped + min(recheck, e.bucket.wait(now.Add(stopped), 1))
	}
	return Grant{Classes: granted, Again: again, State: e.state(now)}, nil
}

// Stop implements Scheduler. The bucket is empty when the stop is over.
func (l *Local) Stop(_ context.Context, now time.Time, b Budget, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.entry(now, b)
	var p Pace
	if e.pace != nil {
		p = *e.pace
	}
	p = p.Stop(now, max(0, d), e.ceiling)
	e.pace = &p
	e.bucket.set(now, p.At(e.ceiling), b.Burst)
	e.stop(now)
}

// Open makes a budget known that has been drawn on elsewhere, and had this many
// tokens at the moment at. A budget that is known already stays unchanged.
func (l *Local) Open(at time.Time, b Budget, tokens float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.table.find(b.Key) == nil {
		e := open(at, b)
		e.bucket.reset(at, tokens)
		e.bucket.void(at)
		l.table.add(e)
	}
}

// Hold grants no slot until a moment, as a stop does, for a stop that was heard of
// elsewhere. It leaves the rate unchanged.
func (l *Local) Hold(now time.Time, b Budget, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.entry(now, b)
	var p Pace
	if e.pace != nil {
		p = *e.pace
	}
	if !until.After(p.Until) {
		return
	}
	p = p.Hold(until)
	e.pace = &p
	e.stop(now)
}

// Succeed implements Scheduler.
func (l *Local) Succeed(_ context.Context, now time.Time, b Budget) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.table.find(b.Key)
	if e == nil || e.pace == nil {
		return
	}
	e, now = l.entry(now, b)
	*e.pace = e.pace.Succeed(now, 1, e.ceiling)
	if !now.Before(e.pace.Until) {
		e.bucket.set(now, e.pace.At(e.ceiling), b.Burst)
	}
}

// Refund implements Scheduler.
func (l *Local) Refund(_ context.Context, now time.Time, b Budget, n int, granted time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= 0 {
		return
	}
	e, now := l.entry(now, b)
	if e.bucket.refund(now, n, granted) {
		e.count(-n)
	}
}

// Peek implements Scheduler.
func (l *Local) Peek(now time.Time, b Budget) State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.table.find(b.Key); e != nil {
		return e.state(now)
	}
	return open(now, b).state(now)
}

// Budgets is how many budgets are in memory.
func (l *Local) Budgets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.table.byKey)
}

// entry returns the entry of a budget, and the time that counts for it.
func (l *Local) entry(now time.Time, b Budget) (*entry, time.Time) {
	e := l.table.find(b.Key)
	if e == nil {
		e = open(now, b)
		l.table.add(e)
		l.table.forget(now)
		return e, now
	}
	if back := e.last.Sub(now); back > skew {
		e.shift(now, -back)
	} else if back > 0 {
		now = e.last
	}
	e.last = now
	l.table.touch(e)
	l.table.forget(now)
	if e.ceiling != b.Rate || e.bucket.burst != depth(b.Burst) {
		e.ceiling = b.Rate
		rate := b.Rate
		if e.pace != nil {
			rate = e.pace.At(b.Rate)
		}
		if e.pace == nil || !now.Before(e.pace.Until) {
			e.bucket.set(now, rate, b.Burst)
		} else {
			e.bucket.set(e.pace.Until, rate, b.Burst)
		}
	}
	return e, now
}

// open returns the entry of a new budget. Its bucket is full, as the server takes it to be.
func open(now time.Time, b Budget) *entry {
	return &entry{key: b.Key, ceiling: b.Rate, bucket: newBucket(b.Rate, b.Burst), last: now}
}

// level is the number of tokens in the bucket. While the bucket is full, the
// granted slots say nothing about what the others leave, so level marks the
// pace's count as untold.
func (e *entry) level(now time.Time) float64 {
	level := e.bucket.level(now)
	if e.pace != nil && !now.Before(e.pace.Until) && level >= float64(e.bucket.burst)-grain {
		e.pace.Spent = untold
	}
	return level
}

// count adds n granted slots to the pace's count; n is negative for slots that
// are given back.
func (e *entry) count(n int) {
	if e.pace != nil {
		e.pace.Spent += float64(n)
	}
}

// stop empties the bucket until the end of the stop. Slots that were granted
// before the stop and not spent do not come back.
func (e *entry) stop(now time.Time) {
	e.bucket.reset(e.pace.Until, 0)
	e.bucket.void(now.Add(1))
}

// shift follows a clock that was set back; d is negative, the step of the clock.
// No tokens have come in, and an end that lay ahead keeps its distance.
func (e *entry) shift(now time.Time, d time.Duration) {
	level := e.bucket.level(e.last)
	e.bucket.void(e.last.Add(1)) // what was granted by the old time cannot be placed in the new one
	if e.pace != nil {
		stopped := e.last.Before(e.pace.Until)
		e.pace.Since, e.pace.Until = e.pace.Since.Add(d), e.pace.Until.Add(d)
		if stopped {
			e.bucket.reset(e.pace.Until, 0)
			return
		}
	}
	e.bucket.reset(now, level)
}

// state is the entry as a State.
func (e *entry) state(now time.Time) State {
	s := State{Rate: e.ceiling, Ceiling: e.ceiling, Burst: float64(e.bucket.burst), Replicas: 1}
	if e.pace != nil {
		s.Rate, s.StoppedUntil = e.pace.At(e.ceiling), e.pace.Until
	}
	if !now.Before(s.StoppedUntil) {
		s.Tokens = max(0, e.bucket.level(now))
	}
	return s
}
