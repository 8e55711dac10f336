package model

import (
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// requiredLists lists the lists and maps that the document requires in the body,
// at any depth. A list that is the whole body is required by being it.
func requiredLists(op *Operation) {
	var walk func(o *Object, at string)
	walk = func(o *Object, at string) {
		for _, p := range o.Props {
			if strings.ContainsAny(p.Name, ".[]*") || at == "" && p.Location != apiv1.Location_LOCATION_BODY {
				continue
			}
			path := at + p.Name
			switch {
			case p.Root:
				path = ""
			case p.Facts.Required && (p.Type.Label != One || p.Type.Kind == ListValue):
				op.Option.RequiredLists = append(op.Option.RequiredLists, path)
			}
			if p.Type.Kind == Message && !wrapped(p.Type) {
				walk(p.Type.Object, below(path, p.Type))
			}
		}
	}
	walk(op.Request, "")
	slices.Sort(op.Option.RequiredLists)
}
