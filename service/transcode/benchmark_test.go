//go:build openapi

package transcode

import (
	"encoding/json"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	// The generated types that protojson is measured with.
	_ "github.com/merakibroker/merakibroker/gen/meraki/administered/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/appliance/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/camera/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/campus_gateway/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/cellular_gateway/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/devices/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/insight/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/licensing/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/networks/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/organizations/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/sensor/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/sm/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/spaces/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/switching/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/wireless/v1"
	_ "github.com/merakibroker/merakibroker/gen/meraki/wireless_controller/v1"
)

// benchmarkSize is the length that an example with rows is repeated to.
const benchmarkSize = 500_000

// A load is one collection with many rows: for us as the Dashboard sends it, for
// protojson with a name for the list where there is none.
type load struct {
	id           string
	plan         *Plan
	document     []byte
	forProtojson []byte
	message      protoreflect.MessageType
}

// unknownProperty is what the contract does not know in each row of a document with
// drift.
const unknownProperty = `"addedByTheVendor":"since yesterday"`

// collections makes a load of every example that is a list of objects, as it is or
// with one unknown property in each.
func collections(b *testing.B, drift bool) []*load {
	all, c, compiler := vendor(b)
	var loads []*load
	for _, e := range all.responses {
		p, m := planOf(b, c, compiler, e.operation)
		var rows []json.RawMessage
		object := make(map[string]json.RawMessage)
		switch {
		case p.root != nil && p.root.shape == list:
			if json.Unmarshal(e.document, &rows) != nil {
				continue
			}
		case p.root == nil && p.rows != nil:
			if json.Unmarshal(e.document, &object) != nil || json.Unmarshal(object["items"], &rows) != nil {
				continue
			}
		}
		if len(rows) == 0 || p.rows.kind != kindMessage || overridden[e.operation] {
			continue
		}
		for i := range rows {
			rows[i], _ = json.Marshal(rows[i]) // without the spaces, as answers are
			if drift && len(rows[i]) > 2 {
				rows[i] = append(rows[i][:len(rows[i])-1:len(rows[i])-1], ","+unknownProperty+"}"...)
			}
		}
		size := 0
		for i := 0; size < benchmarkSize; i++ {
			rows = append(rows, rows[i])
			size += len(rows[i]) + 1
		}
		l := &load{id: e.operation, plan: p}
		if p.root != nil {
			l.document, _ = json.Marshal(rows)
			object[p.root.name] = l.document
		} else {
			object["items"], _ = json.Marshal(rows)
			l.document, _ = json.Marshal(object)
		}
		l.forProtojson, _ = json.Marshal(object)
		var err error
		if l.message, err = protoregistry.GlobalTypes.FindMessageByName(m.Descriptor.Output().FullName()); err != nil {
			b.Fatal(err)
		}
		loads = append(loads, l)
	}
	return loads
}

func (l *load) protojson() error {
	message := l.message.New().Interface()
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(l.forProtojson, message); err != nil {
		return err
	}
	_, err := proto.Marshal(message)
	return err
}

// BenchmarkResponse reads every collection of the vendor's examples.
func BenchmarkResponse(b *testing.B) { benchmarkResponse(b, collections(b, false)) }

// BenchmarkResponseWithDrift reads them with one unknown property in each row, which
// is kept and reported here, and skipped by protojson.
func BenchmarkResponseWithDrift(b *testing.B) { benchmarkResponse(b, collections(b, true)) }

func benchmarkResponse(b *testing.B, loads []*load) {
	drifts := 0
	report := func(string, Drift) { drifts++ }
	total := int64(0)
	for _, l := range loads {
		total += int64(len(l.document))
	}
	b.Run("wire", func(b *testing.B) {
		buffer := make([]byte, 0, 4*benchmarkSize)
		b.SetBytes(total)
		b.ReportAllocs()
		for b.Loop() {
			for _, l := range loads {
				if _, err := l.plan.Response(buffer, l.document, nil, report); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.SetBytes(total)
		b.ReportAllocs()
		for b.Loop() {
			for _, l := range loads {
				_ = l.protojson() // a few examples it cannot read
			}
		}
	})
	b.Run("ratio", func(b *testing.B) {
		buffer := make([]byte, 0, 4*benchmarkSize)
		var mean, least, worst float64
		var refused []string
		for b.Loop() {
			sum, count := 0.0, 0
			least, refused = 1e9, nil
			for _, l := range loads {
				if l.protojson() != nil {
					refused = append(refused, l.id)
					continue
				}
				ours := quickest(9, func() { _, _ = l.plan.Response(buffer, l.document, nil, report) })
				theirs := quickest(3, func() { _ = l.protojson() })
				ratio := float64(theirs) / float64(ours)
				sum, count = sum+ratio, count+1
				if ratio < least {
					least, worst = ratio, float64(len(l.document))/ours.Seconds()/1e6
					b.Logf("%s: %.1fx, %.0f MB/s", l.id, ratio, worst)
				}
			}
			mean = sum / float64(count)
		}
		b.ReportMetric(mean, "times-faster")
		b.ReportMetric(least, "times-faster-at-least")
		b.Logf("%d collections; protojson cannot read %d: %v", len(loads), len(refused), refused)
	})
}

func quickest(n int, f func()) time.Duration {
	best := time.Hour
	for range n {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// A call is one request message.
type call struct {
	op      *apiv1.Operation
	plan    *Plan
	wire    []byte
	message protoreflect.MessageType
}

// plainTexts are what identifiers and names look like.
var plainTexts = []string{"N_24329156", "Q234-ABCD-5678", "L_646829496481105433", "00:11:22:33:44:55", "Main-Office", "enabled", "10.0.0.1"}

// calls makes a request for every operation: its example where the document has
// one, else every field filled.
func calls(b *testing.B) []*call {
	all, c, compiler := vendor(b)
	wires := make(map[string][]byte)
	for _, e := range all.requests {
		p, m := planOf(b, c, compiler, e.operation)
		wires[e.operation], _ = requestWire(b, p, m.Descriptor.Input(), e.document, false)
	}
	fill := filler{rand.New(rand.NewPCG(9, 10)), plainTexts, false}
	var calls []*call
	for _, m := range c.Methods() {
		if m.Streaming {
			continue
		}
		p, _ := planOf(b, c, compiler, m.Operation.GetId())
		message, err := protoregistry.GlobalTypes.FindMessageByName(m.Descriptor.Input().FullName())
		if err != nil {
			b.Fatal(err)
		}
		wire := wires[m.Operation.GetId()]
		if wire == nil {
			filled := message.New()
			fill.message(filled, 0)
			if wire, err = (proto.MarshalOptions{Deterministic: true}).Marshal(filled.Interface()); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := p.Request(wire); err != nil {
			b.Fatalf("%s: what is refused is no measure: %v", m.Operation.GetId(), err)
		}
		calls = append(calls, &call{m.Operation, p, wire, message})
	}
	return calls
}

// protojson writes the JSON of the whole message. It builds no URL, so that
// what is compared is less than what we do.
func (c *call) protojson(b *testing.B) {
	message := c.message.New().Interface()
	if err := proto.Unmarshal(c.wire, message); err != nil {
		b.Fatal(err)
	}
	if _, err := protojson.Marshal(message); err != nil {
		b.Fatal(err)
	}
}

// reflected writes what we write with what comes with Go: the path by replacing
// names, the query through url.Values, the body by protojson.
func (c *call) reflected(b *testing.B) {
	message := c.message.New()
	if err := proto.Unmarshal(c.wire, message.Interface()); err != nil {
		b.Fatal(err)
	}
	path, query := c.op.GetPath(), make(url.Values)
	var bound []protoreflect.FieldDescriptor
	message.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		place := c.plan.bindings[c.plan.request.byNumber(uint64(fd.Number()), 0)]
		switch place.location {
		case inPath:
			path = strings.Replace(path, "{"+fd.JSONName()+"}", url.PathEscape(v.String()), 1)
		case inQuery:
			if !fd.IsList() {
				query.Add(fd.JSONName(), v.String())
				break
			}
			for i := range v.List().Len() {
				query.Add(fd.JSONName()+"[]", v.List().Get(i).String())
			}
		default:
			return true
		}
		bound = append(bound, fd)
		return true
	})
	if _, err := url.Parse(path + "?" + query.Encode()); err != nil {
		b.Fatal(err)
	}
	if !c.plan.body {
		return
	}
	for _, fd := range bound {
		message.Clear(fd)
	}
	if _, err := protojson.Marshal(message.Interface()); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRequest writes path, query and body of a request of every operation.
func BenchmarkRequest(b *testing.B) {
	requests := calls(b)
	b.Run("wire", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, c := range requests {
				if _, err := c.plan.Request(c.wire); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(requests)), "ns/request")
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, c := range requests {
				c.protojson(b)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(requests)), "ns/request")
	})
	b.Run("ratio-protojson", func(b *testing.B) { compareCalls(b, requests, (*call).protojson) })
	b.Run("ratio-reflected", func(b *testing.B) { compareCalls(b, requests, (*call).reflected) })
}

// compareCalls reports how many times quicker Request is than another way, as the
// mean over operations.
func compareCalls(b *testing.B, requests []*call, other func(*call, *testing.B)) {
	const times = 20
	var sum, least float64
	for b.Loop() {
		sum, least = 0, 1e9
		for _, c := range requests {
			ours := quickest(200, func() {
				for range times {
					_, _ = c.plan.Request(c.wire)
				}
			})
			theirs := quickest(100, func() {
				for range times {
					other(c, b)
				}
			})
			ratio := float64(theirs) / float64(ours)
			sum += ratio
			if ratio < least {
				least = ratio
				b.Logf("%s: %.1fx, %v against %v, %d bytes", c.op.GetId(), ratio, ours/times, theirs/times, len(c.wire))
			}
		}
	}
	b.ReportMetric(sum/float64(len(requests)), "times-faster")
	b.ReportMetric(least, "times-faster-at-least")
}
