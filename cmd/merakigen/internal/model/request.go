package model

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// Names that fields of our own have in every message that has them.
const (
	nullFields  = "null_fields"
	emptyFields = "empty_fields"
	pageInfo    = "page_info"
	items       = "items"
)

// request is one flat message: path parameters, query parameters, body fields,
// and the two masks that can say what proto3 cannot.
func (b *builder) request(op *Operation) *Object {
	b.asking = true
	defer func() { b.asking = false }()
	o := new(Object)
	put := op.Option.Verb == apiv1.Verb_VERB_PUT || op.Option.Verb == apiv1.Verb_VERB_POST ||
		op.source.Method == "PATCH"
	for _, p := range op.source.Parameters {
		if !plain(p.Name) {
			b.warn("a parameter named %q is passed over", p.Name)
			continue
		}
		prop := &Prop{Name: p.Name, Facts: facts(p.Schema), Deprecated: p.Deprecated || p.Schema.Deprecated}
		prop.Facts.Required = p.Required
		if p.In == "path" {
			prop.Location = apiv1.Location_LOCATION_PATH
			prop.Type = b.pathType(p.Schema)
		} else {
			prop.Location = apiv1.Location_LOCATION_QUERY
			prop.Type = b.queryType(p.Schema)
			prop.Bound = put
			if o.prop(p.Name, apiv1.Location_LOCATION_PATH) != nil {
				prop.Proto, prop.Bound = "query_"+Snake(p.Name), true
			}
		}
		o.Props = append(o.Props, prop)
	}
	body := op.source.Body
	if body == nil {
		return o
	}
	if op.Option.Verb == apiv1.Verb_VERB_GET {
		b.warn("the body of a GET is passed over")
		return o
	}
	fields, keep := b.body(op)
	o.Keep = keep
	for _, p := range fields {
		p.Location = apiv1.Location_LOCATION_BODY
		p.Bound = p.Bound || !put
		twin := slices.ContainsFunc(o.Props, func(q *Prop) bool {
			return q.Name == p.Name && q.Location != apiv1.Location_LOCATION_BODY
		})
		if twin {
			p.Proto, p.Bound = "body_"+Snake(p.Name), true
		}
		o.Props = append(o.Props, p)
	}
	for _, name := range []string{nullFields, emptyFields} {
		o.Props = append(o.Props, &Prop{
			Name: name, Proto: name, Location: apiv1.Location_LOCATION_NONE, Bound: true, Type: Type{Kind: FieldMask},
		})
	}
	return o
}

// body gives the properties of an object, or the one field that is the whole
// body when it is anything else. As with answers, what was free-form stays so,
// and what was described keeps its fields when the description is gone.
func (b *builder) body(op *Operation) (fields []*Prop, keep bool) {
	t := b.typeOf(op.source.Body, 0)
	was := b.locked.Operation(op.Option.Id)
	if b.locked.FreeBody(op.Option.Id) && t.Label == One && (t.Kind == Message || t.Kind == Struct) {
		if t.Kind == Message {
			b.warn("the body stays free-form; the document describes it now")
		}
		op.Option.RequestField = "body"
		return []*Prop{{Name: "body", Type: Type{Kind: Struct}, Root: true}}, false
	}
	if t.Label == One && t.Kind == Message {
		b.retype(op, "request", t.Object)
		return t.Object.Props, false
	}
	if was != nil && was.GetRequestField() == "" && t.Label == One && t.Kind == Struct && b.locked.Described(op.Option.Id) {
		b.warn("the document no longer describes the body; the fields stay")
		return nil, true
	}
	op.Option.RequestField = "body"
	if t.Label == Many {
		op.Option.RequestField = items
	}
	return []*Prop{{Name: op.Option.RequestField, Type: t, Root: true}}, false
}

// The ways in which the document words the range and the default of perPage.
var (
	acceptable = regexp.MustCompile(`(?i)range is (\d+) ?- ?(\d+)`)
	byDefault  = regexp.MustCompile(`(?i)defaults? (?:is|to) (\d+)`)
)

// page reads the paging of an operation off its parameters.
func (b *builder) page(op *Operation) {
	if op.Option.Verb != apiv1.Verb_VERB_GET {
		return
	}
	paging := &apiv1.Paging{Style: apiv1.PagingStyle_PAGING_STYLE_BOUNDED}
	found := false
	for _, p := range op.source.Parameters {
		switch {
		case p.In != "query":
		case p.Name == "startingAfter", p.Name == "endingBefore":
			paging.Style = apiv1.PagingStyle_PAGING_STYLE_LINK
		case p.Name == "perPage":
			found = true
			op.PerPageMin = integer(p.Schema.Minimum)
			paging.PerPageMax, paging.PerPageDefault = integer(p.Schema.Maximum), integer(p.Schema.Default)
			text := p.Description + "\n" + p.Schema.Description
			if m := acceptable.FindStringSubmatch(text); m != nil {
				op.PerPageMin, paging.PerPageMax = integer(m[1]), integer(m[2])
			}
			if m := byDefault.FindStringSubmatch(text); m != nil {
				paging.PerPageDefault = integer(m[1])
			}
		}
	}
	if found {
		op.Option.Paging = paging
	}
}

func integer(s string) int32 {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, ".0"), 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int32(n)
}
