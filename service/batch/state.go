package batch

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// ended tells whether a state is a job's last: one of the ends holds.
func ended(ends []*apiv1.JobEnd, state []byte) bool {
	v := decode(state)
	return slices.ContainsFunc(ends, func(e *apiv1.JobEnd) bool {
		found := at(v, strings.Split(e.GetProperty(), "."))
		return len(found) > 0 && !slices.ContainsFunc(found, func(text string) bool { return !slices.Contains(e.GetValues(), text) })
	})
}

// property gives the text at a path of names; empty when there is none, or more than one.
func property(document []byte, path string) string {
	if found := at(decode(document), strings.Split(path, ".")); len(found) == 1 {
		return found[0]
	}
	return ""
}

// at gives the scalars at a path of names, where [] behind a name stands for all
// elements of a list. An element without the property counts as an empty text.
func at(v any, path []string) []string {
	if len(path) == 0 {
		switch v := v.(type) {
		case string:
			return []string{v}
		case bool, json.Number:
			text, err := json.Marshal(v)
			if err != nil {
				return nil
			}
			return []string{string(text)}
		}
		return []string{""}
	}
	object, ok := v.(map[string]any)
	if !ok {
		return []string{""}
	}
	name, list := strings.CutSuffix(path[0], "[]")
	if !list {
		return at(object[name], path[1:])
	}
	rows, _ := object[name].([]any)
	var out []string
	for _, row := range rows {
		out = append(out, at(row, path[1:])...)
	}
	return out
}

// same tells whether two JSON documents have the same values.
func same(a, b []byte) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(decode(a), decode(b))
}

// decode reads JSON with its numbers as they stand; nil for what is no JSON.
func decode(document []byte) any {
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// leading gives the JSON document with which a text begins; nil when there is none.
func leading(text string) []byte {
	var raw json.RawMessage
	if json.NewDecoder(strings.NewReader(text)).Decode(&raw) != nil {
		return nil
	}
	return raw
}
