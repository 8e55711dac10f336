package lock

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// A scope is where a message stands.
type scope struct {
	enclosing []string
	// locate says where a field of a request goes when no binding says so; nil in
	// responses and nested messages.
	locate func(name string) apiv1.Location
	// renamed gives the name that a path parameter had: new -> old.
	renamed map[string]string
}

// locator is the rule for fields without a binding: a name in braces is in the
// path; the rest of a GET or DELETE is query, of anything else body.
func locator(op *apiv1.Operation) func(string) apiv1.Location {
	return func(name string) apiv1.Location {
		switch {
		case strings.Contains(op.GetPath(), "{"+name+"}"):
			return apiv1.Location_LOCATION_PATH
		case op.GetVerb() == apiv1.Verb_VERB_GET || op.GetVerb() == apiv1.Verb_VERB_DELETE:
			return apiv1.Location_LOCATION_QUERY
		}
		return apiv1.Location_LOCATION_BODY
	}
}

// message settles one message against the locked one; old is nil for a new one.
func (s *settler) message(name string, o *model.Object, old protoreflect.MessageDescriptor, in scope) *protofile.Message {
	m := &protofile.Message{Name: name}
	taken := newNames(old, slices.Concat(in.enclosing, []string{name}))
	places, retire := s.match(o, old, in)
	for _, p := range places {
		taken.reference(p.typ.Resource)
		if p.field == nil {
			taken.claim(p.prop)
		}
	}
	places = slices.DeleteFunc(places, func(p *place) bool { // a mask goes by its exact name, or not at all
		lost := p.field == nil && p.typ.Kind == model.FieldMask && !taken.claimed[p.prop.Proto]
		if lost {
			s.warn("%s has no %s: a property has the name", name, p.prop.Proto)
		}
		return lost
	})
	next := nextNumber(old)
	used := make(map[protoreflect.FieldNumber]bool)
	nested := make(map[string]bool)
	inner := scope{enclosing: slices.Concat(in.enclosing, []string{name})}
	for _, p := range places {
		var f *protofile.Field
		if p.field != nil {
			f = s.lockedField(m, p, inner, nested)
			used[p.field.Number()] = true
		} else {
			f = s.newField(m, p, &next, taken, inner, nested)
		}
		f.Comment = describe(len(inner.enclosing), p)
		m.Fields = append(m.Fields, f)
		s.final[p.prop] = f.Name
	}
	if old == nil {
		return m
	}
	reserve(m, old)
	for i := range old.Fields().Len() {
		d := old.Fields().Get(i)
		switch by, stays := retire[d.Number()]; {
		case used[d.Number()]:
		case lasting(d):
			m.Fields = append(m.Fields, keepField(d))
		case stays:
			m.Fields = append(m.Fields, s.retired(d, by, m, nested))
		case o.Keep && !retired(d) && (in.locate == nil || located(d, in) == apiv1.Location_LOCATION_BODY):
			m.Fields = append(m.Fields, keepField(d))
			keepNested(m, d, nested)
		default:
			m.Reserve(protofile.Range{First: int32(d.Number()), Last: int32(d.Number())})
			m.ReserveName(string(d.Name()))
		}
	}
	for i := range old.Messages().Len() {
		if d := old.Messages().Get(i); !d.IsMapEntry() && !nested[string(d.Name())] {
			n := keep(d)
			n.Comment = farewell(n.Comment, s.version)
			m.Nested = append(m.Nested, n)
		}
	}
	return m
}

// lockedField keeps name, number and type; what is said about it is new.
func (s *settler) lockedField(m *protofile.Message, p *place, inner scope, nested map[string]bool) *protofile.Field {
	d := p.field
	f := keepField(d)
	f.Deprecated = p.prop.Deprecated
	f.Binding = bind(p.prop, f.JSON)
	n := d.Message()
	if d.IsMap() {
		n = d.MapValue().Message()
	}
	if n == nil || n.Parent() == n.ParentFile() || messageKind(n) != model.Message {
		return f
	}
	if n.Parent() != d.ContainingMessage() || nested[string(n.Name())] {
		return f
	}
	nested[string(n.Name())] = true
	if p.keep || p.typ.Object == nil {
		m.Nested = append(m.Nested, keep(n))
	} else {
		m.Nested = append(m.Nested, s.message(string(n.Name()), p.typ.Object, n, inner))
	}
	return f
}

func (s *settler) newField(m *protofile.Message, p *place, next *int32, taken *names, inner scope, nested map[string]bool) *protofile.Field {
	f := &protofile.Field{Number: *next, Deprecated: p.prop.Deprecated}
	*next = after(*next)
	f.Name, f.JSON = taken.field(p.prop)
	f.Binding = bind(p.prop, f.JSON)
	typ := scalarText(p.typ.Kind)
	if p.typ.Kind == model.Message {
		if p.typ.Resource != nil {
			typ = p.typ.Resource.Name
		} else {
			typ = taken.message(p.prop, p.typ)
			nested[typ] = true
			m.Nested = append(m.Nested, s.message(typ, p.typ.Object, nil, inner))
		}
	}
	switch {
	case p.typ.Label == model.Map:
		f.Type = "map<string, " + typ + ">"
	case p.typ.Label == model.Many:
		f.Type = "repeated " + typ
	case p.typ.Kind < model.Timestamp:
		f.Type = "optional " + typ
	default:
		f.Type = typ
	}
	return f
}

// retired is a field that has given its property to another one.
func (s *settler) retired(d protoreflect.FieldDescriptor, by int, m *protofile.Message, nested map[string]bool) *protofile.Field {
	f := keepField(d)
	f.Deprecated = true
	f.Binding = &apiv1.Binding{Location: apiv1.Location_LOCATION_NONE}
	if w := wire(d); w != f.JSON {
		f.Binding.Name = w
	}
	f.Comment = []string{fmt.Sprintf("Replaced by %s: the document describes another type now.", m.Fields[by].Name)}
	keepNested(m, d, nested)
	return f
}

// keepNested copies the nested message that a kept field holds.
func keepNested(m *protofile.Message, d protoreflect.FieldDescriptor, nested map[string]bool) {
	n := d.Message()
	if d.IsMap() {
		n = d.MapValue().Message()
	}
	if n != nil && n.Parent() == d.ContainingMessage() && !nested[string(n.Name())] {
		nested[string(n.Name())] = true
		m.Nested = append(m.Nested, keep(n))
	}
}

// bind is the binding option of a field, nil where the rules say it all.
func bind(p *model.Prop, json string) *apiv1.Binding {
	if p.Location == apiv1.Location_LOCATION_NONE {
		return &apiv1.Binding{Location: p.Location}
	}
	named := p.Name != json
	if !named && !p.Bound {
		return nil
	}
	b := &apiv1.Binding{Location: p.Location}
	if named {
		b.Name = p.Name
	}
	return b
}

// describe is the comment of a field: facts, no prose of the vendor's.
func describe(depth int, p *place) []string {
	lines := protofile.Wrap(depth, p.prop.Facts.Words())
	if p.keep {
		lines = append(lines, fmt.Sprintf("The document says %s; the contract keeps its type.", p.typ))
	}
	return lines
}

func scalarText(k model.Kind) string {
	switch k {
	case model.Int64:
		return "int64"
	case model.Double:
		return "double"
	case model.Bool:
		return "bool"
	case model.Timestamp:
		return "google.protobuf.Timestamp"
	case model.Struct:
		return "google.protobuf.Struct"
	case model.Value:
		return "google.protobuf.Value"
	case model.ListValue:
		return "google.protobuf.ListValue"
	case model.FieldMask:
		return "google.protobuf.FieldMask"
	case model.PageInfo:
		return "meraki.api.v1.PageInfo"
	}
	return "string"
}
