package lock

import (
	"cmp"
	"regexp"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// renamed compares the parameters of a path with those that it had. Callers do
// not see the names in a path, so a new name there is no new field.
func renamed(before, now string) map[string]string {
	out := make(map[string]string)
	was, is := openapi.PathParameters(before), openapi.PathParameters(now)
	if openapi.Anonymous(before) != openapi.Anonymous(now) || len(was) != len(is) {
		return out
	}
	for i, name := range is {
		if name != was[i] && !slices.Contains(was, name) && !slices.Contains(is, was[i]) {
			out[name] = was[i]
		}
	}
	return out
}

// A place is one wanted property and the locked field that it goes into.
type place struct {
	prop  *model.Prop
	typ   model.Type
	field protoreflect.FieldDescriptor // nil: a new field
	// keep: the locked type stays although the document describes another.
	keep bool
	// node is the message that the field holds, if it is one of ours.
	node *node
	// name and json are the field's names, json only of a new one.
	name, json string
}

// lasting are the fields of our own, which stay when the body or the pages have
// gone: if those come back, so do they.
func lasting(d protoreflect.FieldDescriptor) bool {
	return ours(typeOf(d).Kind) || d.Number() == model.AdditionalPropertiesNumber
}

// match finds the locked field of each wanted property, and the fields that
// have to give their property to another: number -> the place of that one.
func (s *settler) match(o *model.Object, old protoreflect.MessageDescriptor, in scope) ([]*place, map[protoreflect.FieldNumber]*place) {
	places := make([]*place, len(o.Props))
	for i, p := range o.Props {
		places[i] = &place{prop: p, typ: p.Type}
	}
	retire := make(map[protoreflect.FieldNumber]*place)
	if old == nil {
		return places, retire
	}
	live := make(map[protoreflect.FieldNumber]protoreflect.FieldDescriptor)
	for i := range old.Fields().Len() {
		if d := old.Fields().Get(i); !retired(d) {
			live[d.Number()] = d
		}
	}
	for _, same := range []func(p *model.Prop, d protoreflect.FieldDescriptor) bool{
		func(p *model.Prop, d protoreflect.FieldDescriptor) bool { // the same name in the same place
			switch {
			case p.Type.Kind == model.PageInfo:
				return typeOf(d).Kind == model.PageInfo
			case p.Name == "[]":
				return string(d.Name()) == p.Proto
			case p.Location == apiv1.Location_LOCATION_NONE:
				return rooted(p, d)
			}
			return wire(d) == p.Name && located(d, in) == p.Location
		},
		func(p *model.Prop, d protoreflect.FieldDescriptor) bool { // another name in the same piece of the path
			return p.Location == apiv1.Location_LOCATION_PATH && located(d, in) == p.Location && wire(d) == in.renamed[p.Name]
		},
		func(p *model.Prop, d protoreflect.FieldDescriptor) bool { // moved, say from query to body
			return wire(d) == p.Name && binding(d).GetLocation() != apiv1.Location_LOCATION_NONE
		},
		func(p *model.Prop, d protoreflect.FieldDescriptor) bool { // a field of ours for another name
			return p.Proto != "" && p.Location != apiv1.Location_LOCATION_NONE && string(d.Name()) == p.Proto
		},
	} {
		for _, p := range places {
			if p.field != nil {
				continue
			}
			for n := range old.Fields().Len() {
				d := old.Fields().Get(n)
				if live[d.Number()] != nil && same(p.prop, d) {
					s.take(p, d, old, retire)
					delete(live, d.Number())
					break
				}
			}
		}
	}
	returned(places, old)
	for n := range old.Fields().Len() {
		d := old.Fields().Get(n)
		_, now := retire[d.Number()]
		delete(retire, d.Number())
		if now || replaced(d) {
			if p := successor(places, d); p != nil {
				retire[d.Number()] = p
			}
		}
	}
	return places, retire
}

// returned gives a property that has no field one that it had before, where its
// type is that again.
func returned(places []*place, old protoreflect.MessageDescriptor) {
	for _, p := range places {
		for n := range old.Fields().Len() {
			d := old.Fields().Get(n)
			taken := slices.ContainsFunc(places, func(q *place) bool { return q.field == d })
			again := wire(d) == p.prop.Name || rooted(p.prop, d)
			if p.field == nil && retired(d) && !taken && again && stands(typeOf(d), p.prop.Location) &&
				fits(typeOf(d), p.typ) == exact {
				p.field = d
			}
		}
	}
}

// rooted reports whether a locked field is one of ours that a property of ours
// asks for, in whatever version.
func rooted(p *model.Prop, d protoreflect.FieldDescriptor) bool {
	return p.Location == apiv1.Location_LOCATION_NONE && binding(d).GetLocation() == p.Location &&
		version.ReplaceAllString(string(d.Name()), "") == p.Proto
}

// successor is the place that has a replaced field's property now: the one that
// is called alike, where path, query and body have a property of one name each.
func successor(places []*place, d protoreflect.FieldDescriptor) *place {
	var out *place
	for _, p := range places {
		if p.prop.Name != wire(d) || p.field == d {
			continue
		}
		if out == nil || version.ReplaceAllString(string(d.Name()), "") == p.base() {
			out = p
		}
	}
	return out
}

// version is what a proto name ends in when an older field has the plain one.
var version = regexp.MustCompile(`_v\d+$`)

// base is the plain proto name of a property.
func (p *place) base() string {
	name := cmp.Or(p.prop.Proto, model.Snake(p.prop.Name))
	if p.field != nil {
		name = string(p.field.Name())
	}
	return version.ReplaceAllString(name, "")
}

func located(d protoreflect.FieldDescriptor, in scope) apiv1.Location {
	if l := binding(d).GetLocation(); l != 0 || in.locate == nil {
		return l
	}
	return in.locate(wire(d))
}

// take puts a property into its locked field if the types go together. If not,
// a field that was replaced before may fit again; otherwise a new one is made.
func (s *settler) take(p *place, d protoreflect.FieldDescriptor, old protoreflect.MessageDescriptor, retire map[protoreflect.FieldNumber]*place) {
	best := hopeless
	for _, t := range append([]model.Type{p.prop.Type}, p.prop.Others...) {
		if f := fits(typeOf(d), t); f > best && stands(typeOf(d), p.prop.Location) {
			best, p.typ = f, t
		}
	}
	if best != hopeless {
		p.field, p.keep = d, best == lenient
		if p.keep {
			s.warn("%s.%s stays %s; the document says %s", old.FullName(), d.Name(), typeOf(d), p.typ)
		}
		return
	}
	retire[d.Number()] = p
	for n := range old.Fields().Len() {
		r := old.Fields().Get(n)
		if retired(r) && wire(r) == wire(d) && stands(typeOf(r), p.prop.Location) && fits(typeOf(r), p.prop.Type) == exact {
			p.field, p.typ = r, p.prop.Type
			s.warn("%s.%s is %s again: %s takes its place", old.FullName(), d.Name(), p.typ, r.Name())
			return
		}
	}
	p.typ = p.prop.Type
	s.warn("%s.%s cannot hold %s: a new field takes its place", old.FullName(), d.Name(), p.typ)
}
