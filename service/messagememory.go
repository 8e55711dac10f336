package service

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip"  // callers may compress what they send; requestRoom counts what comes out
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that passthrough falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/merakibroker/merakibroker/service/fault"
)

// slowRequest is how long a request may be on its way while another waits for room.
const slowRequest = 10 * time.Second

// callBytes is about what a call takes beside its request while it waits: its stream,
// and the stack of its goroutine.
const callBytes = 20 << 10

// requestBounds bound what requests take, from before they are read until their calls
// have ended: a call in a queue holds its body, and itself.
func requestBounds(maxRequest int) memoryBounds {
	return memoryBounds{
		account: max(64<<20, 4*int64(maxRequest)), all: max(256<<20, 16*int64(maxRequest)), least: callBytes,
		patience: 30 * time.Second, stall: slowRequest,
	}
}

// errRequestsHeld is the fault of a request for which there was no room.
var errRequestsHeld = &fault.Error{
	Kind: fault.BudgetExhausted, Reason: "REQUESTS_HELD", RetryAfter: time.Second,
	Detail: "the requests before this one fill the room that there is for requests; wait until some have been answered, or send less at a time",
}

// receive waits for the request of the call of ctx, by f into in. How large it is
// nobody knows before it has been read, so room is taken for the largest that may
// come, and what is too much is given back afterwards. A request whose data has
// arrived is read in microseconds: waiting for room costs only those whose neighbours
// hold requests that are large, or slow.
func (c *idleCalls) receive(ctx context.Context, in any, f func(any) error) error {
	a := arrivalOf(ctx)
	if a == nil {
		return ofCaller(ctx, f(in))
	}
	a.rpc = ctx
	a.releaseRequest() // of the message before this one, on a stream of several
	if err := c.enter(a); err != nil {
		return err
	}
	room, err := c.requests.reserve(ctx, c.requestRoom(ctx))
	if err == nil {
		c.mu.Lock()
		a.room, a.receiving = room, time.Now()
		c.mu.Unlock()
		err = ofCaller(ctx, f(in))
		room.resize(sizeOf(in))
	}
	if ended := c.leave(a); ended != nil {
		return ended
	}
	return err
}

// requestRoom is what reading the request may take at the most. A compressed one is
// there twice while it is decompressed, each time within the bound of one message.
func (c *idleCalls) requestRoom(ctx context.Context) int {
	stream, ok := grpc.ServerTransportStreamFromContext(ctx).(interface{ RecvCompress() string })
	if ok && stream.RecvCompress() != "" && stream.RecvCompress() != "identity" {
		return 2 * c.maxRequest
	}
	return c.maxRequest
}

// sizeOf is what a message takes that was received.
func sizeOf(in any) int {
	switch in := in.(type) {
	case *frame:
		return len(in.wire())
	case proto.Message:
		return proto.Size(in)
	}
	return 0
}

// holds says that the call's request takes so many bytes now, in the form in which it
// will be sent on.
func (a *arrival) holds(bytes int) {
	if a != nil && a.room != nil {
		a.room.resize(bytes)
	}
}

// releaseRequest gives back the room of a call that has ended.
func (a *arrival) releaseRequest() {
	if a != nil {
		a.room.release()
		a.room = nil
	}
}

// errAnswersNotRead is the fault of an answer for which there was no room.
var errAnswersNotRead = &fault.Error{
	Kind: fault.BudgetExhausted, Reason: "ANSWERS_NOT_READ", NoRetry: true,
	Detail: "the answers before this one are not being read by the client; read them, or ask for less at a time",
}

// responseBounds bound the answers that callers have not taken yet. gRPC does not
// bound them: one read of the Dashboard that ten thousand calls share is ten thousand
// answers in memory when nobody reads them. The bounds are far above what a client that reads comes near to. One answer
// alone always has room.
func responseBounds() memoryBounds {
	return memoryBounds{account: 32 << 20, all: 512 << 20, alone: true, patience: time.Minute}
}

// answer makes a frame of an answer that holds room. gRPC loses sight of one whose
// call is reset, or whose connection is closed, at the wrong moment; then the
// collector of garbage tells when it is gone.
func (r *reservation) answer(wire []byte) *frame {
	f := &frame{out: wire, room: r}
	if r != nil {
		f.lost = runtime.AddCleanup(f, (*reservation).release, r)
	}
	return f
}

// buffer is the answer as gRPC takes it. Where gRPC will not say that it has been
// passed on, it counts as that.
func (f *frame) buffer() mem.Buffer {
	if f.room == nil && f.passed == nil || mem.IsBelowBufferPoolingThreshold(cap(f.out)) {
		f.gone()
		return mem.SliceBuffer(f.out)
	}
	return mem.NewBuffer(&f.out, f)
}

// Get is there for mem.BufferPool; nobody takes a buffer from a frame.
func (*frame) Get(length int) *[]byte { b := make([]byte, length); return &b }

// Put is gRPC's word that all of the answer has been passed on.
func (f *frame) Put(*[]byte) {
	if f.room != nil {
		f.lost.Stop()
	}
	f.gone()
}

// A frame is a protobuf message that stays wire bytes: the typed RPCs never
// build message objects.
type frame struct {
	// in holds what was received, until release.
	in mem.Buffer
	// out is what is sent; room is what it takes until then.
	out  []byte
	room *reservation
	// drifts counts the places in which the answer differed from the contract.
	drifts int
	// lost releases the room of a frame that nobody holds any more.
	lost runtime.Cleanup
	// passed is closed when it has been; nil when nobody waits for that.
	passed chan struct{}
}

// watch tells when gRPC has passed on all of the answer: its last byte has gone
// out, within what the client has said it has room for. It never does for an answer
// whose call is reset at the wrong moment. To be called before the answer is sent.
func (f *frame) watch() <-chan struct{} {
	f.passed = make(chan struct{})
	if mem.IsBelowBufferPoolingThreshold(cap(f.out)) {
		f.out = slices.Grow(f.out, 2<<10) // gRPC tells nothing of what takes less than 1 KiB
	}
	return f.passed
}

// gone is told once that the answer has been passed on.
func (f *frame) gone() {
	f.room.release()
	if f.passed != nil {
		close(f.passed)
	}
}

// wire gives the bytes received; valid until release.
func (f *frame) wire() []byte {
	if f.in == nil {
		return nil
	}
	return f.in.ReadOnlyData()
}

func (f *frame) release() {
	if f.in != nil {
		f.in.Free()
		f.in = nil
	}
}

// passthrough is the server's codec: frames pass as bytes, everything else
// (health, reflection, BrokerService) goes through gRPC's own protobuf codec.
type passthrough struct{ proto encoding.CodecV2 }

func newPassthrough() passthrough {
	return passthrough{proto: encoding.GetCodecV2("proto")}
}

// Name is the content subtype, so that clients see an ordinary protobuf server.
func (passthrough) Name() string { return "proto" }

// Marshal hands a frame's bytes on, or encodes a message.
func (c passthrough) Marshal(v any) (mem.BufferSlice, error) {
	if f, ok := v.(*frame); ok {
		return mem.BufferSlice{f.buffer()}, nil
	}
	return c.proto.Marshal(v)
}

// Unmarshal keeps a frame's bytes, or decodes a message.
func (c passthrough) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return c.proto.Unmarshal(data, v)
	}
	if f.in != nil {
		return fmt.Errorf("service: a second message on a call that takes one")
	}
	f.in = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}
