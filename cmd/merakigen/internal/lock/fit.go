package lock

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// A fit says how well a locked field takes what the document describes now.
type fit uint8

const (
	// hopeless: one can never hold the other (a number and an object, one and
	// many). The property needs a new field.
	hopeless fit = iota
	// lenient: the locked type stays, and the wire's leniency converts.
	lenient
	exact
)

// typeOf is the type of a locked field.
func typeOf(d protoreflect.FieldDescriptor) model.Type {
	t := model.Type{}
	switch {
	case d.IsMap():
		t.Label = model.Map
		d = d.MapValue()
	case d.IsList():
		t.Label = model.Many
	}
	switch d.Kind() {
	case protoreflect.StringKind:
		if d.IsList() && (d.Number() == model.NullFieldsNumber || d.Number() == model.EmptyFieldsNumber) {
			t.Kind = model.Paths
		}
	case protoreflect.BoolKind:
		t.Kind = model.Bool
	case protoreflect.Int64Kind:
		t.Kind = model.Int64
	case protoreflect.DoubleKind:
		t.Kind = model.Double
	case protoreflect.MessageKind:
		t.Kind = messageKind(d.Message())
		if t.Kind == model.Message {
			t.Object = new(model.Object)
			if isWrapper(d.Message()) {
				*t.Object = *model.Wrapper(typeOf(d.Message().Fields().Get(0)))
			}
		}
	}
	return t
}

func messageKind(m protoreflect.MessageDescriptor) model.Kind {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return model.Timestamp
	case "google.protobuf.Struct":
		return model.Struct
	case "google.protobuf.Value":
		return model.Value
	case "google.protobuf.ListValue":
		return model.ListValue
	case "meraki.api.v1.PageInfo":
		return model.PageInfo
	}
	return model.Message
}

func isWrapper(m protoreflect.MessageDescriptor) bool {
	return m.Fields().Len() == 1 && wire(m.Fields().Get(0)) == "[]"
}

// fits compares a locked type with a wanted one.
func fits(have, want model.Type) fit {
	one, many, dict := model.One, model.Many, model.Map
	wrapper := func(t model.Type) bool { return t.Object != nil && t.Object.Wrapper }
	switch {
	case have.Label == want.Label && wrapper(have) && wrapper(want):
		return fits(have.Object.Props[0].Type, want.Object.Props[0].Type)
	case have.Label == want.Label && have.Kind == want.Kind && wrapper(have) == wrapper(want):
		return exact
	case have.Label == want.Label && scalar(have.Kind) && scalar(want.Kind):
		return scalarFit(have.Kind, want.Kind)
	case ours(have.Kind) || ours(want.Kind):
		return hopeless
	// What is free-form on either side takes what the other says.
	case have.Label == one && have.Kind == model.Value, want.Label == one && want.Kind == model.Value:
		return lenient
	case have.Label == one && have.Kind == model.Struct && (want.Label == dict || want.Label == one && want.Kind == model.Message),
		want.Label == one && want.Kind == model.Struct && (have.Label == dict || have.Label == one && have.Kind == model.Message):
		return lenient
	case have.Label == one && have.Kind == model.ListValue && want.Label == many,
		want.Label == one && want.Kind == model.ListValue && have.Label == many:
		return lenient
	case have.Label != want.Label:
		return hopeless
	case have.Kind == model.Value || want.Kind == model.Value:
		return lenient
	case wrapper(have) || wrapper(want):
		return hopeless
	case free(have.Kind) && !scalar(want.Kind), free(want.Kind) && !scalar(have.Kind):
		return lenient
	}
	return hopeless
}

// stands reports whether a locked type can stand where the property is now: a
// path takes one plain value, a query nothing free-form.
func stands(have model.Type, at apiv1.Location) bool {
	switch at {
	case apiv1.Location_LOCATION_PATH:
		return have.Label == model.One && (have.Kind == model.String || have.Kind == model.Int64 || have.Kind == model.Bool)
	case apiv1.Location_LOCATION_QUERY:
		return have.Label != model.Map && (scalar(have.Kind) || have.Kind == model.Message && !have.Object.Wrapper)
	}
	return true
}

// scalarFit: text holds anything, and digits in text are a number; a boolean
// and a moment are never a number.
func scalarFit(have, want model.Kind) fit {
	number := func(k model.Kind) bool { return k == model.Int64 || k == model.Double }
	switch {
	case have == model.String,
		want == model.String && have != model.Bool,
		number(have) && number(want):
		return lenient
	}
	return hopeless
}

func scalar(k model.Kind) bool { return k <= model.Timestamp }
func free(k model.Kind) bool   { return k == model.Struct || k == model.Value }
func ours(k model.Kind) bool   { return k == model.Paths || k == model.PageInfo }
