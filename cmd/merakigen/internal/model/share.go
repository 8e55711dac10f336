package model

import (
	"cmp"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// share makes the body of a request and the message of its resource agree: what
// was read can be written back. A property of both has one type in both, and an
// object of both is one object. What only the request has is the resource's as
// well, because what can be written can be read until the Dashboard shows
// otherwise; unless the operation starts something that is not the resource.
func (b *builder) share(op *Operation, r *Resource) {
	if op.Option.RequestField != "" {
		return
	}
	writes := op.Option.Job == nil && (verb(op.Option.Id) == "create" || verb(op.Option.Id) == "update")
	for _, p := range op.Request.Props {
		if p.Location != apiv1.Location_LOCATION_BODY {
			continue
		}
		have := r.Object.prop(p.Name, 0)
		switch {
		case have == nil && (!writes || slices.Contains(b.overrides[op.Option.Id].Apart, p.Name)):
			continue
		case have == nil:
			have = p.copy()
			have.Location, have.Proto, have.Bound, have.Facts.Required = 0, "", false, false
			have.Type.Object.asked()
			r.Object.Props = append(r.Object.Props, have)
		default:
			facts := p.Facts
			facts.Required = false
			have.Facts.unite(facts)
			have.agree(p)
		}
		p.Type, p.Others = have.Type, have.Others
	}
}

// agree settles the type of a property that an answer and a request describe.
func (p *Prop) agree(request *Prop) {
	request.Type.Object.asked()
	if !same(p.Type, request.Type) {
		t := both(p.Type, request.Type)
		if !same(t, p.Type) {
			p.Others = append(p.Others, p.Type)
		}
		if !same(t, request.Type) {
			p.Others = append(p.Others, request.Type)
		}
		p.Type = t
		return
	}
	if p.Type.Object == nil || request.Type.Object == nil {
		return
	}
	for _, q := range request.Type.Object.Props {
		have := p.Type.Object.prop(q.Name, q.Location)
		if have == nil {
			p.Type.Object.Props = append(p.Type.Object.Props, q.copy())
			continue
		}
		have.add(q)
		have.agree(q)
	}
}

// both is the one type for a property that an answer and a request describe
// otherwise. Text holds what any scalar says and is sent as it came; a fraction
// holds whole numbers; what is described is better than what is free; keys that
// one side calls data are data. What is left is two forms on the wire, such as
// an object in the answer and its id in the request, and a free value holds both.
func both(answer, request Type) Type {
	a, r := answer, request
	switch {
	case a.Label == r.Label && scalar(a.Kind) && scalar(r.Kind):
		if numeric(a.Kind) && numeric(r.Kind) {
			return Type{Label: a.Label, Kind: Double}
		}
		return Type{Label: a.Label, Kind: String}
	case isFree(a) && !isFree(r) && composite(r):
		return r
	case isFree(r) && !isFree(a) && composite(a):
		return a
	case a.Label == Map && r.Kind == Message && r.Label == One:
		return a
	case r.Label == Map && a.Kind == Message && a.Label == One:
		return r
	case a.Kind == ListValue || r.Kind == ListValue, a.Label == Many && r.Label == Many:
		return Type{Kind: ListValue}
	}
	return Type{Kind: Value}
}

func scalar(k Kind) bool { return k <= Timestamp }

// isFree: an object of any form.
func isFree(t Type) bool { return t.Label == One && t.Kind == Struct }

// composite: an object whose form is described.
func composite(t Type) bool { return t.Label == Map || t.Label == One && t.Kind == Message }

// asked turns what a request requires, below its own fields, into what the
// shared message says of requests.
func (o *Object) asked() {
	if o == nil {
		return
	}
	for _, p := range o.Props {
		p.Facts.Asked = p.Facts.Asked || p.Facts.Required
		p.Facts.Required = false
		p.Type.Object.asked()
	}
}

// written finds the resource that the body of an operation describes: what it
// answers with, or else the resource on its path, which for a POST is the one
// below the collection.
func (s *shelf) written(op *Operation, items map[string]string) *Resource {
	if op.source.Body == nil || op.Option.Verb != apiv1.Verb_VERB_POST && op.Option.Verb != apiv1.Verb_VERB_PUT {
		return nil
	}
	if op.Response != nil && s.byPath[op.Option.Path] == nil && s.grouped[op.Response.Name] {
		return op.Response
	}
	path := op.Option.Path
	if op.Option.Verb == apiv1.Verb_VERB_POST {
		path = cmp.Or(items[path], path)
	}
	return s.byPath[path]
}

// itemPaths finds the path of one element of each collection.
func itemPaths(s *Section) map[string]string {
	items := make(map[string]string) // collection path -> item path
	for _, op := range s.Operations {
		i := strings.LastIndex(op.Option.Path, "/{")
		if i > 0 && !strings.Contains(op.Option.Path[i+1:], "/") {
			parent := op.Option.Path[:i]
			if have := items[parent]; have == "" || op.Option.Path < have {
				items[parent] = op.Option.Path
			}
		}
	}
	return items
}

// shareRows makes a body that is a list, or an object with one as the document that
// is read has, and the rows of the list on the same path agree.
func (s *shelf) shareRows(op *Operation, row *Type) {
	for _, p := range op.Request.Props {
		whole := p.Root && op.Option.RequestField == items
		inObject := p.Name == items && p.Location == apiv1.Location_LOCATION_BODY && s.reads[op.Option.Path]
		switch {
		case (whole || inObject) && same(p.Type, *row):
			have := &Prop{Type: *row}
			have.agree(p)
			p.Type = have.Type
		case p.Name == "meta" && s.meta != nil && s.reads[op.Option.Path] && isMeta(p.Type, "counts", "items"):
			unite(s.meta.Object, p.Type.Object, func(string, Type, Type) {})
			p.Type.Object, p.Type.Resource = s.meta.Object, s.meta
		}
	}
}

// MetaName is the message of what nearly every list of a section has beside its
// rows: counts of the rows, in all and still to come.
const MetaName = "CollectionMeta"

// shareMeta makes the counts of a collection the section's one message for them.
func (s *shelf) shareMeta(beside *Object, op *Operation) {
	i := slices.IndexFunc(beside.Props, func(p *Prop) bool { return p.Name == "meta" })
	if i < 0 || !isMeta(beside.Props[i].Type, "counts", "items") {
		return
	}
	p := beside.Props[i].copy()
	beside.Props[i] = p
	if s.meta == nil {
		s.meta = &Resource{Name: MetaName, Object: new(Object), Path: op.Option.Path, Noun: "collections"}
	}
	unite(s.meta.Object, p.Type.Object, func(string, Type, Type) {})
	p.Type.Object, p.Type.Resource = s.meta.Object, s.meta
}

// isMeta reports whether a type is an object with only the first of the names,
// below which is one with only the next, and so on, and then plain numbers.
func isMeta(t Type, names ...string) bool {
	if t.Label != One || t.Kind != Message {
		return false
	}
	if len(names) == 0 {
		return !slices.ContainsFunc(t.Object.Props, func(p *Prop) bool { return p.Type.Label != One || p.Type.Kind != Int64 })
	}
	return len(t.Object.Props) == 1 && t.Object.Props[0].Name == names[0] && isMeta(t.Object.Props[0].Type, names[1:]...)
}
