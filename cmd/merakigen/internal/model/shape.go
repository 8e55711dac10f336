package model

import (
	"strings"
	"unicode/utf8"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// deepest is how far messages nest before the rest is free-form. The vendor's
// document goes to 10; protobuf runtimes give up at 100.
const deepest = 40

// typeOf says what a JSON value of that schema is.
func (b *builder) typeOf(s *openapi.Schema, depth int) Type {
	if depth > deepest {
		return Type{Kind: Value}
	}
	if len(s.Variants) > 0 && len(s.Properties) == 0 && s.Items == nil {
		return b.variants(s.Variants, depth)
	}
	switch s.Type() {
	case "string":
		if s.Format == "date-time" {
			return Type{Kind: Timestamp}
		}
		return Type{Kind: String}
	case "integer":
		return Type{Kind: Int64}
	case "number":
		return Type{Kind: Double}
	case "boolean":
		return Type{Kind: Bool}
	case "array":
		return b.list(s, depth)
	case "object":
		return b.object(s, depth)
	}
	return Type{Kind: Value}
}

// list: free-form elements are a ListValue, and a list inside a list is a
// wrapper message, because protobuf has no list of lists.
func (b *builder) list(s *openapi.Schema, depth int) Type {
	if s.Items == nil {
		return Type{Kind: ListValue}
	}
	item := b.typeOf(s.Items, depth+1)
	switch {
	case item.Label == Map:
		return Type{Label: Many, Kind: Struct}
	case item.Label == Many:
		return Type{Label: Many, Kind: Message, Object: Wrapper(item)}
	case item.Kind == Value:
		return Type{Kind: ListValue}
	}
	item.Label = Many
	return item
}

func (b *builder) object(s *openapi.Schema, depth int) Type {
	var value Type
	switch {
	case len(s.Properties) > 0 && b.data(s, depth):
		value = b.typeOf(s.Properties[0].Schema, depth+1)
		for _, p := range s.Properties[1:] {
			other := b.typeOf(p.Schema, depth+1)
			if !same(value, other) {
				value = Type{Kind: Value}
				break
			}
			value.unite(other, b.clash)
		}
	case len(s.Properties) > 0:
		o := b.message(s, depth)
		if len(o.Props) == 0 {
			return Type{Kind: Struct}
		}
		return Type{Kind: Message, Object: o}
	case s.Additional != nil:
		value = b.typeOf(s.Additional, depth+1)
	default:
		return Type{Kind: Struct}
	}
	switch {
	case value.Label == Map:
		return Type{Label: Map, Kind: Struct}
	case value.Label == Many:
		return Type{Label: Map, Kind: Message, Object: Wrapper(value)}
	case value.Kind == Value:
		return Type{Kind: Struct}
	}
	value.Label = Map
	return value
}

func (b *builder) message(s *openapi.Schema, depth int) *Object {
	o := new(Object)
	for _, p := range s.Properties {
		if !plain(p.Name) {
			b.warn("a property named %q is passed over", p.Name)
			continue
		}
		f := facts(p.Schema)
		f.Required = p.Required && b.asking
		o.Props = append(o.Props, &Prop{
			Name: p.Name, Type: b.typeOf(p.Schema, depth+1), Facts: f, Deprecated: p.Schema.Deprecated,
		})
	}
	return o
}

// plain reports whether a name can stand in JSON as it is. No API has others,
// and the server refuses to make plans for them.
func plain(name string) bool {
	return name != "" && name != "[]" && strings.IndexFunc(name, func(r rune) bool {
		return r < ' ' || r == '"' || r == '\\' || r == utf8.RuneError
	}) < 0
}

// variants decides about oneOf and anyOf: objects are united, a date that may
// also be other text is text, and what has nothing in common is a free value.
func (b *builder) variants(all []*openapi.Schema, depth int) Type {
	out := b.typeOf(all[0], depth+1)
	for _, s := range all[1:] {
		t := b.typeOf(s, depth+1)
		switch {
		case same(out, t):
			out.unite(t, b.clash)
		case out.Label == One && t.Label == One && text(out.Kind) && text(t.Kind):
			out = Type{Kind: String}
		case out.Label == One && t.Label == One && numeric(out.Kind) && numeric(t.Kind):
			out = Type{Kind: Double}
		default:
			return Type{Kind: Value}
		}
	}
	return out
}

func text(k Kind) bool    { return k == String || k == Timestamp }
func numeric(k Kind) bool { return k == Int64 || k == Double }

// queryType is typeOf for a query parameter, which is text, a list of text, an
// object of them (name[lt]=value) or a list of such objects. Where a document
// offers an object or plain text, the object can say more.
func (b *builder) queryType(s *openapi.Schema) Type {
	for _, v := range s.Variants {
		if t := b.queryType(v); t.Kind == Message {
			return t
		}
	}
	t := b.typeOf(s, 1)
	flat := func(t Type) bool { return t.Kind <= Timestamp && t.Label != Map }
	if flat(t) {
		return t
	}
	if t.Kind == ListValue {
		return Type{Label: Many, Kind: String}
	}
	if t.Kind == Message && t.Label != Map && !wrapped(t) {
		t.Object.Closed = true
		for _, p := range t.Object.Props {
			if !flat(p.Type) || p.Type.Label != One {
				p.Type = Type{Kind: String}
			}
		}
		return t
	}
	return Type{Kind: String}
}

// pathType is typeOf for a path parameter: one piece of text.
func (b *builder) pathType(s *openapi.Schema) Type {
	if t := b.typeOf(s, 1); t.Label == One && (t.Kind == Int64 || t.Kind == Bool) {
		return t
	}
	return Type{Kind: String}
}

// Wrapper is the message of an inner list.
func Wrapper(inner Type) *Object {
	return &Object{Wrapper: true, Props: []*Prop{{
		Name: "[]", Proto: "values", Location: apiv1.Location_LOCATION_BODY, Bound: true, Type: inner,
	}}}
}

// data reports whether the names of an object's properties are data, so that it
// is a map: all of them are numbers, whole or decimal, or most are and all values
// are of one scalar type (counts by speed, and a total).
func (b *builder) data(s *openapi.Schema, depth int) bool {
	numbers, kinds := 0, make(map[Kind]bool)
	for _, p := range s.Properties {
		if isNumber(p.Name) {
			numbers++
		}
		if t := b.typeOf(p.Schema, depth+1); t.Label == One {
			kinds[t.Kind] = true
		}
	}
	if numbers == len(s.Properties) {
		return true
	}
	return 2*numbers > len(s.Properties) && len(kinds) == 1 && (kinds[Int64] || kinds[Double] || kinds[String] || kinds[Bool])
}

// isNumber reports whether a name is a decimal number.
func isNumber(name string) bool {
	whole, fraction, decimal := strings.Cut(name, ".")
	return whole != "" && strings.Trim(whole, "0123456789") == "" && (!decimal || fraction != "" && strings.Trim(fraction, "0123456789") == "")
}

func facts(s *openapi.Schema) Facts {
	f := Facts{
		Enum: s.Enum, Minimum: s.Minimum, Maximum: s.Maximum, MaxItems: s.MaxItems, Default: s.Default, Stage: s.Stage,
	}
	if len(f.Enum) == 0 && s.Items != nil {
		f.Enum = s.Items.Enum
	}
	return f
}
