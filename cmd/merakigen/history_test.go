package main

import (
	"bytes"
	"fmt"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/lock"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// TestHistories lets the documents of testdata live through random releases:
// whatever changes, numbers and types stay, and everything can be served.
func TestHistories(t *testing.T) {
	t.Parallel()
	all, err := filepath.Glob("testdata/*/1.json")
	if err != nil || len(all) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	for i, p := range all {
		t.Run(filepath.Base(filepath.Dir(p)), func(t *testing.T) {
			t.Parallel()
			document, err := os.ReadFile(p)
			if err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(4) {
				releases(t, document, map[string][]byte{}, newMutator(seed*100+uint64(i), 0.25), 4)
			}
		})
	}
}

// TestHistoriesOfOld: random releases in which something was wrong once.
func TestHistoriesOfOld(t *testing.T) {
	t.Parallel()
	for _, h := range []struct {
		what, document string
		seed           uint64
		rate           float64
	}{
		{"a body that was a list is an object with items", "oddities", 200052, 0.1},
		{"a property pageInfo that has another name in the proto, beside pages of our own", "accessors", 300040, 0.15},
	} {
		t.Run(h.what, func(t *testing.T) {
			t.Parallel()
			document, err := os.ReadFile(filepath.Join("testdata", h.document, "1.json"))
			if err != nil {
				t.Fatal(err)
			}
			releases(t, document, map[string][]byte{}, newMutator(h.seed, h.rate), 7)
		})
	}
}

// releases generates from one release after the other, on top of what lies there.
func releases(t *testing.T, document []byte, lying map[string][]byte, m *mutator, n int) {
	t.Helper()
	made := mustGenerate(t, document, lying)
	before := mustCompile(t, made.files)
	for i := range n {
		document = m.release(t, document, fmt.Sprintf("1.%d.0", i+1))
		next := mustGenerate(t, document, made.files)
		after := mustCompile(t, next.files)
		failed := false
		for _, line := range append(lock.Broken(before, after), unservable(after)...) {
			t.Errorf("release %d: %s", i+1, line)
			failed = true
		}
		if again := mustGenerate(t, document, next.files); !maps.EqualFunc(next.files, again.files, bytes.Equal) {
			t.Errorf("release %d: a second run makes something else%s", i+1, firstDifference(next.files, again.files))
			failed = true
		}
		if failed {
			return
		}
		made, before = next, after
	}
}

// FuzzHistory is TestHistories for any seed.
func FuzzHistory(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		all, err := filepath.Glob("testdata/*/1.json")
		if err != nil {
			t.Fatal(err)
		}
		document, err := os.ReadFile(all[seed%uint64(len(all))])
		if err != nil {
			t.Fatal(err)
		}
		releases(t, document, map[string][]byte{}, newMutator(seed, 0.3), 3)
	})
}
