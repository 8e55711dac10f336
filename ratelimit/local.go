package ratelimit

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// recheck is the longest that a lane is sent away for, except by a stop:
	// others may leave meanwhile, or the rate may rise.
	recheck = time.Second
	// skew is how far one caller's clock reading may lie before another's
	// because the two were taken by different goroutines. More than that is a
	// clock that was set back.
	skew = time.Second
)

// LocalConfig configures a Local. Its zero value is the usual one.
type LocalConfig struct {
	// Rest is how long a budget has to be left alone before it may be forgotten;
	// 0 for ten seconds.
	Rest time.Duration
}

// Local is the Scheduler of one process. It has no goroutine and needs no
// closing. Its memory is that of the budgets in use: about 300 bytes each, and
// those that have been idle are forgotten.
type Local struct {
	mu     sync.Mutex
	ledger ledger
}

var _ Scheduler = (*Local)(nil)

// NewLocal returns a Scheduler for one process.
func NewLocal(config LocalConfig) *Local {
	l := &Local{ledger: ledger{rest: config.Rest}}
	if l.ledger.rest <= 0 {
		l.ledger.rest = rest
	}
	return l
}

// Take takes one slot if it can be had at once and nobody waits for it; if not,
// Pull says when. It is the short way for a lane that is empty: no class needs
// to be named, because a slot that nobody else wants counts against nobody.
func (l *Local) Take(now time.Time, b Budget) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, now := l.account(now, b)
	if a.queue != nil && a.queue.busy(now) {
		return false
	}
	if a.pace != nil && (now.Before(a.pace.Until) || a.level(now) < 1-grain) {
		return false
	}
	if !a.bucket.take(now) {
		return false
	}
	a.grant(1)
	return true
}

// Pull implements Scheduler.
func (l *Local) Pull(_ context.Context, now time.Time, ask Ask) (Grant, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, now := l.account(now, ask.Budget)
	if a.queue == nil {
		a.queue = &queue{}
	}
	q := a.queue
	q.join(now, ask.From, ask.Waiting)

	free, stopped := 0, time.Duration(0)
	if a.pace != nil && now.Before(a.pace.Until) {
		stopped = a.pace.Until.Sub(now)
	} else {
		free = int(a.level(now) + grain)
	}
	ahead := int(min(math.Ceil(a.bucket.rate*recheck.Seconds())+1, horizon))
	granted, slot := q.walk(now, ask.From, free, ahead, ask.Most, func() bool { return a.bucket.take(now) })
	a.grant(len(granted))

	again := time.Duration(-1)
	if slot > 0 {
		again = stopped + min(recheck, a.bucket.wait(now.Add(stopped), float64(slot-len(granted))))
	}
	q.promise(now, ask.From, again)
	q.tidy()
	return Grant{Classes: granted, Again: again, State: a.state(now)}, nil
}

// Stop implements Scheduler. The bucket is empty when the stop is over.
func (l *Local) Stop(_ context.Context, now time.Time, b Budget, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, now := l.account(now, b)
	var p Pace
	if a.pace != nil {
		p = *a.pace
	}
	p = p.Stop(now, max(0, d), a.ceiling)
	a.pace = &p
	a.bucket.set(now, p.At(a.ceiling), b.Burst)
	a.bucket.reset(p.Until, 0)
}

// Open makes a budget known that has been drawn on elsewhere, and had this many
// tokens at that time. One that is known already stays as it is.
func (l *Local) Open(at time.Time, b Budget, tokens float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ledger.find(b.Key) == nil {
		a := open(at, b)
		a.bucket.reset(at, tokens)
		l.ledger.add(a)
	}
}

// Hold grants nothing until then, as a stop does that was heard of elsewhere,
// and leaves the rate as it is.
func (l *Local) Hold(now time.Time, b Budget, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, _ := l.account(now, b)
	var p Pace
	if a.pace != nil {
		p = *a.pace
	}
	if !until.After(p.Until) {
		return
	}
	p = p.Hold(until)
	a.pace = &p
	a.bucket.reset(until, 0)
}

// Succeed implements Scheduler.
func (l *Local) Succeed(_ context.Context, now time.Time, b Budget) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.ledger.find(b.Key)
	if a == nil || a.pace == nil {
		return
	}
	a, now = l.account(now, b)
	*a.pace = a.pace.Succeed(now, 1, a.ceiling)
	if !now.Before(a.pace.Until) {
		a.bucket.set(now, a.pace.At(a.ceiling), b.Burst)
	}
}

// Refund implements Scheduler. What flowed in since the slots were granted may
// have filled the bucket without them: it does not overflow.
func (l *Local) Refund(_ context.Context, now time.Time, b Budget, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n <= 0 {
		return
	}
	a, now := l.account(now, b)
	level := a.level(now)
	a.grant(-n)
	if a.pace == nil || !now.Before(a.pace.Until) { // a stop empties the bucket of refunds too
		a.bucket.reset(now, level+float64(n))
	}
}

// Peek implements Scheduler.
func (l *Local) Peek(now time.Time, b Budget) State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.ledger.find(b.Key); a != nil {
		return a.state(now)
	}
	return open(now, b).state(now)
}

// Budgets is how many budgets are in memory.
func (l *Local) Budgets() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ledger.byKey)
}

// account returns the account of a budget, new or as it was left, and the time
// to go by in it.
func (l *Local) account(now time.Time, b Budget) (*account, time.Time) {
	a := l.ledger.find(b.Key)
	if a == nil {
		a = open(now, b)
		l.ledger.add(a)
		l.ledger.forget(now)
		return a, now
	}
	if back := a.last.Sub(now); back > skew {
		a.shift(now, -back)
	} else if back > 0 {
		now = a.last
	}
	a.last = now
	l.ledger.touch(a)
	l.ledger.forget(now)
	if a.ceiling != b.Rate || a.bucket.burst != depth(b.Burst) {
		a.ceiling = b.Rate
		rate := b.Rate
		if a.pace != nil {
			rate = a.pace.At(b.Rate)
		}
		if a.pace == nil || !now.Before(a.pace.Until) {
			a.bucket.set(now, rate, b.Burst)
		} else {
			a.bucket.set(a.pace.Until, rate, b.Burst)
		}
	}
	return a, now
}

// open returns a new account. Its bucket is full, as the server takes it to be.
func open(now time.Time, b Budget) *account {
	return &account{key: b.Key, ceiling: b.Rate, bucket: newBucket(b.Rate, b.Burst), last: now}
}

// level is what is in the bucket. While it is full, what is granted says nothing
// about what the others leave.
func (a *account) level(now time.Time) float64 {
	level := a.bucket.level(now)
	if a.pace != nil && !now.Before(a.pace.Until) && level >= float64(a.bucket.burst)-grain {
		a.pace.Spent = untold
	}
	return level
}

// grant counts slots that are granted, or given back.
func (a *account) grant(n int) {
	if a.pace != nil {
		a.pace.Spent += float64(n)
	}
}

// shift follows a clock that was set back by d, given as less than 0: nothing
// has flowed in, and what was to end keeps its distance.
func (a *account) shift(now time.Time, d time.Duration) {
	level := a.bucket.level(a.last)
	if a.queue != nil {
		a.queue.shift(d)
	}
	if a.pace != nil {
		stopped := a.last.Before(a.pace.Until)
		a.pace.Since, a.pace.Until = a.pace.Since.Add(d), a.pace.Until.Add(d)
		if stopped {
			a.bucket.reset(a.pace.Until, 0)
			return
		}
	}
	a.bucket.reset(now, level)
}

// state is the account at a glance.
func (a *account) state(now time.Time) State {
	s := State{Rate: a.ceiling, Ceiling: a.ceiling, Burst: float64(a.bucket.burst), Replicas: 1}
	if a.pace != nil {
		s.Rate, s.StoppedUntil = a.pace.At(a.ceiling), a.pace.Until
	}
	if !now.Before(s.StoppedUntil) {
		s.Tokens = max(0, a.bucket.level(now))
	}
	return s
}
