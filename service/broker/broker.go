package broker

import (
	"context"
	"fmt"
	"hash/maphash"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A Broker takes calls to the Dashboard. It is safe for concurrent use.
type Broker struct {
	config    Config
	observer  Observer
	house     *house
	lanes     *lanes
	owners    *owners
	hydration hydration
	hosts     hosts
	services  serviceTimes
	retries   retryBudget
	gates     gates
	flights   flights
	cache     *cache
	record    *Record
	seed      maphash.Seed // of what calls ask for, in short

	// granted counts slots that were given to calls, attempts the slots that were
	// spent: what left. They differ by what waits to leave at this moment.
	granted, attempts atomic.Int64
}

// New makes a Broker.
func New(c Config) (*Broker, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	h := newHouse(c)
	b := &Broker{
		config: c, observer: c.Observer, house: h, lanes: newLanes(h), record: c.Record, seed: maphash.MakeSeed(),
		owners: newOwners(c.Owners, c.OwnerAge, c.MissAge),
		cache:  newCache(c.CacheBytes),
		gates:  gates{batches: c.Batches, hold: c.BatchHold, drain: h.drained},
		hosts:  hosts{age: c.HostAge},
	}
	b.hosts.m.limit = 10_000
	b.hydration.m.limit = 1000
	if b.record == nil {
		b.record = NewRecord(RecordConfig{Attempts: 1000, Organizations: 100})
	}
	return b, nil
}

// Do makes a call, and returns when it is done or cannot be. The error is always
// a *fault.Error. A call without a deadline gets Config.Deadline.
func (b *Broker) Do(ctx context.Context, c *Call) (*Answer, error) {
	if f := check(c); f != nil {
		return nil, f
	}
	if b.house.draining.Load() {
		return nil, draining(c.Operation.GetId())
	}
	if f := refuseRepeated(c); f != nil {
		return nil, f
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.config.Deadline)
		defer cancel()
	}
	var a *Answer
	var f *fault.Error
	if c.Settle != nil {
		if c, f = b.settle(ctx, c); f != nil {
			return nil, f
		}
	}
	if c.read() {
		a, f = b.share(ctx, c)
	} else {
		a, f = b.perform(&journey{ctx: ctx, call: c})
	}
	if f != nil {
		return nil, f
	}
	return a, nil
}

// check says what is wrong with a call before anything is done about it.
func check(c *Call) *fault.Error {
	switch {
	case c.Operation.GetId() == "":
		return &fault.Error{Kind: fault.Internal, Detail: "a call without an operation reached the broker; this is a bug"}
	case !strings.HasPrefix(c.Path, "/"):
		f := fault.Bad("path", "the path has to start with a slash, below /api/v1")
		f.Operation = c.Operation.GetId()
		return f
	case c.Priority > ratelimit.Bulk:
		f := fault.Bad("meraki-priority", "the priority is none of critical, normal and bulk")
		f.Operation = c.Operation.GetId()
		return f
	case c.MaxAge < 0:
		f := fault.Bad("meraki-max-age", "the age is below 0")
		f.Operation = c.Operation.GetId()
		return f
	}
	return nil
}

// Drain refuses new calls and those that wait without having sent anything.
// Calls that have are finished. It returns at once.
func (b *Broker) Drain() {
	b.house.drain()
	for _, l := range b.lanes.all() {
		l.mu.Lock()
		l.refuseAll(refusedDraining, false)
		l.mu.Unlock()
	}
}

// Close ends what Drain has left, and returns when no goroutine of the broker's
// runs any more. It does not close the Dashboard or the Scheduler.
func (b *Broker) Close() {
	b.Drain()
	b.house.close()
}

// Attempts is how many HTTP requests have left, of every kind: for calls, pages,
// retries, redirects and look-ups.
func (b *Broker) Attempts() int64 { return b.attempts.Load() }

// Granted is how many slots have been given out. Every attempt has spent one.
func (b *Broker) Granted() int64 { return b.granted.Load() }

// Record is where every attempt is put down.
func (b *Broker) Record() *Record { return b.record }

// note puts an attempt on record.
func (b *Broker) note(j *journey, a *dashboard.Answer, v verdict) {
	operation := j.call.Operation.GetId()
	b.observer.Judged(operation, v.action.String())
	b.record.Add(Attempt{
		Start: a.Start, Duration: a.Duration, Operation: operation, Organization: j.organization,
		Caller: j.call.Caller, Method: j.call.method(), Status: a.Status, Outcome: a.Outcome,
		RequestID: a.RequestID, Host: a.Host, Error: a.Describe(),
		Number: j.history.number, Verdict: v.String(),
	})
}

// draining is the fault of a call that comes too late to this replica.
func draining(operation string) *fault.Error {
	return &fault.Error{
		Kind: fault.Draining, Operation: operation,
		Detail: "this replica of the broker is stopping and has sent nothing: call another one",
	}
}

// crashed is the fault of a call that met a bug.
func crashed(c *Call, p any) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Operation: c.Operation.GetId(),
		Detail: "the broker met a bug on the way of the call; its log has the place",
		Cause:  fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
	}
}
