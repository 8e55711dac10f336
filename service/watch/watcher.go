package watch

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A Watcher is one watch of one caller's. Its methods are for one goroutine.
type Watcher struct {
	of      *Watches
	request Request
	caller  string
	number  uint64 // of the watch, in the order of opening
	at      *poller
	// round is the poller's round at which the rules were asked last; barred tells that
	// they could not be.
	round  uint64
	barred bool

	// The rest belongs to the poller, and is read and written with its lock held.
	call *broker.Call // with the key
	// newest is the poller's state, and last the one that was sent; what the holding
	// counts.
	newest, last *State
	// failure ends this watch alone.
	failure *fault.Error
	// told: the watcher knows of a trouble.
	told bool
	// due is when the caller would have read by itself again.
	due time.Time
}

// Next waits for what leads from the state that was given last to the newest one, and
// gives it. The first update is whole. The error is a *fault.Error, and the watch is
// over with it.
func (w *Watcher) Next(ctx context.Context) (*Update, error) {
	operation := w.request.Operation.GetId()
	for {
		round, changed := w.at.rounds()
		if round != w.round || w.barred {
			moved, err := w.askAgain(ctx)
			if err != nil {
				return nil, err
			}
			if moved {
				continue
			}
			w.round = round
		}
		if !w.barred {
			u, f := w.at.update(w, time.Now())
			if f != nil {
				return nil, named(f, operation)
			}
			if u != nil {
				return u, nil
			}
		}
		again := time.NewTimer(w.again(time.Now()))
		select {
		case <-changed:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, fault.Ended(operation, ctx.Err(), "watching")
		case <-w.of.ctx.Done():
			again.Stop()
			return nil, fault.Stopping(operation)
		}
		again.Stop()
	}
}

// again is the time after which there is something to do though nothing was read: to ask
// rules that could not be asked, or to tell of a trouble.
func (w *Watcher) again(now time.Time) time.Duration {
	if w.barred {
		return min(w.request.Age, askingPause)
	}
	return w.at.late(w, now)
}

// askingPause is the longest time between two questions to rules that cannot be asked. The
// next time that the thing is read may be an hour away.
const askingPause = 10 * time.Second

// Close ends the watch.
func (w *Watcher) Close() {
	w.of.leave(w)
	w.of.exit(w)
}

// ask asks the rules, and gives the read with the key that serves it.
func (w *Watcher) ask(ctx context.Context) (*broker.Call, error) {
	call, err := w.request.Ask(ctx)
	if err != nil {
		return nil, err
	}
	return w.of.config.Broker.Settled(ctx, call)
}

// askAgain asks the rules in the middle of the watch. Where the key has changed, the
// watcher moves to those who use the new one. While the rules cannot be asked, because
// the owner cannot be looked up, nothing is sent.
func (w *Watcher) askAgain(ctx context.Context) (moved bool, err error) {
	call, err := w.ask(ctx)
	if f := fault.As(err); f != nil && !lasting(f) && ctx.Err() == nil {
		w.barred = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	w.barred = false
	if keyOf(call) == w.at.key {
		return false, nil
	}
	w.of.leave(w)
	if f := w.of.join(w, call); f != nil {
		return false, f
	}
	return true, nil
}

// named is a fault of a poll as one of this watch's: faults are shared.
func named(f *fault.Error, operation string) *fault.Error {
	out := *f
	out.Operation = operation
	return &out
}
