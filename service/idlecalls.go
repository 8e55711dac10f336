package service

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/service/fault"
)

// maxIdleCalls is how many calls may be without their request at a time. Each costs
// about 15 KiB. A client that means well is idle for as long as its request is on
// the way.
const maxIdleCalls = 10_000

// idleCalls are the calls that have begun and sent no request yet, oldest first. gRPC
// lets a call stay idle for as long as it likes, thousands on each connection.
// When there are too many, the oldest is ended: whoever it belongs to, it has had
// more time than any other, so calls that do send something never are.
type idleCalls struct {
	max int

	mu             sync.Mutex
	oldest, newest *arrival
	count          int
}

// A arrival is the context of a call from its arrival on, and its place among the
// silent ones.
type arrival struct {
	context.Context
	cancel       context.CancelFunc
	header       metadata.MD     // as it came; not to be written to
	rpc          context.Context // of the RPC, made from this one
	older, newer *arrival
	listed       bool
}

type arrivalKey struct{}

// Value finds the call itself in what is derived from its context.
func (c *arrival) Value(key any) any {
	if key == (arrivalKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// begin gives a call a context that can be ended from here.
func (s *idleCalls) begin(ctx context.Context, header metadata.MD) context.Context {
	c := &arrival{header: header}
	c.Context, c.cancel = context.WithCancel(ctx)
	return c
}

// errIdle is why a call that has been idle for longest was ended.
var errIdle = &fault.Error{Kind: fault.Cancelled, Reason: "NO_REQUEST", Detail: "the call sent no request, and too many others waited for theirs"}

// end ends a call. gRPC answers by itself, with CANCELLED, as soon as its context
// has ended; the reason goes along in the trailer.
func (c *arrival) end() {
	if stream := grpc.ServerTransportStreamFromContext(c.rpc); stream != nil {
		_ = stream.SetTrailer(metadata.Pairs(trailerReason, errIdle.Reason, trailerPushback, "-1")) // too late is as good
	}
	c.cancel()
}

// receive runs f, which waits for the request of the call of ctx.
func (s *idleCalls) receive(ctx context.Context, f func() error) error {
	c, _ := ctx.Value(arrivalKey{}).(*arrival)
	if c == nil {
		return ofCaller(ctx, f())
	}
	c.rpc = ctx
	s.mu.Lock()
	s.add(c)
	var end *arrival
	if s.count > s.max {
		end = s.oldest
		s.remove(end)
	}
	s.mu.Unlock()
	if end != nil {
		end.end()
	}
	err := f()
	s.mu.Lock()
	ended := !c.listed
	s.remove(c)
	s.mu.Unlock()
	if ended { // also with a request that came too late: the context has ended
		return errIdle
	}
	return ofCaller(ctx, err)
}

// add puts a call at the end, with the lock held.
func (s *idleCalls) add(c *arrival) {
	if c.listed {
		return // two receive on one stream, which gRPC forbids
	}
	c.listed, c.older, c.newer = true, s.newest, nil
	if s.newest != nil {
		s.newest.newer = c
	} else {
		s.oldest = c
	}
	s.newest = c
	s.count++
}

// remove takes a call out, with the lock held.
func (s *idleCalls) remove(c *arrival) {
	if !c.listed {
		return
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		s.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		s.newest = c.older
	}
	c.listed, c.older, c.newer = false, nil, nil
	s.count--
}
