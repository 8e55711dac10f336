package lock

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// Broken lists what a later contract takes from an earlier one: a message, field
// or RPC that is gone, a number, name or type that is another, and what `buf
// breaking` cannot see, because it stands in our own options: where on the wire a
// field goes, which operation an RPC is, and which field takes the whole of a
// document. The verb and the path of an operation may change: the Dashboard has
// moved it, and the RPC follows.
func Broken(before, after *protoregistry.Files) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	before.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if p := string(f.Package()); !strings.HasPrefix(p, "meraki.") || p == "meraki.api.v1" || p == "meraki.broker.v1" {
			return true
		}
		for i := range f.Messages().Len() {
			brokenMessage(f.Messages().Get(i), after, say)
		}
		for i := range f.Services().Len() {
			brokenService(f.Services().Get(i), after, say)
		}
		return true
	})
	slices.Sort(out)
	return out
}

func brokenService(s protoreflect.ServiceDescriptor, after *protoregistry.Files, say func(string, ...any)) {
	for i := range s.Methods().Len() {
		m := s.Methods().Get(i)
		d, err := after.FindDescriptorByName(m.FullName())
		if err != nil {
			say("RPC %s is gone", m.FullName())
			continue
		}
		n := d.(protoreflect.MethodDescriptor)
		if m.Input().FullName() != n.Input().FullName() || m.Output().FullName() != n.Output().FullName() ||
			m.IsStreamingServer() != n.IsStreamingServer() {
			say("RPC %s has other types", m.FullName())
		}
		before := proto.GetExtension(m.Options(), apiv1.E_Operation).(*apiv1.Operation)
		later := proto.GetExtension(n.Options(), apiv1.E_Operation).(*apiv1.Operation)
		if before.GetId() != later.GetId() {
			say("RPC %s was %s and is %s", m.FullName(), before.GetId(), later.GetId())
		}
		brokenRoot("response_field", before.GetResponseField(), later.GetResponseField(), n, n.Output(), say)
		brokenRoot("request_field", before.GetRequestField(), later.GetRequestField(), n, n.Input(), say)
	}
}

// brokenRoot: a list of rows, or an object of any form, goes on to take the whole
// of a document, unless the field says that it no longer does, or the document has
// become an object with those rows. One value that has become an object has other
// fields now, and the message may still have it for another operation.
func brokenRoot(what, before, later string, m protoreflect.MethodDescriptor, in protoreflect.MessageDescriptor, say func(string, ...any)) {
	f := in.Fields().ByName(protoreflect.Name(before))
	if f != nil && f.IsList() && later == "" && wire(f) == "items" && binding(f).GetLocation() != apiv1.Location_LOCATION_NONE {
		return
	}
	if before != "" && before != later && (f == nil || !deprecated(f) && (f.IsList() || typeOf(f).Kind == model.Struct && !f.IsMap() && later == "")) {
		say("the %s of RPC %s was %q and is %q", what, m.FullName(), before, later)
	}
}

func brokenMessage(m protoreflect.MessageDescriptor, after *protoregistry.Files, say func(string, ...any)) {
	if m.IsMapEntry() {
		return
	}
	d, err := after.FindDescriptorByName(m.FullName())
	if err != nil {
		say("message %s is gone", m.FullName())
		return
	}
	n := d.(protoreflect.MessageDescriptor)
	if m.ParentFile().Path() != n.ParentFile().Path() {
		say("message %s moved to %s", m.FullName(), n.ParentFile().Path())
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		g := n.Fields().ByNumber(f.Number())
		if g == nil {
			say("field %s is gone", f.FullName())
			continue
		}
		if was, is := shape(f), shape(g); was != is {
			say("field %s was %s and is %s", f.FullName(), was, is)
		}
		if was, is := wire(f), wire(g); was != is && binding(g).GetLocation() != apiv1.Location_LOCATION_PATH &&
			f.Number() != model.ItemsNumber { // rows, wherever the document has them now
			say("field %s was %q on the wire and is %q", f.FullName(), was, is)
		}
		// A field that has been replaced goes nowhere any more, and says so.
		if was, is := binding(f).GetLocation(), binding(g).GetLocation(); was != is && !moved(was, is) && !(retired(f) || retired(g)) {
			say("field %s went to %v and goes to %v", f.FullName(), was, is)
		}
	}
	for i := range m.ReservedRanges().Len() {
		r := m.ReservedRanges().Get(i)
		for k := r[0]; k < r[1]; k++ {
			if !n.ReservedRanges().Has(k) {
				say("number %d of %s is no longer reserved", k, m.FullName())
			}
		}
	}
	for i := range m.ReservedNames().Len() {
		if name := m.ReservedNames().Get(i); !n.ReservedNames().Has(name) {
			say("name %s of %s is no longer reserved", name, m.FullName())
		}
	}
	for i := range m.Messages().Len() {
		brokenMessage(m.Messages().Get(i), after, say)
	}
}

// moved: a parameter that the path, the query and the body have handed to each
// other, as the Dashboard has.
func moved(was, is apiv1.Location) bool {
	return was != apiv1.Location_LOCATION_NONE && is != apiv1.Location_LOCATION_NONE
}

// shape is everything about a field that may not change.
func shape(f protoreflect.FieldDescriptor) string {
	typ := f.Kind().String()
	if f.Message() != nil {
		typ = string(f.Message().FullName())
	}
	if f.IsMap() {
		v := f.MapValue()
		typ = "map of " + v.Kind().String()
		if v.Message() != nil {
			typ = "map of " + string(v.Message().FullName())
		}
	}
	return fmt.Sprintf("%s %s %s = %d, JSON %s, optional %v", f.Cardinality(), typ, f.Name(), f.Number(), f.JSONName(),
		f.HasOptionalKeyword())
}
