// Package document makes the JSON documents that the simulated Dashboard
// answers: from the descriptor of a response and a seed, so that the same
// request has the same answer for ever, with what was written laid over it.
//
//	shape.go    a message descriptor as the JSON that it stands for
//	builder.go  one made-up document
//	value.go    values that suit the name of their field
//	known.go    fields whose value the inventory knows
//	conform.go  what was written: read, merged, cut to what a shape can show
package document

import (
	"encoding/json"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A Kind is what JSON a field takes.
type Kind uint8

const (
	KindString Kind = iota
	KindInt
	KindNumber
	KindBool
	KindTime
	KindObject  // a message of ours
	KindStruct  // a free-form object
	KindAny     // a value without a type
	KindAnyList // a list without a type
)

// A Shape is a message as the JSON that it stands for, read from its descriptor
// once, when it is first needed.
type Shape struct {
	Fields []Field
	byName map[string]int
	// list is set on the wrapper of a list inside of a list: the JSON array
	// stands where the message would.
	list *Field
}

// A Field is a property of the JSON object.
type Field struct {
	Name     string // on the wire
	Key      []byte // "name":
	Hash     uint64 // of the name, the same in every message
	value    func(uint64) string
	Kind     Kind
	Repeated bool
	mapped   bool    // a map with string keys; the rest describes its values
	subject  Subject // whom the object below speaks of
	special  special
	Sub      *Shape
}

// Shapes keeps each message's shape. A message is compiled when first asked for.
type Shapes struct {
	mu sync.Mutex
	of map[protoreflect.FullName]*Shape
}

// NewShapes gives a set without shapes.
func NewShapes() *Shapes { return &Shapes{of: make(map[protoreflect.FullName]*Shape)} }

// Of gives the shape of a message.
func (s *Shapes) Of(m protoreflect.MessageDescriptor) *Shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compile(m)
}

// Fields that the contract adds to messages, and that are not on the wire, have
// these numbers: page_info, empty_fields, null_fields, additional_properties.
const (
	firstHelper = 2044
	lastHelper  = 2047
)

func (s *Shapes) compile(m protoreflect.MessageDescriptor) *Shape {
	if sh := s.of[m.FullName()]; sh != nil {
		return sh
	}
	sh := &Shape{byName: make(map[string]int)}
	s.of[m.FullName()] = sh // before the fields: a message may hold itself
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		name, location := Binding(fd)
		if location == apiv1.Location_LOCATION_NONE || fd.Number() >= firstHelper && fd.Number() <= lastHelper {
			continue
		}
		f := s.field(fd, name)
		if name == "[]" {
			sh.list = &f
			return sh
		}
		sh.byName[name] = len(sh.Fields)
		sh.Fields = append(sh.Fields, f)
	}
	return sh
}

func (s *Shapes) field(fd protoreflect.FieldDescriptor, name string) Field {
	f := Field{Name: name, Hash: Hash(name), special: specials[name], Repeated: fd.IsList(), mapped: fd.IsMap()}
	f.Key, _ = json.Marshal(name) // of a string: cannot fail
	f.Key = append(f.Key, ':')
	if f.mapped {
		fd = fd.MapValue()
	}
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Timestamp":
			f.Kind = KindTime
		case "google.protobuf.Struct":
			f.Kind = KindStruct
		case "google.protobuf.Value":
			f.Kind = KindAny
		case "google.protobuf.ListValue":
			f.Kind = KindAnyList
		default:
			f.Kind, f.Sub, f.subject = KindObject, s.compile(fd.Message()), subjectOf(name)
		}
	case protoreflect.BoolKind:
		f.Kind = KindBool
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		f.Kind = KindNumber
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.EnumKind:
		f.Kind, f.value = KindString, valueOf(name)
	default:
		f.Kind = KindInt
	}
	return f
}

// Binding reads a field's name on the wire, and its location where the option has one.
func Binding(fd protoreflect.FieldDescriptor) (string, apiv1.Location) {
	b, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
	if n := b.GetName(); n != "" {
		return n, b.GetLocation()
	}
	if fd.Message() != nil && fd.Message().FullName() == "meraki.api.v1.PageInfo" {
		return fd.JSONName(), apiv1.Location_LOCATION_NONE
	}
	return fd.JSONName(), b.GetLocation()
}

// Root is the field that takes the whole document of an answer, as the method
// option names it; nil when there is none.
func (s *Shapes) Root(m protoreflect.MessageDescriptor, name string) *Field {
	fd := m.Fields().ByName(protoreflect.Name(name))
	if fd == nil {
		return nil
	}
	bound, _ := Binding(fd)
	if f := s.Of(m).Find(bound); f != nil {
		return f
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.field(fd, bound)
	return &f
}

// Empty says whether the message has nothing to show.
func (s *Shape) Empty() bool { return len(s.Fields) == 0 && s.list == nil }

// Find gives the field with that name on the wire; nil when there is none.
func (s *Shape) Find(name string) *Field {
	if s == nil {
		return nil
	}
	if i, ok := s.byName[name]; ok {
		return &s.Fields[i]
	}
	return nil
}

// Hash is FNV-1a.
func Hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// Mix spreads a number over 64 bits (the finisher of splitmix64).
func Mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// Identifier is the property that identifies an object whose path ends in the
// named parameter; the documentation names the two alike, or nearly.
func (s *Shape) Identifier(param string) string {
	if s == nil {
		return ""
	}
	if param != "" {
		if f := s.Find(param); f != nil && !f.Repeated {
			return param
		}
	}
	if param == "portId" && s.Find("number") != nil {
		return "number"
	}
	for _, name := range [...]string{"id", "serial", "networkId"} {
		if f := s.Find(name); f != nil && !f.Repeated && (f.Kind == KindString || f.Kind == KindInt) {
			return name
		}
	}
	for i := range s.Fields {
		f := &s.Fields[i]
		if !f.Repeated && !f.mapped && f.Kind == KindString && f.special == plain && strings.HasSuffix(f.Name, "Id") {
			return f.Name
		}
	}
	if f := s.Find("number"); f != nil && f.Kind == KindInt {
		return "number"
	}
	return ""
}

// Has says whether rows of the shape can have the property.
func (s *Shape) Has(path string) bool {
	name, rest, more := strings.Cut(path, ".")
	f := s.Find(name)
	return f != nil && (!more || (f.Sub != nil && f.Sub.Has(rest)))
}
