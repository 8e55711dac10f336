//go:build openapi

package service_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// An operation is what the vendor's document says of one, read plainly and
// without any of the code under test.
type operation struct {
	method, path string
	parameters   []parameter
	schema       *schema // of the body; nil for none
}

type parameter struct {
	Name, In string
	Schema   schema
}

type schema struct {
	Type                 string
	Format               string
	Properties           map[string]*schema
	Items                *schema
	AdditionalProperties json.RawMessage
	OneOf                []*schema
}

// readDocument reads the vendor's document, plain or gzip, from MERAKI_OPENAPI.
func readDocument(t *testing.T) map[string]*operation {
	t.Helper()
	name := os.Getenv("MERAKI_OPENAPI")
	if name == "" {
		t.Fatal("MERAKI_OPENAPI does not say where the vendor's document is; make document does")
	}
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	buffered := bufio.NewReader(file)
	var in io.Reader = buffered
	if magic, err := buffered.Peek(2); err == nil && magic[0] == 0x1f && magic[1] == 0x8b {
		if in, err = gzip.NewReader(buffered); err != nil {
			t.Fatal(err)
		}
	}
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string
			Parameters  []parameter
			RequestBody *struct {
				Content map[string]struct{ Schema *schema }
			}
		}
	}
	if err := json.NewDecoder(in).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*operation)
	for path, verbs := range doc.Paths {
		for verb, o := range verbs {
			op := &operation{method: strings.ToUpper(verb), path: path, parameters: o.Parameters}
			if o.RequestBody != nil {
				op.schema = o.RequestBody.Content["application/json"].Schema
			}
			all[o.OperationID] = op
		}
	}
	return all
}

// segments are the path's, filled.
func (o *operation) segments(f filler) []string {
	all := strings.Split(o.path, "/")
	for i, s := range all {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			all[i] = f.pathText(strings.TrimSuffix(name, "}"))
		}
	}
	return all
}

// segments takes an escaped path apart.
func segments(path string) []string {
	all := strings.Split(path, "/")
	for i := range all {
		if plain, err := url.PathUnescape(all[i]); err == nil {
			all[i] = plain
		}
	}
	return all
}

// query is every parameter as the vendor's documentation writes it: lists as
// name[], lists of objects as name[]key, objects as name[key].
func (o *operation) query(f filler) url.Values {
	values := make(url.Values)
	for _, p := range o.parameters {
		if p.In != "query" || !f.paging && pagingToken(p.Name) {
			continue
		}
		s := &p.Schema
		if len(s.OneOf) > 0 {
			i := slices.IndexFunc(s.OneOf, func(s *schema) bool { return s.Type == "object" })
			s = s.OneOf[i]
		}
		switch {
		case s.Type == "array" && s.Items.Type == "object":
			for range 2 {
				for name, property := range s.Items.Properties {
					values.Add(p.Name+"[]"+name, f.text(property))
				}
			}
		case s.Type == "array":
			values[p.Name+"[]"] = []string{f.text(s.Items), f.text(s.Items)}
		case s.Type == "object":
			for name, property := range s.Properties {
				values.Add(p.Name+"["+name+"]", f.text(property))
			}
		default:
			values.Set(p.Name, f.text(s))
		}
	}
	return values
}

func (o *operation) body(f filler) (any, bool) {
	if o.schema == nil {
		return nil, false
	}
	return f.json(o.schema), true
}

// json is the sample value of a schema.
func (f filler) json(s *schema) any {
	switch s.Type {
	case "string":
		if s.Format == "date-time" {
			return sampleTime
		}
		return sampleText
	case "integer":
		return float64(sampleInteger)
	case "number":
		return sampleNumber
	case "boolean":
		return true
	case "array":
		return []any{f.json(s.Items), f.json(s.Items)}
	}
	switch {
	case numericKeys(s.Properties):
		for _, name := range sortedKeys(s.Properties) {
			return map[string]any{sampleKey: f.json(s.Properties[name])}
		}
	case len(s.Properties) > 0:
		out := make(map[string]any, len(s.Properties))
		for name, property := range s.Properties {
			out[name] = f.json(property)
		}
		return out
	}
	var additional schema
	if json.Unmarshal(s.AdditionalProperties, &additional) == nil && additional.Type != "" {
		return map[string]any{sampleKey: f.json(&additional)}
	}
	return map[string]any{sampleKey: sampleText}
}

// text is the sample value as a query writes it.
func (f filler) text(s *schema) string {
	switch v := f.json(s).(type) {
	case string:
		return v
	case bool:
		return "true"
	case float64:
		if v == sampleNumber {
			return "1.5"
		}
		return "5"
	}
	return ""
}

func numericKeys(properties map[string]*schema) bool {
	for name := range properties {
		if strings.Trim(name, "0123456789") != "" {
			return false
		}
	}
	return len(properties) > 0
}

func sortedKeys(m map[string]*schema) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
