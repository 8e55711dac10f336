package model

import (
	"slices"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// TestRequiredLists: lists and maps of the body at any depth, and nothing of the
// path and the query, no scalar, no object, and not the list that is the body.
func TestRequiredLists(t *testing.T) {
	t.Parallel()
	of := func(name string, required bool, typ Type) *Prop {
		return &Prop{Name: name, Type: typ, Facts: Facts{Required: required}}
	}
	top := func(p *Prop, where apiv1.Location) *Prop { p.Location = where; return p }
	texts, text := Type{Label: Many, Kind: String}, Type{Kind: String}
	inner := &Object{Props: []*Prop{of("ids", true, texts), of("name", true, text), of("tags", false, texts), of("odd.name", true, texts)}}
	const body = apiv1.Location_LOCATION_BODY
	for name, row := range map[string]struct {
		request []*Prop
		want    []string
	}{
		"at the top": {[]*Prop{top(of("z", true, texts), body), top(of("a", true, Type{Kind: ListValue}), body), top(of("m", true, Type{Label: Map, Kind: Int64}), body),
			top(of("o", true, Type{Kind: Struct}), body), top(of("n", false, texts), body)}, []string{"a", "m", "z"}},
		"elsewhere": {[]*Prop{top(of("serials", true, texts), apiv1.Location_LOCATION_QUERY), top(of("id", true, text), apiv1.Location_LOCATION_PATH)}, nil},
		"inside": {[]*Prop{top(of("rows", true, Type{Label: Many, Kind: Message, Object: inner}), body), top(of("one", false, Type{Kind: Message, Object: inner}), body),
			top(of("by", false, Type{Label: Map, Kind: Message, Object: inner}), body)}, []string{"by.*.ids", "one.ids", "rows", "rows[].ids"}},
		"lists of lists": {[]*Prop{top(of("grid", true, Type{Label: Many, Kind: Message, Object: Wrapper(texts)}), body)}, []string{"grid"}},
		"the whole body": {[]*Prop{top(&Prop{Name: "items", Root: true, Facts: Facts{Required: true}, Type: Type{Label: Many, Kind: Message, Object: inner}}, body)}, []string{"[].ids"}},
	} {
		op := &Operation{Option: &apiv1.Operation{}, Request: &Object{Props: row.request}}
		requiredLists(op)
		if got := op.Option.GetRequiredLists(); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
