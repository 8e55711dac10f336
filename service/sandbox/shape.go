package sandbox

import (
	"encoding/json"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A kind is what JSON a field takes.
type kind uint8

const (
	kindString kind = iota
	kindInt
	kindNumber
	kindBool
	kindTime
	kindObject  // a message of ours
	kindStruct  // a free-form object
	kindAny     // a value without a type
	kindAnyList // a list without a type
)

// A shape is a message as the JSON that it stands for, read from its descriptor
// once, when it is first needed.
type shape struct {
	fields []field
	byName map[string]int
	// list is set on the wrapper of a list inside of a list: the JSON array
	// stands where the message would.
	list *field
}

type field struct {
	name     string // on the wire
	key      []byte // "name":
	hash     uint64 // of the name, the same in every message
	value    func(uint64) string
	kind     kind
	repeated bool
	mapped   bool    // a map with string keys; the rest describes its values
	subject  subject // whom the object below speaks of
	special  special
	sub      *shape
}

// shapes keeps each message's shape. A message is compiled when first asked for.
type shapeSet struct {
	mu sync.Mutex
	of map[protoreflect.FullName]*shape
}

func (s *shapeSet) init() { s.of = make(map[protoreflect.FullName]*shape) }

func (s *shapeSet) get(m protoreflect.MessageDescriptor) *shape {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.compile(m)
}

func (s *shapeSet) compile(m protoreflect.MessageDescriptor) *shape {
	if sh := s.of[m.FullName()]; sh != nil {
		return sh
	}
	sh := &shape{byName: make(map[string]int)}
	s.of[m.FullName()] = sh // before the fields: a message may hold itself
	for i := range m.Fields().Len() {
		fd := m.Fields().Get(i)
		name, location := binding(fd)
		if location == apiv1.Location_LOCATION_NONE {
			continue
		}
		f := s.field(fd, name)
		if name == "[]" {
			sh.list = &f
			return sh
		}
		sh.byName[name] = len(sh.fields)
		sh.fields = append(sh.fields, f)
	}
	return sh
}

func (s *shapeSet) field(fd protoreflect.FieldDescriptor, name string) field {
	f := field{name: name, hash: hashString(name), special: specials[name], repeated: fd.IsList(), mapped: fd.IsMap()}
	f.key, _ = json.Marshal(name) // of a string: cannot fail
	f.key = append(f.key, ':')
	if f.mapped {
		fd = fd.MapValue()
	}
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Timestamp":
			f.kind = kindTime
		case "google.protobuf.Struct":
			f.kind = kindStruct
		case "google.protobuf.Value":
			f.kind = kindAny
		case "google.protobuf.ListValue":
			f.kind = kindAnyList
		default:
			f.kind, f.sub, f.subject = kindObject, s.compile(fd.Message()), subjectOf(name)
		}
	case protoreflect.BoolKind:
		f.kind = kindBool
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		f.kind = kindNumber
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.EnumKind:
		f.kind, f.value = kindString, valueOf(name)
	default:
		f.kind = kindInt
	}
	return f
}

// binding reads a field's name on the wire, and the location that it insists on.
func binding(fd protoreflect.FieldDescriptor) (string, apiv1.Location) {
	b, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
	if n := b.GetName(); n != "" {
		return n, b.GetLocation()
	}
	if fd.Message() != nil && fd.Message().FullName() == "meraki.api.v1.PageInfo" {
		return fd.JSONName(), apiv1.Location_LOCATION_NONE
	}
	return fd.JSONName(), b.GetLocation()
}

// find gives the field with that name on the wire; nil when there is none.
func (s *shape) find(name string) *field {
	if s == nil {
		return nil
	}
	if i, ok := s.byName[name]; ok {
		return &s.fields[i]
	}
	return nil
}

// hashString is FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

// mix spreads a number over 64 bits (the finisher of splitmix64).
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
