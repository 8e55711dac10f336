package model

import (
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// rowKey says what names a row of a collection: the property that fills the
// parameter of the path below the collection, or the row's id; in a list by
// device or by network, the device's serial or the network's id. Anything less
// sure is left to an override, because two rows under one key are one row.
func (b *builder) rowKey(op *Operation) {
	sh := op.shape
	if o := b.overrides[op.Option.Id].RowKey; len(o) > 0 {
		op.Option.RowKey = &apiv1.RowKey{Properties: o}
		for _, path := range o {
			if !sh.collection || sh.row.Kind != Message || !named(sh.row.Object, strings.Split(path, ".")) {
				b.warn("the override of the row's key %s leads to nothing", path)
			}
		}
		return
	}
	if op.Option.Verb != apiv1.Verb_VERB_GET || !sh.collection || sh.row.Kind != Message || wrapped(sh.row) {
		return
	}
	var tries []string
	for _, o := range b.document.Operations {
		name, ok := strings.CutPrefix(openapi.Anonymous(o.Path), openapi.Anonymous(op.Option.Path)+"/")
		if ok && name == "{}" {
			parameters := openapi.PathParameters(o.Path)
			last := parameters[len(parameters)-1]
			tries = append(tries, last)
			if i := strings.LastIndexFunc(last, upper); i > 0 { // vlanId: id
				tries = append(tries, strings.ToLower(last[i:i+1])+last[i+1:])
			}
			break
		}
	}
	tries = append(tries, "id")
	switch id := strings.ToLower(op.Option.Id); {
	case strings.Contains(id, "history"): // a row for each moment
	case strings.HasSuffix(id, "bydevice"), strings.HasSuffix(id, "byswitch"):
		tries = append(tries, "serial", "device.serial")
	case strings.HasSuffix(id, "bynetwork"):
		tries = append(tries, "networkId", "network.id")
	case strings.HasSuffix(id, "devices"):
		tries = append(tries, "serial")
	}
	for _, path := range tries {
		if named(sh.row.Object, strings.Split(path, ".")) {
			op.Option.RowKey = &apiv1.RowKey{Properties: []string{path}}
			return
		}
	}
}

// named reports whether a path leads to one text or whole number.
func named(o *Object, path []string) bool {
	i := slices.IndexFunc(o.Props, func(p *Prop) bool { return p.Name == path[0] })
	if i < 0 || o.Props[i].Type.Label != One {
		return false
	}
	t := o.Props[i].Type
	if len(path) == 1 {
		return t.Kind == String || t.Kind == Int64
	}
	return t.Kind == Message && named(t.Object, path[1:])
}
