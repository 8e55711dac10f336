package broker

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
	"github.com/merakibroker/merakibroker/service/record"
)

// A Broker takes calls to the Dashboard. It is safe for concurrent use.
type Broker struct {
	config   Config
	observer Observer
	life     *lane.Lifecycle
	lanes    *lane.Lanes
	owners   *owner.Directory
	services serviceTimes
	retries  retryBudget
	gates    gates
	reads    sharedReads
	cache    *cache
	record   *record.Record

	// attempts counts what left. Slots that are granted and not spent wait to leave
	// at this moment.
	attempts atomic.Int64
}

// New makes a Broker.
func New(c Config) (*Broker, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	life := lane.NewLifecycle()
	lanes, err := lane.New(c.Budgets, life)
	if err != nil {
		return nil, err
	}
	owners, err := owner.New(c.Owners)
	if err != nil {
		return nil, err
	}
	return &Broker{
		config: c, observer: c.Observer, life: life, lanes: lanes, owners: owners, record: c.Record,
		cache: newCache(c.CacheBytes),
		gates: gates{batches: c.Batches, pause: c.BatchHold, drain: life.Drained()},
	}, nil
}

// Do makes a call, and returns when it is done or cannot be. The error is always
// a *fault.Error. A call without a deadline gets Config.Deadline.
func (b *Broker) Do(ctx context.Context, c *Call) (*Answer, error) {
	f := check(c)
	if f != nil {
		return nil, f
	}
	told := b.audited(c)
	defer told.crashed()
	var a *Answer
	if a, f = b.accept(ctx, c); f != nil {
		told.failed(f)
		return nil, f
	}
	told.done(a)
	return a, nil
}

// accept makes a call that has been checked, unless this replica takes none now.
func (b *Broker) accept(ctx context.Context, c *Call) (*Answer, *fault.Error) {
	if b.life.Draining() {
		return nil, fault.Stopping(c.Operation.GetId())
	}
	if f := refuseRepeated(c); f != nil {
		return nil, f
	}
	if !c.read() {
		if f := b.config.Audit.Ready(); f != nil {
			f.Operation = c.Operation.GetId()
			return nil, f
		}
	}
	ctx, cancel := b.bounded(ctx, c)
	defer cancel()
	a, f := b.do(ctx, c)
	b.requested(c, a, f)
	return a, f
}

// do makes a call, once the caller may have it.
func (b *Broker) do(ctx context.Context, c *Call) (*Answer, *fault.Error) {
	if c.Settle != nil {
		settled, f := b.settle(ctx, c)
		if f != nil {
			return nil, f
		}
		c = settled
	}
	if f := b.held(ctx, c); f != nil {
		return nil, f
	}
	if c.read() {
		return b.share(ctx, c)
	}
	return b.perform(&callState{ctx: ctx, call: c})
}

// bounded gives a call the usual deadline where it has none.
func (b *Broker) bounded(ctx context.Context, c *Call) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, cmp.Or(c.Deadline, b.config.Deadline))
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
	b.life.Drain()
	b.lanes.Drain()
}

// Close ends what Drain has left, and returns when no goroutine of the broker's
// runs any more. It does not close the Dashboard or the Scheduler.
func (b *Broker) Close() {
	b.Drain()
	b.life.Close()
}

// Attempts is how many HTTP requests have left, of every kind: for calls, pages,
// retries, redirects and look-ups.
func (b *Broker) Attempts() int64 { return b.attempts.Load() }

// Granted is how many slots have been given out. Every attempt has spent one.
func (b *Broker) Granted() int64 { return b.lanes.Granted() }

// Record is where every attempt is put down.
func (b *Broker) Record() *record.Record { return b.record }

// Budget is the state of an organization's budget, or for an empty id the egress
// address's. Of one that nobody has drawn on it tells what it would be.
func (b *Broker) Budget(organization string) lane.BudgetState { return b.lanes.Budget(organization) }

// Budgets gives the budgets that have changed since a version: see lane.Lanes.
func (b *Broker) Budgets(since uint64, organizations ...string) (changed []lane.BudgetState, version uint64) {
	return b.lanes.Budgets(since, organizations...)
}

// Waiting counts the calls that wait in all lanes, by the kind of the budget.
func (b *Broker) Waiting() map[string]int { return b.lanes.Waiting() }

// note puts an attempt on record.
func (b *Broker) note(j *callState, a *dashboard.Result, v verdict) {
	operation := j.call.Operation.GetId()
	b.observer.Judged(operation, v.action.String())
	b.record.Add(record.Attempt{
		Start: a.Start, Duration: a.Duration, Operation: operation, Organization: j.organization,
		Caller: j.call.Caller, Method: j.call.method(), Status: a.Status, Outcome: a.Outcome,
		RequestID: a.RequestID, Host: a.Host, Error: a.Describe(),
		Number: j.history.number, Verdict: v.String(),
	})
	b.attempted(j, a)
}

// crashed is the fault of a call that met a bug.
func crashed(c *Call, p any) *fault.Error {
	return &fault.Error{
		Kind: fault.Internal, Operation: c.Operation.GetId(),
		Detail: "the broker met a bug on the way of the call; its log has the place",
		Cause:  fmt.Errorf("panic: %v\n%s", p, debug.Stack()),
	}
}
