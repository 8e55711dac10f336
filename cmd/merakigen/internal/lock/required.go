package lock

import (
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// required corrects the option's required lists: a field that has kept another type
// than the document describes, or shares one with an answer, may have no such place.
func (s *settler) required(op *model.Operation) {
	op.Option.RequiredLists = slices.DeleteFunc(op.Option.RequiredLists, func(path string) bool { return !s.leads(op, path) })
}

// leads reports whether a path of required_lists leads to a list or map.
func (s *settler) leads(op *model.Operation, path string) bool {
	n := s.roots[op.RequestName]
	steps := strings.Split(path, ".")
	var typ model.Type
	for i, step := range steps {
		if step == "*" { // what the map holds, whose node is here already
			continue
		}
		name, isList := strings.CutSuffix(step, "[]")
		at := slices.IndexFunc(n.places, func(p *place) bool {
			if i == 0 && name == "" {
				return p.prop.Root
			}
			return p.prop.Name == name && (i > 0 || p.prop.Location == apiv1.Location_LOCATION_BODY)
		})
		if at < 0 {
			return false
		}
		p := n.places[at]
		if typ = p.typ; p.field != nil {
			typ = typeOf(p.field)
		}
		if i == len(steps)-1 {
			break
		}
		want := model.One
		switch {
		case isList:
			want = model.Many
		case steps[i+1] == "*":
			want = model.Map
		}
		if n = p.node; n == nil || typ.Kind != model.Message || typ.Label != want {
			return false
		}
	}
	return typ.Label != model.One || typ.Kind == model.ListValue
}
