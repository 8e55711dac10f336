package service

import (
	"fmt"
	"runtime"
	"slices"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that passthrough falls back to
	"google.golang.org/grpc/mem"
)

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
