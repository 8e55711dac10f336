//go:build openapi

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
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

// TestDocumentOlder lets a contract live through real releases of the vendor's
// document, forth and back. Each step keeps what the one before has, which the
// generator itself sees to; a second run makes the same bytes; a release that
// comes again makes what it made; and a client with the protos of any step is
// served by the newest: all that it can ask is sent, and all that it can read
// comes, in the fields that it knows.
func TestDocumentOlder(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("MERAKI_OPENAPI_OLDER")
	if dir == "" {
		t.Fatal("MERAKI_OPENAPI_OLDER has to name the directory of the older OpenAPI documents")
	}
	_, newest := realDocument(t)
	older := func(version string) []byte {
		data, err := readDocument(filepath.Join(dir, "openapi-"+version+".json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	middle := older("1.72.0")
	var steps []*output
	lying := map[string][]byte{}
	for _, document := range [][]byte{older("1.42.0"), middle, newest, middle, newest} {
		made := mustGenerate(t, document, lying)
		steps = append(steps, made)
		lying = made.files
	}
	last := steps[len(steps)-1]
	if again := mustGenerate(t, newest, last.files); !maps.EqualFunc(last.files, again.files, bytes.Equal) {
		t.Errorf("a second run makes something else%s", firstDifference(last.files, again.files))
	}
	if !maps.EqualFunc(steps[2].files, last.files, bytes.Equal) {
		t.Errorf("the release that came again makes something else%s", firstDifference(steps[2].files, last.files))
	}
	broker := contractOf(t, mustCompile(t, last.files))
	for i, step := range steps[:len(steps)-1] {
		asked := 0
		for _, m := range contractOf(t, mustCompile(t, step.files)).Methods() {
			asked++
			oldClient(t, m, broker.RPC(m.Name))
		}
		t.Logf("step %d: %d RPCs of the older client are served", i+1, asked)
	}
}

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
	answer := dynamicpb.NewMessage(older.Descriptor.Output())
	fillAll(answer, newer.Descriptor.Output(), older.Operation.GetResponseField())
	wire, err = proto.Marshal(answer)
	if err != nil {
		t.Fatal(err)
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
	if !proto.Equal(answer, read) {
		t.Errorf("%s: of %s the older client reads\n%v, want\n%v", older.Name, document, read, answer)
	}
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
		hidden := nowhere(g) && (string(f.Name()) != root || options.GetDeprecated()) // replaced: the Dashboard has another type now
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
		panic(err)
	}
	return v
}

// nowhere reports whether a field stays off the wire.
func nowhere(f protoreflect.FieldDescriptor) bool {
	b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
	return b.GetLocation() == apiv1.Location_LOCATION_NONE
}
