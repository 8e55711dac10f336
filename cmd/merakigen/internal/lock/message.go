package lock

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// A scope is where the fields of a request go; the zero scope is that of an
// answer or a nested message.
type scope struct {
	// locate says where a field goes when no binding says so.
	locate func(name string) apiv1.Location
	// renamed gives the name that a path parameter had: new -> old.
	renamed map[string]string
	// now is the operation as it is, and was as the lock has it.
	now, was *apiv1.Operation
}

// sent reports whether a field of a request that the document no longer has can
// still go where it went: its piece of the path is there, and the body is an
// object as it was.
func (in scope) sent(d protoreflect.FieldDescriptor) bool {
	switch located(d, in) {
	case apiv1.Location_LOCATION_PATH:
		return strings.Contains(in.now.GetPath(), "{"+wire(d)+"}")
	case apiv1.Location_LOCATION_BODY:
		return in.now.GetRequestField() == "" && in.was.GetRequestField() == ""
	}
	return true
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

func sortedNames(m map[string]*node) []string { return slices.Sorted(maps.Keys(m)) }

// extended reports whether a message holds what the contract has no field for:
// all that stand for JSON objects, and no parameters of a path or query.
func (n *node) extended() bool { return !n.union.Closed && !n.union.Wrapper }

// name gives the new fields and the new nested messages of a node their names,
// and then those inside.
func (s *settler) name(n *node, enclosing []string) {
	enclosing = slices.Concat(enclosing, []string{n.name})
	if len(n.objects) > 0 {
		s.nameFields(n, enclosing)
	}
	if n.old != nil {
		for i := range n.old.Messages().Len() {
			if c := s.nodes[n.old.Messages().Get(i).FullName()]; c != nil {
				s.name(c, enclosing)
			}
		}
	}
	for _, c := range n.children {
		s.name(c, enclosing)
	}
}

func (s *settler) nameFields(n *node, enclosing []string) {
	s.where = n.where
	n.taken = newNames(n.old, enclosing)
	n.fields = make(map[*model.Prop]string)
	if n.extended() {
		n.taken.claim(&model.Prop{Proto: model.AdditionalProperties, Location: apiv1.Location_LOCATION_NONE})
	}
	for _, p := range n.places {
		if p.node != nil && p.node.top() != n.top() {
			n.taken.unfit[strings.ToLower(p.node.top().name)] = true
		}
		if p.field == nil {
			n.taken.claim(p.prop)
		}
	}
	n.taken.expect(n.old, n.places)
	n.places = slices.DeleteFunc(n.places, func(p *place) bool { // one of ours goes by its exact name, or not at all
		lost := p.field == nil && ours(p.typ.Kind) && !n.taken.claimed[p.prop.Proto]
		if lost {
			s.warn("%s has no %s: a property has the name", n.path(), p.prop.Proto)
		}
		return lost
	})
	for _, p := range n.places {
		if p.field != nil {
			p.name = string(p.field.Name())
		} else {
			p.name, p.json = n.taken.field(p.prop, p.typ.Label)
			if c := p.node; c != nil && c.parent == n && c.name == "" {
				c.name = n.taken.message(p.prop, p.typ)
			}
		}
		n.fields[p.prop] = p.name
	}
}

// build makes a message of a node.
func (s *settler) build(n *node) *protofile.Message {
	m := &protofile.Message{Name: n.name, Comment: n.comment}
	used := make(map[protoreflect.FieldNumber]bool)
	next := nextNumber(n.old)
	depth := strings.Count(n.path(), ".") + 1
	for _, p := range n.places {
		f := s.field(n, p, &next)
		if p.field != nil {
			used[p.field.Number()] = true
		}
		f.Comment = describe(depth, p)
		m.Fields = append(m.Fields, f)
	}
	if n.extended() && (n.old == nil || n.old.Fields().ByNumber(model.AdditionalPropertiesNumber) == nil) {
		m.Fields = append(m.Fields, &protofile.Field{
			Name: model.AdditionalProperties, Number: model.AdditionalPropertiesNumber, Type: "google.protobuf.Struct",
		})
	}
	if n.old != nil {
		reserve(m, n.old)
		for i := range n.old.Fields().Len() {
			if d := n.old.Fields().Get(i); !used[d.Number()] {
				m.Fields = append(m.Fields, s.left(n, d))
			}
		}
		s.keepNested(m, n.old)
	}
	for _, c := range n.children {
		m.Nested = append(m.Nested, s.build(c))
	}
	return m
}

// left is a field that no property of the document goes into. One of ours stays
// as it is, one that has given its property to another says to which, and any
// other is still read and still sent, in case the Dashboard knows more than its
// document.
func (s *settler) left(n *node, d protoreflect.FieldDescriptor) *protofile.Field {
	f := keepField(d)
	by := n.retire[d.Number()]
	switch {
	case lasting(d):
	case by != nil && by.name != "":
		f.Deprecated = true
		f.Binding = &apiv1.Binding{Location: apiv1.Location_LOCATION_NONE}
		if w := wire(d); w != f.JSON {
			f.Binding.Name = w
		}
		f.Comment = []string{fmt.Sprintf(replacedBy+"%s: the document describes another type now.", by.name)}
	default:
		f.Deprecated = true
		f.Comment = farewell(f.Comment, s.version)
		if n.in.locate != nil && !n.in.sent(d) {
			f.Binding = &apiv1.Binding{Location: apiv1.Location_LOCATION_NONE}
			if w := wire(d); w != f.JSON {
				f.Binding.Name = w
			}
		}
	}
	return f
}

// field is the field of a place: with the name, number and type of the lock, or
// new ones. What is said about it is new.
func (s *settler) field(n *node, p *place, next *int32) *protofile.Field {
	if p.field != nil {
		f := keepField(p.field)
		f.Deprecated = p.prop.Deprecated
		f.Binding = bind(p.prop, f.JSON)
		if p.node != nil {
			f.Type = label(typeOf(p.field), s.reference(n, p.node))
		}
		return f
	}
	f := &protofile.Field{Name: p.name, JSON: p.json, Number: p.prop.Number, Deprecated: p.prop.Deprecated}
	if f.Number == 0 || n.old != nil && n.old.Fields().ByNumber(protoreflect.FieldNumber(f.Number)) != nil {
		f.Number = *next
		*next = after(*next)
	}
	f.Binding = bind(p.prop, f.JSON)
	typ := scalarText(p.typ.Kind)
	if p.node != nil {
		typ = s.reference(n, p.node)
	}
	f.Type = label(p.typ, typ)
	return f
}

// label is a type in the source of a field.
func label(t model.Type, name string) string {
	switch {
	case t.Label == model.Map:
		return "map<string, " + name + ">"
	case t.Label == model.Many:
		return "repeated " + name
	case t.Kind < model.Timestamp:
		return "optional " + name
	}
	return name
}

// keepNested adds the nested messages that the lock has.
func (s *settler) keepNested(m *protofile.Message, old protoreflect.MessageDescriptor) {
	for i := range old.Messages().Len() {
		d := old.Messages().Get(i)
		switch n := s.nodes[d.FullName()]; {
		case d.IsMapEntry():
		case n != nil && len(n.objects) > 0:
			m.Nested = append(m.Nested, s.build(n))
		default:
			m.Nested = append(m.Nested, s.keep(d))
		}
	}
}

// keep copies a message that no object of the document stands for.
func (s *settler) keep(d protoreflect.MessageDescriptor) *protofile.Message {
	m := &protofile.Message{Name: string(d.Name()), Comment: comment(d)}
	for i := range d.Fields().Len() {
		m.Fields = append(m.Fields, keepField(d.Fields().Get(i)))
	}
	reserve(m, d)
	s.keepNested(m, d)
	return m
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
	case model.PageInfo:
		return "meraki.api.v1.PageInfo"
	}
	return "string"
}
