package service

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

// maxIdleCalls is how many calls may be without their request at a time. Each costs
// about 15 KiB, and up to streamWindow of a request that has begun to arrive. A client
// that means well is idle for as long as its request is on the way.
const maxIdleCalls = 4000

// idleCalls are the calls that have begun and sent no request yet. gRPC lets a call
// stay idle for as long as it likes, thousands on each connection. When there are too
// many, the account that has the most loses its oldest, which has had more time than
// any other of them; so calls that do send something are never ended.
type idleCalls struct {
	max int
	// maxRequest is what one request may have, in bytes.
	maxRequest int
	requests   *memory

	mu       sync.Mutex
	accounts map[any]*idleAccount
	count    int
	number   uint64 // of the last call that became idle
	// stopping is why no call may be idle any more; nil until then.
	stopping *fault.Error
}

// An idleAccount is the idle calls of one account, oldest first.
type idleAccount struct {
	key            any
	oldest, newest *arrival
	count          int
}

func newIdleCalls(max, maxRequest int) *idleCalls {
	if maxRequest == 0 {
		maxRequest = defaultRequestBytes
	}
	c := &idleCalls{max: max, maxRequest: maxRequest, accounts: make(map[any]*idleAccount), requests: newMemory(requestBounds(maxRequest), errRequestsHeld)}
	c.requests.crowded = c.endSlowest
	return c
}

// An arrival is the context of a call from its arrival on, its place among the idle
// calls, and the room that its request takes.
type arrival struct {
	context.Context
	cancel       context.CancelFunc
	header       metadata.MD     // as it came; not to be written to
	rpc          context.Context // of the RPC, made from this one
	account      *idleAccount    // nil while it is not idle
	older, newer *arrival
	number       uint64
	// ended is why the call was ended while it was idle.
	ended *fault.Error
	// receiving is since when there has been room for the request, which is on its way.
	receiving time.Time
	room      *reservation
}

type arrivalKey struct{}

// newArrival gives a call a context that can be ended from here.
func newArrival(ctx context.Context, header metadata.MD) *arrival {
	a := &arrival{header: header}
	a.Context, a.cancel = context.WithCancel(ctx)
	return a
}

// arrivalOf finds the arrival of the call of ctx; nil where there was none.
func arrivalOf(ctx context.Context) *arrival {
	a, _ := ctx.Value(arrivalKey{}).(*arrival)
	return a
}

// Value finds the arrival itself in what is derived from its context.
func (a *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return a
	}
	return a.Context.Value(key)
}

var (
	// errIdle is why a call was ended that sent nothing.
	errIdle = &fault.Error{Kind: fault.Cancelled, Reason: "NO_REQUEST", NoRetry: true, Detail: "the call sent no request, and too many others waited for theirs"}
	// errSlow is why a call was ended whose request came more slowly than others.
	errSlow = &fault.Error{Kind: fault.Cancelled, Reason: "NO_REQUEST", NoRetry: true, Detail: "the request did not arrive in time, and others waited for its room"}
)

// end ends a call that is idle. Its handler waits for gRPC, so the status is given to
// gRPC here; what the handler returns comes too late.
func (a *arrival) end() {
	st, md := failureOf(a.ended, about{}).leave()
	if stream, ok := grpc.ServerTransportStreamFromContext(a.rpc).(interface {
		SetTrailer(metadata.MD) error
		WriteStatus(*status.Status) error
	}); ok {
		_, _ = stream.SetTrailer(md), stream.WriteStatus(st) // where the stream has ended by itself, that is as good
	}
	a.cancel()
}

// enter puts a call among the idle ones, and ends another where that is too much.
func (c *idleCalls) enter(a *arrival) error {
	key := accountOf(a.rpc)
	c.mu.Lock()
	if c.stopping != nil {
		defer c.mu.Unlock()
		refusal := *c.stopping
		return &refusal
	}
	c.add(a, key)
	var end *arrival
	if c.count > c.max {
		end = c.most().oldest
		c.remove(end, errIdle)
	}
	c.mu.Unlock()
	if end != nil {
		end.end()
	}
	return nil
}

// leave takes a call out; the fault is why it had been ended before.
func (c *idleCalls) leave(a *arrival) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	a.receiving = time.Time{}
	if a.ended != nil { // also with a request that came too late: the context has ended
		return a.ended
	}
	c.remove(a, nil)
	return nil
}

// most gives the account with the most idle calls, the one with the oldest of several,
// with the lock held. There is one.
func (c *idleCalls) most() *idleAccount {
	var most *idleAccount
	for _, o := range c.accounts {
		if most == nil || o.count > most.count || o.count == most.count && o.oldest.number < most.oldest.number {
			most = o
		}
	}
	return most
}

// endSlowest ends the call that has been receiving its request for longest: of an
// account, or of all where account is nil.
func (c *idleCalls) endSlowest(account *memoryAccount) {
	c.mu.Lock()
	var end *arrival
	for key, o := range c.accounts {
		if account != nil && account.key != key {
			continue
		}
		for a := o.oldest; a != nil; a = a.newer {
			if a.slow() && (end == nil || a.receiving.Before(end.receiving)) {
				end = a
			}
		}
	}
	if end != nil {
		c.remove(end, errSlow)
	}
	c.mu.Unlock()
	if end != nil {
		end.end()
	}
}

// slow tells whether a request has been on its way for too long, with the lock held.
func (a *arrival) slow() bool {
	return !a.receiving.IsZero() && time.Since(a.receiving) >= slowRequest
}

// stop ends every call that is idle, and lets none be idle from now on.
func (c *idleCalls) stop(why *fault.Error) {
	c.mu.Lock()
	c.stopping = why
	var all []*arrival
	for _, o := range c.accounts {
		for o.oldest != nil {
			all = append(all, o.oldest)
			c.remove(o.oldest, why)
		}
	}
	c.mu.Unlock()
	for _, a := range all {
		a.end()
	}
}

// add puts a call at the end of its account, with the lock held.
func (c *idleCalls) add(a *arrival, key any) {
	if a.account != nil {
		return // two receive on one stream, which gRPC forbids
	}
	o := c.accounts[key]
	if o == nil {
		o = &idleAccount{key: key}
		c.accounts[key] = o
	}
	c.number++
	a.account, a.number, a.older, a.newer = o, c.number, o.newest, nil
	if o.newest != nil {
		o.newest.newer = a
	} else {
		o.oldest = a
	}
	o.newest = a
	o.count++
	c.count++
}

// remove takes a call out, with the lock held.
func (c *idleCalls) remove(a *arrival, why *fault.Error) {
	o := a.account
	if o == nil {
		return
	}
	if a.older != nil {
		a.older.newer = a.newer
	} else {
		o.oldest = a.newer
	}
	if a.newer != nil {
		a.newer.older = a.older
	} else {
		o.newest = a.older
	}
	a.account, a.older, a.newer, a.ended = nil, nil, nil, why
	c.count--
	if o.count--; o.count == 0 {
		delete(c.accounts, o.key)
	}
}
