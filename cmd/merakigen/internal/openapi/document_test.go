package openapi

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// around is a document with one operation whose answer has the schema.
func around(schema string) []byte {
	return []byte(`{"openapi":"3.1.0","info":{"version":"1"},"components":{"schemas":{
		"Base":{"type":"object","properties":{"id":{"type":"string"}}},
		"Loop":{"type":"object","properties":{"next":{"$ref":"#/components/schemas/Loop"}}},
		"a/b":{"type":"integer"}}},
		"paths":{"/a/{id}":{"parameters":[{"name":"id","in":"path"}],"get":{"operationId":"getA",
		"responses":{"404":{},"204":{},"200":{"content":{"application/json":{"schema":` + schema + `}}}}}}}}`)
}

func TestSchema(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"type":"string"}`:                    "string",
		`{"type":["string","null"]}`:           "string",
		`{"type":["integer","number"]}`:        "number",
		`{"type":["integer","string"]}`:        "",
		`{"properties":{"a":{}}}`:              "object",
		`{"items":{}}`:                         "array",
		`{}`:                                   "",
		`{"$ref":"#/components/schemas/Base"}`: "object",
		`{"$ref":"#/components/schemas/a~1b"}`: "integer",
		`{"$ref":"#/components/schemas/none"}`: "",
		`{"allOf":[{"$ref":"#/components/schemas/Base"},{"properties":{"b":{}}}]}`: "object",
		`{"oneOf":[{"type":"null"},{"type":"integer"}]}`:                           "integer",
		`{"type":"nonsense"}`: "",
		`true`:                "",
		`{"type":"object","properties":{"x":{"$ref":"#/components/schemas/Loop"}}}`:    "object",
		`{"anyOf":[{"$ref":"#/components/schemas/Loop"},{"type":"array","items":{}}]}`: "",
	} {
		d, err := Parse(around(schema))
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			continue
		}
		op := d.Operations[0]
		if got := op.Response.Type(); got != want || op.Status != "200" {
			t.Errorf("%s is %q with status %s, want %q", schema, got, op.Status, want)
		}
		if len(op.Parameters) != 1 || !op.Parameters[0].Required {
			t.Errorf("the parameter of the path is %v", op.Parameters)
		}
	}
}

// TestLoop: a schema that holds itself ends in one that says nothing.
func TestLoop(t *testing.T) {
	t.Parallel()
	d, err := Parse(around(`{"$ref":"#/components/schemas/Loop"}`))
	if err != nil {
		t.Fatal(err)
	}
	next := d.Operations[0].Response.Property("next")
	if next == nil || next.Schema.Type() != "" {
		t.Errorf("next is %+v", next)
	}
}

// TestBomb: references that multiply end in an error, not in all memory.
func TestBomb(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString(`{"openapi":"3.0.1","info":{"version":"1"},"components":{"schemas":{"s0":{"type":"string"}`)
	for i := range 40 {
		fmt.Fprintf(&b, `,"s%d":{"properties":{"a":{"$ref":"#/components/schemas/s%d"},"b":{"$ref":"#/components/schemas/s%d"}}}`, i+1, i, i)
	}
	b.WriteString(`}},"paths":{"/a":{"get":{"operationId":"getA","responses":{"200":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/s40"}}}}}}}}}`)
	if _, err := Parse([]byte(b.String())); err == nil || !strings.Contains(err.Error(), "more schemas") {
		t.Errorf("the error is %v", err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	if got, want := PathParameters("/a/{b}/c/{d}/{b}"), []string{"b", "d"}; !slices.Equal(got, want) {
		t.Errorf("parameters %v, want %v", got, want)
	}
	if got, want := Anonymous("/a/{b}/c/{d}"), "/a/{}/c/{}"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzParse: whatever comes, a document or one line that says why not.
func FuzzParse(f *testing.F) {
	f.Add(around(`{"type":"string"}`))
	f.Add(around(`{"allOf":[{"$ref":"#/components/schemas/Loop"}]}`))
	f.Add([]byte(`{"openapi":"3.0.1","info":{"version":"1"},"paths":{"/a":{"$ref":"#/paths/~1a"}}}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		switch {
		case err == nil && len(d.Operations) == 0:
			t.Error("neither operations nor an error")
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("more than one line: %q", err)
		}
	})
}
