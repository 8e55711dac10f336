package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// broken lists what a later contract takes from an earlier one: the rules of
// `buf breaking` that the project has chosen (wire, JSON, nothing deleted), held
// here on descriptors so that every golden step is judged.
func broken(before, after *protoregistry.Files) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	before.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !ours(f) {
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

// unservable lists the RPCs for which the server could make no plan, and the
// operations that the contract could not tell apart.
func unservable(files *protoregistry.Files) []string {
	c, err := contract.New(setOf(files))
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, m := range c.Methods() {
		if _, err := transcode.Compile(m.Descriptor, m.Operation); err != nil {
			out = append(out, fmt.Sprintf("%s: %v", m.Name, err))
		}
	}
	return out
}

func setOf(files *protoregistry.Files) *descriptorpb.FileDescriptorSet {
	set := new(descriptorpb.FileDescriptorSet)
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
		return true
	})
	return set
}

// ours tells the sections' files from the options' and Google's.
func ours(f protoreflect.FileDescriptor) bool {
	p := string(f.Package())
	return strings.HasPrefix(p, "meraki.") && p != "meraki.api.v1" && p != "meraki.broker.v1"
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
			if !n.ReservedRanges().Has(f.Number()) || !n.ReservedNames().Has(f.Name()) {
				say("field %s is gone and not reserved", f.FullName())
			}
			continue
		}
		if was, is := shape(f), shape(g); was != is {
			say("field %s was %s and is %s", f.FullName(), was, is)
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
