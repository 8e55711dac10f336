package transcode

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
)

// served gives every unary RPC of the contract with its plan; a streaming twin
// has the same messages.
func served(t testing.TB) []*corner {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	compiler := NewCompiler()
	var all []*corner
	for _, m := range c.Methods() {
		if m.Streaming {
			continue
		}
		p, err := compiler.Compile(m.Descriptor, m.Operation)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &corner{p, m.Descriptor, m.Operation})
	}
	return all
}

// TestContract compiles the plan of every RPC, and bounds what stays of it.
func TestContract(t *testing.T) {
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	compiler := NewCompiler()
	plans := make([]*Plan, 0, len(c.Methods()))
	for _, m := range c.Methods() {
		p, err := compiler.Compile(m.Descriptor, m.Operation)
		if err != nil {
			t.Error(err)
			continue
		}
		plans = append(plans, p)
	}
	took := time.Since(start)
	runtime.GC()
	runtime.ReadMemStats(&after)
	fields, most := 0, 0
	for _, m := range compiler.messages {
		fields += len(m.fields)
		most = max(most, len(m.fields))
	}
	grown := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / 1024
	t.Logf("%d plans, %d message types with %d fields (at most %d in one) in %v; the heap grew by %d kB", len(plans),
		len(compiler.messages), fields, most, took, grown)
	if grown > 16<<10 {
		t.Errorf("%d kB for all plans is too much", grown)
	}
	runtime.KeepAlive(plans)
}

// A filler makes messages of any type with something in every field.
type filler struct {
	*rand.Rand
	texts []string
	// additional: additional_properties are filled, too.
	additional bool
}

// oddTexts need every kind of escape.
var oddTexts = []string{"a", "", "N_123 4", `q"\` + "\n\x00", "é😀", "x/y?z#%&=+[]", "12", "true", "2020-01-01T00:00:00Z"}

func (r filler) message(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		switch {
		case refIs(fd, "meraki.api.v1.PageInfo"), depth > 8:
		case fd.Name() == "null_fields", fd.Name() == "empty_fields", fd.Name() == "additional_properties" && !r.additional:
		case fd.IsList():
			list := m.Mutable(fd).List()
			for range 1 + r.IntN(3) {
				list.Append(r.value(fd, list.NewElement, depth))
			}
		case fd.IsMap():
			entries := m.Mutable(fd).Map()
			for range 1 + r.IntN(3) {
				entries.Set(protoreflect.ValueOfString(r.text()).MapKey(), r.value(fd.MapValue(), entries.NewValue, depth))
			}
		default:
			m.Set(fd, r.value(fd, func() protoreflect.Value { return m.NewField(fd) }, depth))
		}
	}
}

func (r filler) text() string {
	return r.texts[r.IntN(len(r.texts))] + strconv.Itoa(r.IntN(100))
}

func (r filler) value(fd protoreflect.FieldDescriptor, empty func() protoreflect.Value, depth int) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(r.text())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64()) >> r.IntN(64))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.double())
	}
	v := empty()
	m := v.Message()
	fields := m.Descriptor().Fields()
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		m.Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(minSeconds+r.Int64N(maxSeconds-minSeconds)))
		m.Set(fields.ByName("nanos"), protoreflect.ValueOfInt32(int32(r.IntN(1e9))))
	case "google.protobuf.Value":
		one := fields.Get(1 + r.IntN(fields.Len()-1)) // not null
		if depth > 8 {
			one = fields.ByName("string_value")
		}
		m.Set(one, r.value(one, func() protoreflect.Value { return m.NewField(one) }, depth+2))
	default:
		r.message(m, depth+1)
	}
	return v
}

func (r filler) double() float64 {
	for {
		if f := math.Float64frombits(r.Uint64()); r.IntN(2) == 0 && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		if r.IntN(4) == 0 {
			return float64(r.IntN(2000)-1000) / 8
		}
	}
}

// TestContractResponses: of every RPC a full response goes from wire to JSON
// and comes back as the same message, with no drift.
func TestContractResponses(t *testing.T) {
	t.Parallel()
	r := filler{rand.New(rand.NewPCG(5, 6)), oddTexts, false}
	for _, c := range served(t) {
		m := dynamicpb.NewMessage(c.method.Output())
		r.message(m, 0)
		if c.plan.root != nil { // the document is that one field
			for i := range m.Descriptor().Fields().Len() {
				if fd := m.Descriptor().Fields().Get(i); string(fd.Name()) != c.plan.root.name {
					m.Clear(fd)
				}
			}
		}
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := c.plan.Document(wire)
		if err != nil {
			t.Fatal(err)
		}
		back, err := c.plan.Response(nil, doc, nil, func(path string, d Drift) { t.Errorf("%s: %s %v", c.op.GetId(), path, d) })
		if err != nil {
			t.Fatal(err)
		}
		again := dynamicpb.NewMessage(c.method.Output())
		if err := proto.Unmarshal(back, again); err != nil {
			t.Fatal(err)
		}
		if c.plan.both { // other fields say parts of it
			again.Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
				if string(fd.Name()) != c.plan.root.name {
					again.Clear(fd)
				}
				return true
			})
		}
		if !proto.Equal(m, again) {
			t.Errorf("%s:\n%s\n%v\n%v", c.op.GetId(), doc, m, again)
		}
	}
}

// TestContractRequests: of every RPC a full request is written as the reference
// writes it.
func TestContractRequests(t *testing.T) {
	t.Parallel()
	r := filler{rand.New(rand.NewPCG(7, 8)), oddTexts, true}
	for _, c := range served(t) {
		m := dynamicpb.NewMessage(c.method.Input())
		r.message(m, 0)
		if fd := refAdditional(m.Descriptor()); fd != nil && c.plan.whole >= 0 {
			m.Clear(fd) // the body is one field
		}
		for i := range m.Descriptor().Fields().Len() {
			fd := m.Descriptor().Fields().Get(i)
			if strings.Contains(c.op.GetPath(), "{"+fd.JSONName()+"}") && fd.Kind() == protoreflect.StringKind {
				m.Set(fd, protoreflect.ValueOfString("N_1:a=@"+strconv.Itoa(i))) // every kind of escape that a path has
			}
		}
		wire, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.plan.Request(wire); err != nil {
			t.Errorf("%v", err)
		}
		compareRequest(t, c, wire)
	}
}

// TestDriftNumbers: the numbers are those that the broker's own service reports.
func TestDriftNumbers(t *testing.T) {
	t.Parallel()
	for d, want := range map[Drift]brokerv1.DriftKind{
		UnknownField: brokerv1.DriftKind_DRIFT_KIND_UNKNOWN_FIELD,
		Converted:    brokerv1.DriftKind_DRIFT_KIND_CONVERTED,
		LeftOut:      brokerv1.DriftKind_DRIFT_KIND_LEFT_OUT,
	} {
		if int32(d) != int32(want) || d.String() == "none" {
			t.Errorf("%v is %d, the service reports %d", d, d, want)
		}
	}
	if s := Drift(0).String(); s != "none" {
		t.Errorf("no drift is %q", s)
	}
}
