package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A mutator turns a document into the next release of it: what vendors do over
// years, in one step. The same seed makes the same releases.
type mutator struct {
	*rand.Rand
	// rate is the chance that one schema or operation changes.
	rate float64
}

func newMutator(seed uint64, rate float64) *mutator {
	return &mutator{rand.New(rand.NewPCG(seed, 0)), rate}
}

// release gives the document after the changes, under another version.
func (m *mutator) release(t *testing.T, document []byte, version string) []byte {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	doc["info"] = map[string]any{"version": version}
	delete(doc, "x-batchable-actions") // whose rows would lead to nothing
	paths := doc["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		m.path(paths, path)
	}
	paths["/last"] = map[string]any{"get": map[string]any{"operationId": "getLast"}} // never none at all
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (m *mutator) hit() bool { return m.Float64() < m.rate }

func (m *mutator) path(paths map[string]any, path string) {
	item := paths[path].(map[string]any)
	for _, verb := range slices.Sorted(maps.Keys(item)) {
		op, ok := item[verb].(map[string]any)
		if !ok {
			continue
		}
		m.schemas(op)
		if !m.hit() {
			continue
		}
		switch m.IntN(8) {
		case 0:
			delete(item, verb)
		case 1:
			op["operationId"] = fmt.Sprintf("%vRenamed%d", op["operationId"], m.IntN(1000))
		case 2:
			op["tags"] = []any{"moved", "configure", "elsewhere"}
		case 3:
			delete(op, "requestBody")
		case 4:
			op["responses"] = map[string]any{"204": map[string]any{}}
		case 5:
			op["responses"] = answer(m.schema(0))
		case 6:
			op["requestBody"] = map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": m.schema(0)}}}
		case 7:
			name := m.name()
			op["parameters"] = append(list(op["parameters"]), map[string]any{"name": name, "in": "query", "schema": m.schema(3)})
		}
	}
	switch {
	case !m.hit():
	case m.IntN(2) == 0 && !strings.Contains(path, "}x"): // a parameter gets another name
		i := strings.LastIndex(path, "{")
		if i < 0 || paths[path[:i]+"{renamed}"] != nil || strings.Contains(path, "{renamed}") {
			return
		}
		_, rest, _ := strings.Cut(path[i:], "}")
		delete(paths, path)
		paths[path[:i]+"{renamed}"+rest] = item
	default: // the same resource gets an item path
		if paths[path+"/{itemId}"] == nil && !strings.Contains(path, "{itemId}") {
			id := fmt.Sprintf("Item%d", m.IntN(1_000_000))
			paths[path+"/{itemId}"] = map[string]any{
				"get": map[string]any{"operationId": "get" + id, "tags": tags(item), "responses": answer(m.schema(0))},
				"put": map[string]any{"operationId": "update" + id, "tags": tags(item), "responses": answer(m.schema(0))},
			}
		}
	}
}

func answer(schema any) any {
	return map[string]any{"200": map[string]any{"content": map[string]any{"application/json": map[string]any{"schema": schema}}}}
}

func tags(item map[string]any) any {
	for _, verb := range slices.Sorted(maps.Keys(item)) {
		if op, ok := item[verb].(map[string]any); ok && op["tags"] != nil {
			return op["tags"]
		}
	}
	return []any{"untagged"}
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// schemas changes schemas wherever they stand in a value.
func (m *mutator) schemas(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			m.schemas(e)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			m.schemas(v[key])
			if s, ok := v[key].(map[string]any); ok && key == "schema" && m.hit() {
				v[key] = m.change(s)
			}
		}
		props, ok := v["properties"].(map[string]any)
		if !ok {
			return
		}
		for _, name := range slices.Sorted(maps.Keys(props)) {
			s, ok := props[name].(map[string]any)
			if !ok || !m.hit() {
				continue
			}
			switch m.IntN(4) {
			case 0:
				delete(props, name)
			case 1:
				delete(props, name)
				props[m.name()] = s
			case 2:
				props[m.name()] = m.schema(1)
			default:
				props[name] = m.change(s)
			}
		}
	}
}

// change turns one schema into another that is near, or into any.
func (m *mutator) change(s map[string]any) any {
	switch m.IntN(4) {
	case 0:
		return map[string]any{"type": "array", "items": s}
	case 1:
		if items, ok := s["items"].(map[string]any); ok {
			return items
		}
		return map[string]any{"type": "object", "properties": map[string]any{"items": map[string]any{"type": "array", "items": s}, "meta": m.schema(2)}}
	case 2:
		return map[string]any{"type": "object"}
	}
	return m.schema(1)
}

func (m *mutator) schema(depth int) any {
	switch n := m.IntN(12); {
	case n < 3 && depth < 3:
		props := map[string]any{}
		for range m.IntN(4) {
			props[m.name()] = m.schema(depth + 1)
		}
		return map[string]any{"type": "object", "properties": props}
	case n < 5 && depth < 3:
		return map[string]any{"type": "array", "items": m.schema(depth + 1)}
	case n == 5:
		return map[string]any{"type": "object", "additionalProperties": m.schema(depth + 1)}
	case n == 6:
		return map[string]any{"type": "string", "format": "date-time"}
	case n == 7:
		return map[string]any{}
	}
	return map[string]any{"type": []string{"string", "integer", "number", "boolean"}[m.IntN(4)]}
}

// name is a property name that has been or could be used, awkward ones among them.
func (m *mutator) name() string {
	all := []string{
		"id", "name", "items", "meta", "value", "values", "body", "networkId", "serial", "0", "1", "0.5", "nullFields", "pageInfo",
		"fooBar", "foo_bar", "FOO", "_json", "reserved", "message", "optional", "types", "builder", "Item", "perPage", "startingAfter",
		"fooBarV2", "x", "", "[]", "é", "a\nb", "itemsV2", "organizationId",
	}
	return all[m.IntN(len(all))]
}
