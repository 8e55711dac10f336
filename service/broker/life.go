package broker

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A life is the context of a flight. It ends when the last member has left, or at
// its deadline: the latest of any member for a flight that is made apart, and of
// any who joins after a leader has left; else its leader's, who sees to that.
type life struct {
	context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time
	timer *time.Timer // nil as long as the leader sees to its end
	over  bool
}

// begin begins the life, not yet seen by anybody else.
func (l *life) begin(parent context.Context, until time.Time, apart bool) {
	l.until = until
	l.Context, l.cancel = context.WithCancelCause(parent)
	if apart {
		l.mu.Lock() // the timer may go off before it has been noted
		defer l.mu.Unlock()
		l.timer = time.AfterFunc(time.Until(until), func() { l.end(context.DeadlineExceeded) })
	}
}

// extend lets one more in, and moves the deadline back to until, if that is later
// and can be done; false when the life is over.
func (l *life) extend(until time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over || l.Context.Err() != nil {
		return false
	}
	if l.timer != nil && until.After(l.until) {
		if !l.timer.Reset(time.Until(until)) {
			return false // it has just gone off
		}
		l.until = until
	}
	return true
}

// outlive gives the life a timer of its own: its leader has left, and sees to nothing.
func (l *life) outlive() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.over && l.timer == nil {
		l.timer = time.AfterFunc(time.Until(l.until), func() { l.end(context.DeadlineExceeded) })
	}
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
func (l *life) Deadline() (time.Time, bool) { return l.deadline(), true }

// Err makes life a context.
func (l *life) Err() error {
	err := l.Context.Err()
	if err != nil && errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return err
}
