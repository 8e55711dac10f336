//go:build openapi

package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestDocumentOlder lets a contract live through real releases of the vendor's
// document, forth and back. Each step keeps what the one before has, which the
// generator itself sees to; a second run makes the same bytes; a release that
// comes again makes what it made; and a client with the protos of any step is
// served by the newest: all that it can ask is sent, and all that it can read
// comes, in the fields that it knows.
func TestDocumentOlder(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("MERAKI_OPENAPI_OLDER")
	if dir == "" {
		t.Fatal("MERAKI_OPENAPI_OLDER has to name the directory of the older OpenAPI documents")
	}
	_, newest := realDocument(t)
	older := func(version string) []byte {
		data, err := readDocument(filepath.Join(dir, "openapi-"+version+".json.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	middle := older("1.72.0")
	var steps []*output
	lying := map[string][]byte{}
	for _, document := range [][]byte{older("1.42.0"), middle, newest, middle, newest} {
		made := mustGenerate(t, document, lying)
		steps = append(steps, made)
		lying = made.files
	}
	last := steps[len(steps)-1]
	if again := mustGenerate(t, newest, last.files); !maps.EqualFunc(last.files, again.files, bytes.Equal) {
		t.Errorf("a second run makes something else%s", firstDifference(last.files, again.files))
	}
	if !maps.EqualFunc(steps[2].files, last.files, bytes.Equal) {
		t.Errorf("the release that came again makes something else%s", firstDifference(steps[2].files, last.files))
	}
	broker := contractOf(t, mustCompile(t, last.files))
	for i, step := range steps[:len(steps)-1] {
		asked := 0
		for _, m := range contractOf(t, mustCompile(t, step.files)).Methods() {
			asked++
			oldClient(t, m, broker.RPC(m.Name))
		}
		t.Logf("step %d: %d RPCs of the older client are served", i+1, asked)
	}
}
