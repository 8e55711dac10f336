package main

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"time"
)

// A timeline is what happens to a scenario while load is offered: things that are
// done at moments after its start.
type timeline struct {
	ctx   context.Context
	start time.Time
	under sync.WaitGroup
	mu    sync.Mutex
	err   error
}

func newTimeline(ctx context.Context, start time.Time) *timeline {
	return &timeline{ctx: ctx, start: start}
}

// at does something at a moment, unless ctx ends before.
func (l *timeline) at(after time.Duration, do func() error) {
	l.under.Go(func() {
		if pause(l.ctx, time.Until(l.start.Add(after))) != nil {
			return
		}
		if err := do(); err != nil {
			l.mu.Lock()
			l.err = errors.Join(l.err, err)
			l.mu.Unlock()
		}
	})
}

// wait returns when all of it has happened, with what went wrong.
func (l *timeline) wait() error {
	l.under.Wait()
	return l.err
}

// nines writes a tick of an axis that comes ever closer to 100 %: 1 for 90, 2 for
// 99; share is the part above it.
func nines(x float64) string {
	return strconv.FormatFloat(100-100*share(x), 'g', 5, 64)
}

func share(nines float64) float64 { return math.Pow(10, -nines) }
