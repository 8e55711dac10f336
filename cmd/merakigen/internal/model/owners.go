package model

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// ownerNames are the names of properties whose text names an organization, a
// network or a device, in the order in which they are tried. `ids?` counts below
// an object that is called after one.
var ownerNames = []struct {
	path *regexp.Regexp
	kind apiv1.NamedOwner_Kind
}{
	{regexp.MustCompile(`(?i)organizations?(id|ids|\.ids?|\[\]\.ids?)$`), apiv1.NamedOwner_KIND_ORGANIZATION},
	{regexp.MustCompile(`(?i)networks?(id|ids|\.ids?|\[\]\.ids?)$`), apiv1.NamedOwner_KIND_NETWORK},
	{regexp.MustCompile(`(?i)serials?$`), apiv1.NamedOwner_KIND_DEVICE},
}

var ownerKinds = map[string]apiv1.NamedOwner_Kind{
	"organization": apiv1.NamedOwner_KIND_ORGANIZATION,
	"network":      apiv1.NamedOwner_KIND_NETWORK,
	"device":       apiv1.NamedOwner_KIND_DEVICE,
	"resource":     apiv1.NamedOwner_KIND_RESOURCE,
}

// owners lists the properties of the query and of the body that name something
// with an owner: those whose names say so, and those that an override adds.
func (b *builder) owners(op *Operation) {
	more := b.overrides[op.Option.Id].Owners
	found := make(map[string]bool)
	var walk func(o *Object, at string, where apiv1.Location)
	walk = func(o *Object, at string, where apiv1.Location) {
		for _, p := range o.Props {
			location := cmp.Or(where, p.Location)
			if location != apiv1.Location_LOCATION_QUERY && location != apiv1.Location_LOCATION_BODY {
				continue
			}
			path := at + p.Name
			if p.Root && p.Type.Label == Many { // the list is the body
				path = ""
			}
			if p.Type.Kind == Message {
				walk(p.Type.Object, below(path, p.Type), location)
				continue
			}
			kind := ownerKinds[more[path]]
			for _, n := range ownerNames {
				if kind == 0 && (p.Type.Kind == String || p.Type.Kind == Int64) && p.Type.Label != Map && n.path.MatchString(path) {
					kind = n.kind
				}
			}
			if kind != 0 {
				found[path] = true
				op.Option.NamedOwners = append(op.Option.NamedOwners, &apiv1.NamedOwner{Property: path, Location: location, Kind: kind})
			}
		}
	}
	walk(op.Request, "", 0)
	for path := range more {
		if !found[path] {
			b.warn("the override of the owner %s leads to nothing", path)
		}
	}
	slices.SortFunc(op.Option.NamedOwners, func(x, y *apiv1.NamedOwner) int {
		return cmp.Or(cmp.Compare(x.Location, y.Location), strings.Compare(x.Property, y.Property))
	})
}

// below is the prefix of the paths of what stands in a property.
func below(path string, t Type) string {
	switch t.Label {
	case Many:
		path += "[]"
	case Map:
		path += ".*"
	}
	if path == "" {
		return ""
	}
	return path + "."
}
