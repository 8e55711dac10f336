//go:build openapi

package service_test

import (
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/contract"
)

// The sample values, the same on the side of the protos and of the document.
const (
	sampleText    = "a b/é&=%?#"
	samplePath    = "a:b@c,(d)=1" // what may stand in a path: see contract/canonical
	sampleTime    = "2026-01-02T03:04:05Z"
	sampleKey     = "key"
	sampleInteger = 5
	sampleNumber  = 1.5
)

// owners are the ids that a path has to name for the call to get as far as the
// operation itself.
type owners struct{ organization, network, serial string }

// A filler sets every field of a request.
type filler struct {
	ids owners
	// paging sets startingAfter and endingBefore too.
	paging bool
}

// pathText is the value of a path parameter.
func (f filler) pathText(name string) string {
	switch name {
	case "organizationId":
		return f.ids.organization
	case "networkId":
		return f.ids.network
	case "serial":
		return f.ids.serial
	}
	return samplePath
}

func pagingToken(name string) bool { return name == "startingAfter" || name == "endingBefore" }

func (f filler) message(m *dynamicpb.Message, rpc *contract.Method, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		d := fields.Get(i)
		if d.Name() == "additional_properties" {
			continue // holds what the document does not have
		}
		if depth == 0 && (d.Name() == "null_fields" || d.Name() == "empty_fields" || !f.paging && pagingToken(d.JSONName())) {
			continue
		}
		name := d.JSONName()
		inPath := depth == 0 && strings.Contains(rpc.Operation.GetPath(), "{"+name+"}")
		switch {
		case inPath:
			m.Set(d, protoreflect.ValueOfString(f.pathText(name)))
		case d.IsMap():
			m.Mutable(d).Map().Set(protoreflect.ValueOfString(sampleKey).MapKey(), f.value(d.MapValue(), rpc, depth))
		case d.IsList():
			list := m.Mutable(d).List()
			for range 2 {
				list.Append(f.value(d, rpc, depth))
			}
		default:
			m.Set(d, f.value(d, rpc, depth))
		}
	}
}

func (f filler) value(d protoreflect.FieldDescriptor, rpc *contract.Method, depth int) protoreflect.Value {
	switch d.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(sampleText)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(sampleInteger)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(sampleNumber)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	}
	m := dynamicpb.NewMessage(d.Message())
	field := func(name string) protoreflect.FieldDescriptor {
		return d.Message().Fields().ByName(protoreflect.Name(name))
	}
	switch d.Message().FullName() {
	case "google.protobuf.Timestamp":
		at, _ := time.Parse(time.RFC3339, sampleTime)
		m.Set(field("seconds"), protoreflect.ValueOfInt64(at.Unix()))
	case "google.protobuf.Value":
		m.Set(field("string_value"), protoreflect.ValueOfString(sampleText))
	case "google.protobuf.Struct":
		value := dynamicpb.NewMessage(field("fields").MapValue().Message())
		value.Set(value.Descriptor().Fields().ByName("string_value"), protoreflect.ValueOfString(sampleText))
		m.Mutable(field("fields")).Map().Set(protoreflect.ValueOfString(sampleKey).MapKey(), protoreflect.ValueOfMessage(value))
	default:
		f.message(m, rpc, depth+1)
	}
	return protoreflect.ValueOfMessage(m)
}
