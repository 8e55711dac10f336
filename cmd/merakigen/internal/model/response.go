package model

import (
	"fmt"
	"slices"
	"strings"

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
	// free: a field takes the whole document as a free-form object, and the fields
	// of what the document describes now stand beside it.
	free bool
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
		if k := b.locked.FreeAnswer(op.Option.Id); k == Value || k == Struct {
			return whole("value", Type{Kind: k}) // the field stays, for the releases that describe it
		}
		return &response{empty: true, object: new(Object)}
	}
	t := b.typeOf(s, 0)
	if t.Object != nil && !wrapped(t) {
		b.correct(op, "response", t.Object)
	}
	if t.Label == One && t.Kind == Message && b.listed(op) {
		t.Label = Many
	}
	if r := b.lockedShape(op, t); r != nil {
		return r
	}
	switch {
	case t.Label == Many && t.Kind == Message && !wrapped(t) && pages(t.Object):
		// A list of pages is described where one page comes.
		r := rowsIn(t.Object, items)
		r.whole = true
		return r
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
	if r := rowsIn(t.Object, name); r != nil {
		return r
	}
	if op.Option.Paging != nil {
		t.Label = Many
		return &response{collection: true, row: t, rows: items, object: new(Object), whole: true}
	}
	return &response{object: t.Object}
}

// rowsIn is the shape of an object that has its rows in the named list; nil when
// it has no such list.
func rowsIn(o *Object, name string) *response {
	i := slices.IndexFunc(o.Props, func(p *Prop) bool { return p.Name == name })
	if i < 0 || o.Props[i].Type.Label != Many {
		return nil
	}
	return &response{
		collection: true, row: o.Props[i].Type, rows: name, object: &Object{Props: slices.Delete(slices.Clone(o.Props), i, i+1)},
	}
}

// pages reports whether an object is a page of rows: items and meta, and nothing
// else.
func pages(o *Object) bool {
	return rowsIn(o, items) != nil && len(o.Props) == 2 && o.prop("meta", 0) != nil
}

// lockedShape is what the lock says about answers of free form: a field that
// takes any object, or any value, goes on to do so, beside the fields of an object
// that is described now; and an answer with fields gets no other field when the
// document stops to describe it: its additional properties take what comes. Nil
// when the document decides.
func (b *builder) lockedShape(op *Operation, t Type) *response {
	was := b.locked.Operation(op.Option.Id)
	if was == nil || t.Label == Many || t.Kind == ListValue {
		return nil
	}
	oneRow := t.Label == One && t.Kind == Struct && op.Option.Paging != nil && b.locked.FreeRows(op.Option.Id) // as in response
	if isItems(was.GetResponseField()) && (t.Label == Map || t.Kind != Message) && !oneRow {
		return &response{object: new(Object)}
	}
	switch k := b.locked.FreeAnswer(op.Option.Id); {
	case (k == Struct || k == Value) && t.Kind == Message && t.Label == One:
		r := whole("value", Type{Kind: k})
		r.whole, r.free = false, true
		r.object.Props[0].Facts.Whole = true
		r.object.Props = append(r.object.Props, t.Object.Props...)
		return r
	case k == Struct:
		return whole("value", Type{Kind: k})
	case k == Value:
		return whole("value", t)
	case was.GetResponseField() != "":
	case t.Label == One && t.Kind != Message, t.Label == Map && b.locked.Typed(op.Option.Id):
		return &response{object: new(Object)}
	}
	return nil
}

// isItems reports whether a field is the rows, perhaps in a later version.
func isItems(field string) bool { return field == items || strings.HasPrefix(field, items+"_v") }

func whole(field string, t Type) *response {
	root := &Prop{Name: field, Proto: field, Location: apiv1.Location_LOCATION_NONE, Bound: true, Type: t, Root: true}
	return &response{whole: true, object: &Object{Props: []*Prop{root}}}
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
	rows := &Prop{Name: r.rows, Proto: items, Number: ItemsNumber, Type: row, Bound: r.rows != items, Root: true}
	info := &Prop{
		Name: pageInfo, Proto: pageInfo, Number: PageInfoNumber, Location: apiv1.Location_LOCATION_NONE, Bound: true,
		Type: Type{Kind: PageInfo},
	}
	return &Object{Props: append([]*Prop{rows, info}, r.object.Props...)}
}

// list tells collections apart: those on one path, with one name and one type of
// rows, are the same. Anything else is by itself.
func (r *response) list(op *Operation) string {
	if !r.collection {
		return op.Option.Id
	}
	return fmt.Sprintf("%s %s %s %v", op.Option.Path, r.rows, r.row, wrapped(r.row))
}
