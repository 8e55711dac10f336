package service

import (
	"runtime"
	"time"

	"google.golang.org/grpc/mem"

	"github.com/merakibroker/merakibroker/service/fault"
)

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
