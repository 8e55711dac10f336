package model

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// Names and numbers that fields of our own have in every message that has them.
// The numbers are the last whose tags take two bytes.
const (
	AdditionalProperties       = "additional_properties"
	AdditionalPropertiesNumber = 2047
	NullFieldsNumber           = 2046
	EmptyFieldsNumber          = 2045
	PageInfoNumber             = 2044
	ItemsNumber                = 2043

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
	o := &Object{Closed: true}
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
	fields := b.body(op)
	o.Closed = !put || op.Option.RequestField != ""
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
	for _, p := range []*Prop{{Name: emptyFields, Number: EmptyFieldsNumber}, {Name: nullFields, Number: NullFieldsNumber}} {
		p.Proto, p.Location, p.Bound = p.Name, apiv1.Location_LOCATION_NONE, true
		p.Type = Type{Label: Many, Kind: Paths}
		o.Props = append(o.Props, p)
	}
	return o
}

// asBody is the property that stands for the whole body in the vendor's own
// framework, which documents a list so.
const asBody = "_json"

// body gives the properties of an object, or the one field that is the whole
// body when it is anything else. What is free-form needs no field: it goes into
// the additional properties.
func (b *builder) body(op *Operation) []*Prop {
	t := b.typeOf(op.source.Body, 0)
	if t.Label == One && t.Kind == Message {
		b.correct(op, "request", t.Object)
		if p := t.Object.prop(asBody, 0); p == nil || len(t.Object.Props) > 1 {
			return t.Object.Props
		}
		t = t.Object.Props[0].Type
	}
	if b.locked.Described(op.Option.Id) && t.Label == One && (t.Kind == Message || t.Kind == Struct) || t.Label == One && t.Kind == Struct {
		return nil
	}
	op.Option.RequestField = "body"
	if t.Label == Many {
		op.Option.RequestField = items
	}
	root := &Prop{Name: op.Option.RequestField, Proto: op.Option.RequestField, Type: t, Root: true}
	if root.Name == items {
		root.Number = ItemsNumber
	}
	return []*Prop{root}
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
