package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/lock"
)

// FuzzGenerate gives the generator two documents, the second on top of what the
// first made. Either is refused with one line, or what is made compiles, can be
// served, keeps all that was there and is made again byte for byte.
func FuzzGenerate(f *testing.F) {
	all, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(all) == 0 {
		f.Fatalf("no documents: %v", err)
	}
	var seeds [][]byte
	for _, p := range all {
		text, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, text)
	}
	for i, a := range seeds {
		f.Add(a, seeds[(i+1)%len(seeds)])
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		if len(first)+len(second) > 1<<16 {
			return
		}
		before := try(t, first, nil)
		if before == nil {
			return
		}
		after := try(t, second, before.files)
		if after == nil {
			return
		}
		for _, line := range lock.Broken(mustCompile(t, before.files), mustCompile(t, after.files)) {
			t.Error(line)
		}
	})
}

// try generates; nil when the document is refused.
func try(t *testing.T, document []byte, lying map[string][]byte) *output {
	t.Helper()
	made, err := generate(context.Background(), document, protos(lying))
	if err != nil {
		if strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "the generator is wrong") ||
			strings.Contains(err.Error(), "the lock") {
			t.Fatal(err)
		}
		return nil
	}
	again, err := generate(context.Background(), document, protos(made.files))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(made.files, again.files, bytes.Equal) {
		t.Errorf("a second run makes something else%s", firstDifference(made.files, again.files))
	}
	files, err := lock.Compile(context.Background(), protos(made.files))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range unservable(files) {
		t.Error(line)
	}
	return made
}
