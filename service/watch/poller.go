package watch

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// A poller reads one thing for all who watch it with the same key. It has a goroutine
// as long as anybody does.
type poller struct {
	of        *Watches
	key       readKey
	shared    Shared // sealed with the key of the read; nil without a store
	id        string // of the read in the store
	operation *apiv1.Operation
	cancel    context.CancelFunc
	news      chan struct{} // of capacity 1; wakes run

	// These belong to run.
	retry     time.Time // no poll before this, after one that failed
	failures  int       // of this replica's polls, one after the other
	failed    time.Time // when the latest failed that this replica knows of
	pace      time.Duration
	published publication
	alone     bool // the store has not answered for longer than a moment

	mu       sync.Mutex
	watchers map[*Watcher]struct{}
	latest   reading
	// seen is when the latest state was read, by this replica's clock.
	seen time.Time
	// round counts the times that the thing was looked at; changed is closed with each.
	round   uint64
	changed chan struct{}
	// failure ends the watch of everyone; trouble is why the latest poll has failed.
	failure, trouble *fault.Error
	// shown is the latest difference that was asked for: many ask for the same.
	shown struct {
		from, to *State
		update   *Update
	}
	// saved are requests that were saved, less those that were made; below 0 it is what
	// has to be saved yet.
	saved int
}

func newPoller(ws *Watches, call *broker.Call, op *apiv1.Operation) *poller {
	key := keyOf(call)
	return &poller{
		of: ws, key: key, shared: seal(ws.config.Shared, call.Key), id: key.id(), operation: op, news: make(chan struct{}, 1),
		watchers: make(map[*Watcher]struct{}), changed: make(chan struct{}),
	}
}

// add lets a watcher in. A younger age than there was changes the time of the next poll.
func (p *poller) add(w *Watcher, call *broker.Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.at, w.call, w.round = p, call, p.round
	w.failure = nil
	p.watchers[w] = struct{}{}
	if p.latest.state != nil {
		p.give(w, p.latest.state)
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// remove takes a watcher away, and tells how many are left.
func (p *poller) remove(w *Watcher) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.watchers, w)
	for _, s := range [...]*State{w.newest, w.last} {
		p.of.holding.drop(w.caller, s)
	}
	w.newest, w.last = nil, nil
	return len(p.watchers)
}

// payer is the watcher in whose name the next poll is made, the one with the youngest
// age, and that age; nil when there is none.
func (p *poller) payer() (*broker.Call, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var first *Watcher
	for w := range p.watchers {
		if first == nil || w.request.Age < first.request.Age || w.request.Age == first.request.Age && w.number < first.number {
			first = w
		}
	}
	if first == nil {
		return nil, 0
	}
	return first.call, first.request.Age
}

// held tells whether a poll was refused because an operator holds whom it was made for.
func held(f *fault.Error) bool { return f != nil && f.Reason == hold.Reason }

// others are the calls of the other callers, one for each, where one caller's was held:
// what is held of one is not of all.
func (p *poller) others(caller string, f *fault.Error) []*broker.Call {
	if !held(f) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	calls := make(map[string]*broker.Call)
	for w := range p.watchers {
		if w.caller != caller {
			calls[w.caller] = w.call
		}
	}
	return slices.Collect(maps.Values(calls))
}

// run looks at the thing as often as somebody wants, until ctx ends.
func (p *poller) run(ctx context.Context) {
	defer p.published.release(p.of)
	defer func() {
		if r := recover(); r != nil {
			p.fail(&fault.Error{Kind: fault.Internal, Detail: "the broker met a bug in a poll; its log has the place",
				Cause: fmt.Errorf("panic: %v\n%s", r, debug.Stack())})
		}
	}()
	for {
		timer := time.NewTimer(p.turn(ctx))
		select {
		case <-timer.C:
		case <-p.news:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// turn does what is due, and gives the time until the next turn.
func (p *poller) turn(ctx context.Context) time.Duration {
	call, age := p.payer()
	now := time.Now()
	if call == nil {
		return Oldest
	}
	if p.shared != nil {
		if wait, ok := p.together(ctx, now, call, age); ok {
			return wait
		}
	}
	if wait := max(p.due(now, age), p.retry.Sub(now)); wait > 0 {
		return wait
	}
	return p.poll(ctx, call, age)
}

// due is the time until the state is older than age; 0 when there is none.
func (p *poller) due(now time.Time, age time.Duration) time.Duration {
	if p.latest.state == nil {
		return 0
	}
	return max(0, p.seen.Add(age).Sub(now))
}

// poll reads the thing. It gives the time until the next turn.
func (p *poller) poll(ctx context.Context, call *broker.Call, age time.Duration) time.Duration {
	r, pages, f := p.read(ctx, call, age)
	for _, other := range p.others(call.Caller, f) {
		if r, pages, f = p.read(ctx, other, age); !held(f) {
			break
		}
	}
	if ctx.Err() != nil {
		return 0 // nobody watches any more
	}
	if f != nil {
		p.of.config.Observer.Polled(p.operation.GetId(), f.Kind.String())
		wait := p.troubled(f, age)
		if p.shared != nil && p.failures > 0 {
			p.complain(ctx, f, age)
		}
		return wait
	}
	p.of.config.Observer.Polled(p.operation.GetId(), "ok")
	p.pace, p.failures = age, 0
	p.advance(r, r.asked)
	if p.shared != nil {
		p.publish(ctx, r, pages, age)
	}
	return p.due(time.Now(), age)
}

// read reads all pages: the first time as the caller would who waits for them, and an
// answer at hand may be as old as the state; then when the others leave room.
func (p *poller) read(ctx context.Context, of *broker.Call, age time.Duration) (reading, []page, *fault.Error) {
	call := *of
	call.MaxAge = 0
	if p.latest.state == nil {
		call.MaxAge = age
	} else {
		call.Priority = ratelimit.Bulk
	}
	var r reading
	var pages []page
	size, most := int64(0), p.of.config.StateBytes
	err := p.of.config.Broker.Pages(ctx, &call, func(c *broker.Call, a *broker.Answer) error {
		if size += int64(len(a.Body)); size > most {
			return tooLarge(p.operation.GetId(), most)
		}
		if len(pages) == 0 || a.Asked.Before(r.asked) {
			r.asked = a.Asked
		}
		r.last = later(r.last, a.Asked)
		if a.Cache == broker.CacheMiss {
			r.made += len(a.Attempts)
		}
		pages = append(pages, pageOf(c, a))
		return nil
	})
	if err != nil {
		return r, nil, fault.As(err)
	}
	f := p.take(&r, pages)
	return r, pages, f
}

// take makes the state of pages.
func (p *poller) take(r *reading, pages []page) *fault.Error {
	r.digest = digestOf(pages)
	for _, one := range pages {
		r.pages = append(r.pages, place{one.Path, one.Query, one.sum})
	}
	old := p.latest.state
	if old != nil && r.digest == p.latest.digest {
		r.state = old
		return nil
	}
	bodies := make([][]byte, len(pages))
	for i := range pages {
		bodies[i] = pages[i].body
	}
	state, err := build(old, p.operation.GetRowKey(), bodies)
	if err != nil {
		return unreadable(p.operation.GetId(), err)
	}
	r.state = state
	return nil
}

// troubled takes note of a poll that failed. It gives the time until the next one.
func (p *poller) troubled(f *fault.Error, age time.Duration) time.Duration {
	if p.latest.state == nil || lasting(f) {
		p.fail(f)
		return Oldest
	}
	wait := min(age, time.Second<<min(p.failures, 6))
	if !held(f) { // a hold may be released before its end, and to ask costs nothing
		wait = max(wait, f.RetryAfter)
	}
	p.failures++
	p.failed = time.Now()
	p.retry = p.failed.Add(wait)
	p.worry(f)
	return wait
}

// worry tells the watchers that the latest poll has failed.
func (p *poller) worry(f *fault.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trouble = f
	p.turned()
}

// fail ends the watch of everyone.
func (p *poller) fail(f *fault.Error) {
	p.mu.Lock()
	p.failure = f
	p.turned()
	p.mu.Unlock()
	p.of.end(p)
}

// turned wakes the watchers, with the lock held.
func (p *poller) turned() {
	p.round++
	close(p.changed)
	p.changed = make(chan struct{})
}
