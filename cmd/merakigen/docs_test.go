package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
)

// TestDocs: what the pages say of the contract is what is counted.
func TestDocs(t *testing.T) {
	t.Parallel()
	pages, err := docPages(context.Background(), "../../proto/meraki", "../../docs")
	if err != nil {
		t.Fatal(err)
	}
	for page, want := range pages {
		have, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what is counted%s: go run ./cmd/merakigen -docs docs", page, firstDifference(map[string][]byte{page: have}, map[string][]byte{page: want}))
		}
	}
}

// TestCount: the figures of a small contract.
func TestCount(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("testdata/accessors/1.json")
	if err != nil {
		t.Fatal(err)
	}
	files := mustCompile(t, mustGenerate(t, document, nil).files)
	// Two requests, the resource with a message inside, and nothing else.
	want := figures{files: 2, rpcs: 2, messages: 4, top: 3, fields: 1 + 13 + 16 + 4, shared: 1}
	if have := count(files); have != want {
		t.Errorf("%+v, want %+v", have, want)
	}
	if table := want.table("1.0.0"); !strings.Contains(table, "| messages | 4 |") || thousands(1_017_189) != "1,017,189" {
		t.Error(table)
	}
}

// TestNames: a field with a name that a language has already is in its row.
func TestNames(t *testing.T) {
	t.Parallel()
	document := []byte(`{"openapi":"3.0.1","info":{"version":"1"},"paths":{"/networks/{networkId}/a":{"get":{"operationId":"getNetworkA","tags":["networks"],
		"parameters":[{"name":"networkId","in":"path","required":true,"schema":{"type":"string"}}],
		"responses":{"200":{"content":{"application/json":{"schema":{"type":"object","properties":{"send":{"type":"string"},"in":{"type":"string"},"operator":{"type":"string"}}}}}}}}}}}`)
	table := nameTable(mustCompile(t, mustGenerate(t, document, nil).files))
	for _, row := range []string{"| Ruby | `send` |", "| Python | `in` |", "| C++ | `operator` |", "| Rust (prost) | `in` |"} {
		if !strings.Contains(table, row) {
			t.Errorf("no %s in\n%s", row, table)
		}
	}
	if strings.Contains(table, "| Go |") {
		t.Errorf("Go has none of them:\n%s", table)
	}
	for _, page := range []string{"", "<!-- merakigen: names -->\n", "<!-- /merakigen: names -->\n<!-- merakigen: names -->\n"} {
		if _, err := between([]byte(page), "names", table); err == nil || !strings.Contains(err.Error(), "merakigen: names") {
			t.Errorf("%q: %v", page, err)
		}
	}
}
