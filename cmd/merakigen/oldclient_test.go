package main

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// oldClient asks an RPC with every field that the older protos have, and reads
// an answer with every field.
func oldClient(t *testing.T, older, newer *contract.Method) {
	t.Helper()
	if newer == nil {
		t.Errorf("%s is gone", older.Name)
		return
	}
	was, err := transcode.Compile(older.Descriptor, older.Operation)
	if err != nil {
		t.Fatal(err)
	}
	is, err := transcode.Compile(newer.Descriptor, newer.Operation)
	if err != nil {
		t.Fatal(err)
	}
	request := dynamicpb.NewMessage(older.Descriptor.Input())
	fillAll(request, newer.Descriptor.Input(), "")
	wire, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := is.Request(wire); err != nil {
		t.Errorf("%s: the older client's request: %v", older.Name, err)
	}
	root := older.Operation.GetResponseField()
	oldAnswer(t, was, is, older, newer, root)
	if f := older.Descriptor.Output().Fields().ByName(protoreflect.Name(root)); f != nil && !f.IsList() && !f.IsMap() {
		oldAnswer(t, was, is, older, newer, "") // the fields beside it
	}
}

// oldAnswer reads an answer in the field that takes the whole of it, or else in all
// others.
func oldAnswer(t *testing.T, was, is *transcode.Plan, older, newer *contract.Method, whole string) {
	t.Helper()
	answer := dynamicpb.NewMessage(older.Descriptor.Output())
	fillAll(answer, newer.Descriptor.Output(), whole)
	wire, err := proto.Marshal(answer)
	if err != nil {
		t.Fatal(err)
	}
	if whole != older.Operation.GetResponseField() && len(wire) == 0 {
		return // it has none
	}
	document, err := was.Document(wire)
	if err != nil {
		t.Fatalf("%s: %v", older.Name, err)
	}
	back, err := is.Response(nil, document, nil, nil)
	if err != nil {
		t.Errorf("%s: %v", older.Name, err)
		return
	}
	read := dynamicpb.NewMessage(older.Descriptor.Output())
	if err := proto.Unmarshal(back, read); err != nil {
		t.Fatal(err)
	}
	read.SetUnknown(nil)
	if f := read.Descriptor().Fields().ByNumber(model.AdditionalPropertiesNumber); f != nil {
		if b, err := proto.Marshal(read.Get(f).Message().Interface()); err == nil && len(b) == 0 {
			read.Clear(f) // there and empty: the document has another form than the newest contract's
		}
	}
	root := read.Descriptor().Fields().ByName(protoreflect.Name(older.Operation.GetResponseField()))
	switch {
	case root == nil || root.IsList() || root.IsMap():
		clearReplaced(read, newer.Descriptor.Output())
	case whole == "":
		clearReplaced(read, newer.Descriptor.Output())
		read.Clear(root)
	default: // the whole document, which may have got fields beside it
		only := read.Get(root)
		read = dynamicpb.NewMessage(read.Descriptor())
		read.Set(root, only)
	}
	if !proto.Equal(answer, read) {
		t.Errorf("%s: of %s the older client reads\n%v, want\n%v", older.Name, document, read, answer)
	}
}

// clearReplaced clears what fillAll has not set: fields whose property has another
// type now have a value where that of today fits.
func clearReplaced(m protoreflect.Message, newer protoreflect.MessageDescriptor) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		g := newer.Fields().ByNumber(f.Number())
		switch {
		case nowhere(g):
			m.Clear(f)
		case f.Message() == nil, f.IsMap(), f.Message().ParentFile().Package() == "google.protobuf":
		case f.IsList():
			for i := range v.List().Len() {
				clearReplaced(v.List().Get(i).Message(), g.Message())
			}
		default:
			clearReplaced(v.Message(), g.Message())
		}
		return true
	})
}

// fillAll sets every field that goes on the wire, now and with the newer
// descriptor, whose fields may have been replaced. A root that is one value is
// the whole answer.
func fillAll(m protoreflect.Message, newer protoreflect.MessageDescriptor, root string) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		g := newer.Fields().ByNumber(f.Number())
		if one := fields.ByName(protoreflect.Name(root)); one != nil && !one.IsList() && f != one {
			continue
		}
		options, _ := g.Options().(*descriptorpb.FieldOptions)
		hidden := nowhere(g) && (string(f.Name()) != root || options.GetDeprecated() && f.IsList()) // replaced: the Dashboard has another type now
		if hidden || f.Number() > model.ItemsNumber && f.Number() <= model.AdditionalPropertiesNumber {
			continue
		}
		switch {
		case f.IsMap():
			m.Mutable(f).Map().Set(protoreflect.ValueOfString("k").MapKey(), filled(f.MapValue(), g.MapValue(), m.Mutable(f).Map().NewValue))
		case f.IsList():
			l := m.Mutable(f).List()
			l.Append(filled(f, g, l.NewElement))
		default:
			m.Set(f, filled(f, g, func() protoreflect.Value { return m.NewField(f) }))
		}
	}
}

func filled(f, newer protoreflect.FieldDescriptor, empty func() protoreflect.Value) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(2.5)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text")
	}
	var known proto.Message
	switch f.Message().FullName() {
	case "google.protobuf.Timestamp":
		known = &timestamppb.Timestamp{Seconds: 1_700_000_000}
	case "google.protobuf.Struct":
		known = &structpb.Struct{Fields: map[string]*structpb.Value{"a": structpb.NewStringValue("b")}}
	case "google.protobuf.Value":
		known = structpb.NewStringValue("any")
	case "google.protobuf.ListValue":
		known = &structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue("any")}}
	default:
		v := empty()
		fillAll(v.Message(), newer.Message(), "")
		return v
	}
	v := empty()
	wire, err := proto.Marshal(known)
	if err == nil {
		err = proto.Unmarshal(wire, v.Message().Interface())
	}
	if err != nil {
		panic(err) // messages of the library's own always marshal
	}
	return v
}

// nowhere reports whether a field stays off the wire.
func nowhere(f protoreflect.FieldDescriptor) bool {
	b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
	return b.GetLocation() == apiv1.Location_LOCATION_NONE
}
