package service_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcgzip "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// peak samples the memory in use while f runs, and gives by how much it grew.
func peak(f func()) (grown int64) {
	before := inUse()
	end, ended := make(chan struct{}), make(chan int64)
	go func() {
		most, tick := before, time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, int64(m.HeapInuse+m.StackInuse))
			case <-end:
				ended <- most
				return
			}
		}
	}()
	f()
	close(end)
	return <-ended - before
}

// TestCompressedRequestsAreBounded: forty calls over which 16 KB become 16 MB each.
// They are refused at the bound of one message, and few of them are being read at a
// time, so that the replica holds no more than a caller may.
func TestCompressedRequestsAreBounded(t *testing.T) {
	const calls, size = 40, 16 << 20
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}})
	in := &brokerv1.CallRequest{Method: http.MethodPost, Path: "/organizations", Body: []byte(`{"name":"` + strings.Repeat("x", size) + `"}`)}
	wire, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(wire); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	in, wire = nil, nil
	message := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(compressed.Len())), compressed.Bytes()...)
	stop := unharmed(t, h)
	grown := peak(func() {
		raw := newRawClient(t, h.address)
		for range calls {
			stream, err := raw.begin("/meraki.broker.v1.BrokerService/Call", "grpc-encoding", "gzip")
			for rest := message; len(rest) > 0 && err == nil; {
				part := rest[:min(len(rest), 16<<10)]
				rest = rest[len(part):]
				err = raw.framer.WriteData(stream, len(rest) == 0, part)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		left := calls
		raw.drainFrames(func(f http2.Frame) {
			if code, _ := statusOf(f); code != "" {
				if left--; code != "8" { // RESOURCE_EXHAUSTED
					t.Errorf("a call ended with %s", code)
				}
			}
			if left == 0 {
				_ = raw.conn.Close()
			}
		})
	})
	stop()
	t.Logf("%d calls of %d KiB that become %d MiB: %d MiB more in use at the most", calls, len(message)>>10, size>>20, grown>>20)
	if grown > 128<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
}

// TestRequestsInAQueueAreBounded: a caller whose large requests wait at the Dashboard
// holds what one account may, however many there are; its next ones wait to be read.
// Another caller notices nothing, and at the end nothing is held.
func TestRequestsInAQueueAreBounded(t *testing.T) {
	const calls, size = 40, 3 << 20
	for _, compressed := range []bool{false, true} {
		t.Run(fmt.Sprint("compressed ", compressed), func(t *testing.T) {
			var open sync.Once
			gate := make(chan struct{})
			release := func() { open.Do(func() { close(gate) }) }
			var posted, most atomic.Int64
			h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true}, upstream: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPost {
						most.Store(max(most.Load(), posted.Add(1)))
						<-gate
						defer posted.Add(-1)
					}
					next.ServeHTTP(w, r)
				})
			}})
			defer release()
			stop := unharmed(t, h)
			body := append([]byte(`{"name":"`), bytes.Repeat([]byte("x"), size)...)
			in := &brokerv1.CallRequest{Method: http.MethodPost, Path: "/organizations", Body: append(body, `"}`...)}
			var options []grpc.CallOption
			if compressed {
				options = append(options, grpc.UseCompressor(grpcgzip.Name))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
			defer cancel()
			ctx = metadata.AppendToOutgoingContext(ctx, "meraki-priority", "bulk")
			large := dialPlain(t, h.address)
			var group sync.WaitGroup
			for range calls {
				group.Go(func() {
					if _, err := brokerv1.NewBrokerServiceClient(large).Call(ctx, in, options...); status.Code(err) == codes.Internal {
						t.Errorf("a call failed: %v", err)
					}
				})
			}
			for posted.Load() < 12 && t.Context().Err() == nil {
				if _, err := h.call(t.Context(), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)}); err != nil {
					t.Fatal(err)
				}
			}
			stop()
			held := h.server.RequestBytes()
			cancel()
			release()
			group.Wait()
			t.Logf("%d bytes were held, %d requests at the Dashboard at a time", held, most.Load())
			if held < 12*size || held > 64<<20 {
				t.Errorf("%d MiB of requests are held by one caller, of which at least 12 are at the Dashboard", held>>20)
			}
			if n := most.Load(); n*size > 64<<20 {
				t.Errorf("%d requests of one caller were at the Dashboard at a time", n)
			}
			for h.server.RequestBytes() != 0 && t.Context().Err() == nil {
				runtime.Gosched() // the calls end when they notice that their caller has left
			}
		})
	}
}
