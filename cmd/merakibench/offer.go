package main

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

// A tally is what came of offering calls to a contender.
type tally struct {
	times  load.Times
	also   *load.Times // where the same times go, too; nil for nowhere
	failed atomic.Int64
	mu     sync.Mutex
	first  error // of the failed
	took   time.Duration
	cpu    time.Duration // of the contender's process
}

func (t *tally) fail(err error) {
	t.failed.Add(1)
	t.mu.Lock()
	if t.first == nil {
		t.first = err
	}
	t.mu.Unlock()
}

// broken says why no figure can be made of it: a contender that refuses is fast.
func (t *tally) broken() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.failed.Load(); n > 0 && float64(n) > 0.001*float64(t.times.Count()) {
		return errors.Join(errors.New("more than one call in a thousand failed"), t.first)
	}
	return nil
}

// second is calls for each second of the contender's processor time.
func (t *tally) second() float64 { return float64(t.times.Count()) / t.cpu.Seconds() }

// rate is calls a second as they came.
func (t *tally) rate() float64 { return float64(t.times.Count()) / t.took.Seconds() }

// around measures the contender's processor time around what is done.
func (c *contender) around(t *tally, do func()) error {
	before, err := c.usage()
	if err != nil {
		return err
	}
	begun := time.Now()
	do()
	t.took += time.Since(begun)
	after, err := c.usage()
	t.cpu += after.cpu - before.cpu
	return err
}

// saturate keeps n calls on their way for a length of time: the most that can be
// had. It is the one closed loop of the bench, and its times mean nothing.
func (c *contender) saturate(ctx context.Context, t *tally, calls []prepared, n int, length time.Duration) error {
	var next, under atomic.Int64
	var stop atomic.Bool
	over := make(chan struct{})
	var send func()
	done := func(err error) {
		if err != nil {
			t.fail(err)
		} else {
			t.times.Record(0)
		}
		if stop.Load() || err != nil {
			if under.Add(-1) == 0 {
				close(over)
			}
			return
		}
		send()
	}
	send = func() { c.way.Send(c.body(calls[int(next.Add(1))%len(calls)]), done) }
	return c.around(t, func() {
		under.Store(int64(n))
		for range n {
			send()
		}
		_ = pause(ctx, length) // the caller looks at ctx
		stop.Store(true)
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			t.fail(errors.New("calls on their way were not answered within 10 s"))
		}
	})
}

// offer makes calls when they are due, whether or not those before are answered,
// and counts their time from then.
func (c *contender) offer(ctx context.Context, t *tally, pick func(n int) prepared, arrivals iter.Seq[time.Duration]) error {
	return c.around(t, func() {
		var under sync.WaitGroup
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		start, n := time.Now().Add(10*time.Millisecond), 0
		for after := range arrivals {
			due := start.Add(after)
			if left := time.Until(due); left > 0 {
				timer.Reset(left)
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
			if ctx.Err() != nil {
				break
			}
			under.Add(1)
			c.way.Send(c.body(pick(n)), func(err error) {
				if err != nil {
					t.fail(err)
				} else {
					took := time.Since(due)
					t.times.Record(took)
					if t.also != nil {
						t.also.Record(took)
					}
				}
				under.Done()
			})
			n++
		}
		over := make(chan struct{})
		go func() {
			under.Wait()
			close(over)
		}()
		select {
		case <-over:
		case <-time.After(30 * time.Second):
			t.fail(errors.New("calls on their way were not answered within 30 s"))
		}
	})
}
