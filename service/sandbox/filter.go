package sandbox

import (
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// filters are the query parameters by which collections can be narrowed, and
// where in a row each is looked up. Others are accepted and change nothing.
var filters = map[string][]string{
	"serials": {"serial", "device.serial"}, "networkIds": {"networkId", "network.id"}, "macs": {"mac", "device.mac"}, "models": {"model", "device.model"},
	"serial": {"serial", "device.serial"}, "mac": {"mac", "device.mac"}, "model": {"model", "device.model"}, "name": {"name", "device.name"},
	"productTypes": {"productType", "productTypes", "device.productType"}, "tags": {"tags"}, "moveIds": {"moveId"},
}

// A rowFilter is what a query asks of the rows: for each place, one of some values.
type rowFilter []condition

type condition struct {
	paths  []string
	values []string
	part   bool // a part of the value will do
}

// filters reads the query; nil when it narrows nothing.
func (l *listing) filters() rowFilter {
	if l.c.r.URL.RawQuery == "" || l.d.row == nil {
		return nil
	}
	var out rowFilter
	for k, v := range l.c.query() {
		name := strings.TrimSuffix(k, "[]")
		paths := filters[name]
		if len(paths) == 0 || !slices.ContainsFunc(paths, l.d.row.Has) {
			continue
		}
		out = append(out, condition{paths: paths, values: v, part: k == "name" || k == "mac"})
	}
	if l.c.route.op.GetId() == "getOrganizationActionBatches" {
		if status := l.c.queryValue("status"); status != "" {
			out = append(out, condition{paths: []string{"status"}, values: []string{status}})
		}
	}
	return out
}

func (w rowFilter) match(row map[string]any) bool {
	for _, c := range w {
		if !c.match(row) {
			return false
		}
	}
	return true
}

func (c condition) match(row map[string]any) bool {
	for _, path := range c.paths {
		if path == "status" {
			if o, ok := row["status"].(map[string]any); ok {
				return slices.Contains(c.values, batchState(o))
			}
		}
		for _, have := range append(document.Texts(row[path]), document.TextAt(row, path)) {
			for _, want := range c.values {
				if have != "" && (have == want || (c.part && strings.Contains(have, want))) {
					return true
				}
			}
		}
	}
	return false
}
