//go:build soak

package service_test

import (
	"context"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

var (
	soakTime = flag.Duration("soak", time.Minute, "how long the soak runs")
	soakSeed = flag.Uint64("seed", 0, "the soak's seed; 0 for one of the time")
)

// TestSoak makes random calls of random operations, unary and streaming, with
// deadlines from 5 ms, callers that leave at any moment, and a Dashboard of which every
// twentieth answer goes wrong. Nothing may grow, and nothing may end as a failure of
// the broker itself: neither as INTERNAL for a caller nor with an ERROR line for a
// caller who has left.
func TestSoak(t *testing.T) {
	const organizations, workers = 40, 64
	seed := *soakSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	errors := new(errorLines)
	h := build(t, plan{broker: fast, server: func(c *service.Config) { c.Log = slog.New(errors) }, sandbox: sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: organizations, NetworksPerOrganization: 5, DevicesPerNetwork: 3, Seed: seed,
		Faults: mix(0.05, sandbox.EveryFault()),
	}})
	s := &soak{harness: h, methods: h.contract.Methods(), codes: make(map[codes.Code]int)}
	run := func(d time.Duration) {
		end := time.Now().Add(d)
		each(workers, workers, func(i int) {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for time.Now().Before(end) {
				s.call(t, random)
			}
		})
	}
	run(*soakTime / 3) // until all pools and caches have what they keep
	before := s.settled(t)
	run(*soakTime * 2 / 3)
	after := s.settled(t)
	t.Logf("%d calls: %v", s.calls.Load(), s.codes)
	t.Logf("before %+v, after %+v", before, after)
	if after.goroutines > before.goroutines+before.goroutines/5+20 {
		t.Errorf("goroutines grow: %d, then %d", before.goroutines, after.goroutines)
	}
	if after.descriptors > before.descriptors+before.descriptors/5+20 {
		t.Errorf("descriptors grow: %d, then %d", before.descriptors, after.descriptors)
	}
	if after.heap > before.heap+before.heap/3+32<<20 {
		t.Errorf("memory grows: %d MiB, then %d MiB", before.heap>>20, after.heap>>20)
	}
	if held := h.server.RequestBytes(); held != 0 {
		t.Errorf("%d bytes of requests are held at the end", held)
	}
	if n, first := errors.sum(); n > 0 {
		t.Errorf("%d ERROR lines; the first: %s", n, first)
	}
}

// A soak is the calls of one.
type soak struct {
	*harness
	methods []*contract.Method
	calls   atomic.Int64

	mu    sync.Mutex
	codes map[codes.Code]int
}

// call makes one random call.
func (s *soak) call(t *testing.T, random *rand.Rand) {
	m := s.methods[random.IntN(len(s.methods))]
	in := s.fill(m, random)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond<<random.IntN(10)) // up to 2.5 s
	defer cancel()
	if random.IntN(4) == 0 {
		time.AfterFunc(time.Duration(random.IntN(50))*time.Millisecond, cancel)
	}
	if random.IntN(4) == 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, "meraki-max-age", "60")
	}
	var trailer metadata.MD
	err := s.make(ctx, m, in, &trailer, random)
	code := status.Code(err)
	s.calls.Add(1)
	s.mu.Lock()
	s.codes[code]++
	s.mu.Unlock()
	if reason := trailer.Get("meraki-reason"); code == codes.Internal && (len(reason) == 0 || reason[0] == "INTERNAL") {
		t.Errorf("%s: %v", m.Name, err)
	}
}

// make makes the call; of a stream it reads a few pages.
func (s *soak) make(ctx context.Context, m *contract.Method, in *dynamicpb.Message, trailer *metadata.MD, random *rand.Rand) error {
	if !m.Streaming {
		return s.conn.Invoke(ctx, m.Name, in, dynamicpb.NewMessage(m.Descriptor.Output()), grpc.Trailer(trailer))
	}
	stream, err := s.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err != nil {
		return err
	}
	_, _ = stream.SendMsg(in), stream.CloseSend()
	for range 1 + random.IntN(3) {
		if err = stream.RecvMsg(dynamicpb.NewMessage(m.Descriptor.Output())); err != nil {
			*trailer = stream.Trailer()
			if err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
	return nil // it leaves in the middle: its context ends
}

// fill gives a request the ids in its path, most of them of something that exists.
func (s *soak) fill(m *contract.Method, random *rand.Rand) *dynamicpb.Message {
	organization, network := random.IntN(40), random.IntN(5)
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	fields := m.Descriptor.Input().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if f.IsList() || f.IsMap() || f.Kind() != protoreflect.StringKind {
			continue
		}
		switch f.Name() {
		case "organization_id":
			in.Set(f, protoreflect.ValueOfString(s.sandbox.OrganizationID(organization)))
		case "network_id":
			in.Set(f, protoreflect.ValueOfString(s.sandbox.NetworkID(organization, network)))
		case "name":
			in.Set(f, protoreflect.ValueOfString("soak"))
		default:
			if len(f.Name()) > 2 && (f.Name()[len(f.Name())-2:] == "id" || f.Name() == "serial") {
				in.Set(f, protoreflect.ValueOfString("1"))
			}
		}
	}
	return in
}

// A state is what must not grow.
type state struct {
	goroutines, descriptors int
	heap                    int64
}

// settled gives the state when what was under way has ended, which takes as long as
// the Dashboard's slowest answer.
func (s *soak) settled(t *testing.T) state {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	least, same := runtime.NumGoroutine(), 0
	for range 100 {
		<-tick.C
		if n := runtime.NumGoroutine(); n < least {
			least, same = n, 0
		} else if same++; same == 10 {
			break
		}
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return state{goroutines: runtime.NumGoroutine(), descriptors: len(files), heap: inUse()}
}

// errorLines counts the lines of a log that say ERROR.
type errorLines struct {
	mu    sync.Mutex
	n     int
	first string
}

func (e *errorLines) sum() (int, string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n, e.first
}

func (e *errorLines) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }
func (e *errorLines) WithAttrs([]slog.Attr) slog.Handler           { return e }
func (e *errorLines) WithGroup(string) slog.Handler                { return e }

func (e *errorLines) Handle(_ context.Context, r slog.Record) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.n++; e.n == 1 {
		e.first = r.Message
		r.Attrs(func(a slog.Attr) bool { e.first += " " + a.String(); return true })
	}
	return nil
}
