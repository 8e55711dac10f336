package service_test

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

const getOrganization = "/meraki.organizations.v1.OrganizationsService/GetOrganization"

// unharmed makes calls of another caller, one after the other, until the function
// that it gives is called, which fails the test when one of them failed.
func unharmed(t *testing.T, h *harness) (stop func()) {
	t.Helper()
	end := make(chan struct{})
	var group sync.WaitGroup
	var n, slow atomic.Int64
	group.Go(func() {
		for {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			start := time.Now()
			_, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)})
			cancel()
			if err != nil {
				t.Errorf("another caller: %v", err)
				return
			}
			n.Add(1)
			slow.Store(max(slow.Load(), int64(time.Since(start))))
			select {
			case <-end:
				return
			default:
			}
		}
	})
	return func() {
		close(end)
		group.Wait()
		t.Logf("another caller made %d calls meanwhile, the slowest took %v", n.Load(), time.Duration(slow.Load()).Round(time.Millisecond))
	}
}

// inUse is the memory in use, bytes, stacks included.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// TestHeadersOverTheLimit: a status for what is too much for a call, and a closed
// connection for what is too much for the transport.
func TestHeadersOverTheLimit(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	stop := unharmed(t, h)
	defer stop()
	with := func(n int) context.Context {
		return metadata.AppendToOutgoingContext(t.Context(), "x-large", strings.Repeat("x", n))
	}
	for n, want := range map[int]string{8 << 10: "", 20 << 10: "bytes of headers; it may have 16384", 60 << 10: "bytes of headers", 100 << 10: "header list size"} {
		_, err := h.call(with(n), t, "getOrganizations", nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%d KiB of headers: %v", n>>10, err)
		}
		if want != "" && n < 64<<10 && status.Code(err) != codes.ResourceExhausted {
			t.Errorf("%d KiB of headers: %v", n>>10, status.Code(err))
		}
	}
	// A client that does not listen to what the server says it can read.
	raw := newRawClient(t, h.address)
	if _, err := raw.begin(getOrganization, "x-large", strings.Repeat("x", 100<<10)); err != nil {
		t.Fatal(err)
	}
	raw.drainFrames(func(f http2.Frame) {
		if code, _ := statusOf(f); code != "" {
			t.Errorf("100 KiB of headers got status %s", code)
			_ = raw.conn.Close()
		}
	})
}

// TestHeadersWithoutEnd: a header block that goes on for ever ends the connection.
func TestHeadersWithoutEnd(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	stop := unharmed(t, h)
	defer stop()
	raw := newRawClient(t, h.address)
	var err error
	go raw.drainFrames(func(http2.Frame) {})
	block := make([]byte, 16<<10)
	err = raw.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:0]})
	sent := 0
	for ; err == nil && sent < 100<<20; sent += len(block) {
		err = raw.framer.WriteContinuation(1, false, block)
	}
	if err == nil {
		t.Errorf("%d MiB of headers were taken", sent>>20)
	}
}

// TestPingsTooOften: GOAWAY with the reason, then the connection is closed.
func TestPingsTooOften(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	stop := unharmed(t, h)
	defer stop()
	raw := newRawClient(t, h.address)
	go func() {
		for raw.framer.WritePing(false, [8]byte{1}) == nil {
		}
	}()
	last := ""
	raw.drainFrames(func(f http2.Frame) {
		if _, ok := f.(*http2.GoAwayFrame); ok {
			last = describe(f)
		}
	})
	if last != "GOAWAY ENHANCE_YOUR_CALM too_many_pings" {
		t.Errorf("the connection ended with %q", last)
	}
}

// TestIdleStreams: half as many calls again as may be idle, none of which sends
// a request, over ten connections. The oldest are ended with a reason, memory is bounded, and those who
// send requests are served.
func TestIdleStreams(t *testing.T) {
	const connections, each = 10, 600
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	before, goroutines := inUse(), runtime.NumGoroutine()
	stop := unharmed(t, h)
	var refused, reset atomic.Int64
	var once atomic.Bool
	var group, readers sync.WaitGroup
	var clients []*rawClient
	for range connections {
		raw := newRawClient(t, h.address)
		clients = append(clients, raw)
		done := make(chan struct{})
		readers.Go(func() {
			raw.drainFrames(func(f http2.Frame) {
				if ping, ok := f.(*http2.PingFrame); ok && ping.Data == [8]byte{'e', 'n', 'd'} && ping.IsAck() {
					close(done)
				}
				if _, ok := f.(*http2.RSTStreamFrame); ok {
					reset.Add(1)
				}
				switch code, reason := statusOf(f); {
				case code == "1" && reason == "NO_REQUEST":
					refused.Add(1)
				case code != "" && once.CompareAndSwap(false, true):
					t.Errorf("an idle call ended with %s %s", code, reason)
				}
			})
		})
		group.Go(func() {
			for range each {
				if _, err := raw.begin(getOrganization); err != nil {
					t.Errorf("a connection broke: %v", err)
					return
				}
			}
			if err := raw.framer.WritePing(false, [8]byte{'e', 'n', 'd'}); err != nil {
				t.Error(err)
			}
			<-done
		})
	}
	group.Wait()
	stop()
	// Those that were ended are on their way out, which takes as long as it takes.
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	held := runtime.NumGoroutine() - goroutines
	for deadline := time.Now().Add(20 * time.Second); held > 5_000 && time.Now().Before(deadline); held = runtime.NumGoroutine() - goroutines {
		<-tick.C
	}
	grown := inUse() - before
	t.Logf("%d calls begun: %d ended, %d reset; %d goroutines more, %d MiB more in use", connections*each, refused.Load(), reset.Load(), held, grown>>20)
	if held > 5_000 {
		t.Errorf("%d goroutines wait for requests", held)
	}
	if grown > 160<<20 { // 15 KiB for each of four thousand; twice that with the race detector
		t.Errorf("%d MiB are held", grown>>20)
	}
	for _, c := range clients {
		_ = c.conn.Close()
	}
	readers.Wait()
}

// TestClientThatNeverReads asks for large answers that are at hand, a thousand
// times, and takes none. What it has not read is bounded, and others get theirs.
func TestClientThatNeverReads(t *testing.T) {
	const calls = 1000
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, Organizations: 1, NetworksPerOrganization: 2000, DevicesPerNetwork: 1}})
	m := h.contract.Operation("getOrganizationNetworks")
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	in.Set(in.Descriptor().Fields().ByName("organization_id"), protoreflect.ValueOfString(h.sandbox.OrganizationID(0)))
	in.Set(in.Descriptor().Fields().ByName("per_page"), protoreflect.ValueOfInt64(1000))
	// One that reads gets all of them, from the same answer.
	var size int
	each(50, 25, func(int) {
		out := dynamicpb.NewMessage(m.Descriptor.Output())
		if err := h.conn.Invoke(metadata.AppendToOutgoingContext(t.Context(), "meraki-max-age", "3600"), m.Name, in, out); err != nil {
			t.Error(err)
		}
	})
	out := dynamicpb.NewMessage(m.Descriptor.Output())
	if err := h.conn.Invoke(metadata.AppendToOutgoingContext(t.Context(), "meraki-max-age", "3600"), m.Name, in, out); err != nil {
		t.Fatal(err)
	}
	size = proto.Size(out)
	before := inUse()
	stop := unharmed(t, h)
	raw := newRawClient(t, h.address)
	end := make(chan struct{})
	go raw.drainFrames(func(f http2.Frame) { // frames, but it gives no room for more
		if ping, ok := f.(*http2.PingFrame); ok && ping.IsAck() {
			close(end)
		}
	})
	for range calls {
		stream, err := raw.begin(m.Name, "meraki-max-age", "3600")
		if err == nil {
			err = raw.send(stream, in)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := raw.framer.WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	<-end
	stop()
	grown := inUse() - before
	t.Logf("%d answers of %d KiB were asked for and not read: %d MiB more in use", calls, size>>10, grown>>20)
	if grown > 100<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
	_ = raw.conn.Close()
}
