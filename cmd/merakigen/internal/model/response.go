package model

import (
	"fmt"
	"slices"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A response is the shape of one operation's answer, before it is known which
// message carries it.
type response struct {
	// empty: the operation answers with nothing.
	empty bool
	// collection: row is what the items are, object the properties beside them.
	collection bool
	row        Type
	// rows is the wire name of the items; it differs where the vendor has another
	// name for them.
	rows string
	// object holds the properties of the document, or the one field that takes
	// the whole of it.
	object *Object
	// keep: the document says nothing, the locked answer stays as it is.
	keep bool
	// whole: the document is not an object whose properties are fields.
	whole bool
}

// response reads the answer of an operation. A bare array is a collection, and
// so is an object with items; a paginated operation always is one: where the
// document shows an object instead of rows, it shows one row.
func (b *builder) response(op *Operation) *response {
	s := op.source.Response
	o := b.overrides[op.Option.Id]
	if s == nil || o.Empty {
		return &response{empty: true}
	}
	t := b.typeOf(s, 0)
	if t.Object != nil && !wrapped(t) {
		b.retype(op, "response", t.Object)
	}
	if r := b.lockedShape(op, t); r != nil {
		return r
	}
	switch {
	case t.Label == Many:
		return &response{collection: true, row: t, rows: items, object: new(Object), whole: true}
	case t.Kind == ListValue:
		return &response{collection: true, row: Type{Label: Many, Kind: Value}, rows: items, object: new(Object), whole: true}
	case t.Label == Map:
		return whole("values", t)
	case t.Kind == Struct && op.Option.Paging != nil:
		t.Label = Many
		return &response{collection: true, row: t, rows: items, object: new(Object), whole: true}
	case t.Kind != Message:
		return whole("value", t)
	}
	name := items
	if o.Items != "" {
		name = o.Items
	}
	i := slices.IndexFunc(t.Object.Props, func(p *Prop) bool { return p.Name == name })
	if i >= 0 && t.Object.Props[i].Type.Label == Many {
		row := t.Object.Props[i].Type
		rest := &Object{Props: slices.Delete(slices.Clone(t.Object.Props), i, i+1)}
		return &response{collection: true, row: row, rows: name, object: rest}
	}
	if op.Option.Paging != nil {
		t.Label = Many
		return &response{collection: true, row: t, rows: items, object: new(Object), whole: true}
	}
	return &response{object: t.Object}
}

// lockedShape is what the lock says about free-form answers: one that was
// free-form takes whatever the document describes now, and one that was
// described keeps its fields when the document stops describing it. Nil when
// the document decides.
func (b *builder) lockedShape(op *Operation, t Type) *response {
	was := b.locked.Operation(op.Option.Id)
	if was == nil || t.Label == Many || t.Kind == ListValue {
		return nil
	}
	if b.locked.FreeAnswer(op.Option.Id) {
		return whole("value", t)
	}
	if t.Kind != Struct || t.Label != One || b.locked.Response(op.Option.Id) == noMessage || was.GetResponseField() == "values" {
		return nil
	}
	b.warn("the document no longer describes the answer; the fields stay")
	return &response{keep: true, object: &Object{Keep: true}}
}

func whole(field string, t Type) *response {
	return &response{whole: true, object: &Object{Props: []*Prop{{Name: field, Type: t, Root: true}}}}
}

// responseField is the option that says which field takes the whole document.
func (r *response) responseField() string {
	switch {
	case r.empty || !r.whole:
		return ""
	case r.collection:
		return items
	}
	return Snake(r.object.Props[0].Name)
}

// collect is the message of a collection: items, page_info, and what else the
// document has beside them.
func (r *response) collect(row Type) *Object {
	rows := &Prop{Name: r.rows, Proto: items, Type: row, Bound: r.rows != items, Root: true}
	info := &Prop{
		Name: pageInfo, Proto: pageInfo, Location: apiv1.Location_LOCATION_NONE, Bound: true, Type: Type{Kind: PageInfo},
	}
	return &Object{Props: append([]*Prop{rows, info}, r.object.Props...)}
}

// list tells collections apart: those on one path, with one name and one type of
// rows, are the same. Anything else is by itself; so is a list whose rows are
// described as pages with items of their own, which is not a list of the rows.
func (r *response) list(op *Operation) string {
	pages := r.row.Kind == Message && r.row.Object.prop(items, 0) != nil
	if !r.collection || pages {
		return op.Option.Id
	}
	return fmt.Sprintf("%s %s %s %v", op.Option.Path, r.rows, r.row, wrapped(r.row))
}
