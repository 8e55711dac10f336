package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/lock"
	"github.com/merakibroker/merakibroker/service/contract"
)

// TestGoldens runs each history in testdata: documents 1.json, 2.json ... one
// after the other, each on top of what the one before left, as releases of the
// vendor's document are. What each step makes lies beside it; MERAKIGEN_UPDATE=1
// writes it anew.
func TestGoldens(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/*/1.json")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	for _, first := range cases {
		dir := filepath.Dir(first)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			history(t, dir)
		})
	}
}

func history(t *testing.T, dir string) {
	t.Helper()
	var before *protoregistry.Files
	var steps []*contract.Contract
	lying := map[string][]byte{}
	for n := 1; ; n++ {
		document, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%d.json", n)))
		if os.IsNotExist(err) {
			olderClients(t, steps)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		made := mustGenerate(t, document, lying)
		golden(t, filepath.Join(dir, fmt.Sprint(n)), made)
		if again := mustGenerate(t, document, made.files); !maps.EqualFunc(made.files, again.files, bytes.Equal) {
			t.Errorf("step %d: a second run makes something else%s", n, firstDifference(made.files, again.files))
		}
		after := mustCompile(t, made.files)
		for _, line := range append(unservable(after), mistakable(after)...) {
			t.Errorf("step %d: %s", n, line)
		}
		if before != nil {
			for _, line := range lock.Broken(before, after) {
				t.Errorf("step %d: %s", n, line)
			}
		}
		steps = append(steps, contractOf(t, after))
		before, lying = after, made.files
	}
}

// olderClients asks the contract of the last step with the protos of each.
func olderClients(t *testing.T, steps []*contract.Contract) {
	t.Helper()
	last := steps[len(steps)-1]
	for _, step := range steps {
		for _, m := range step.Methods() {
			oldClient(t, m, last.RPC(m.Name))
		}
	}
}

// golden compares the protos and the notes of one step with the files in dir.
func golden(t *testing.T, dir string, made *output) {
	t.Helper()
	want := protos(made.files)
	if len(made.warnings) > 0 {
		want["notes"] = []byte(strings.Join(made.warnings, "\n") + "\n")
	}
	if os.Getenv("MERAKIGEN_UPDATE") != "" {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for p, text := range want {
			if err := replace(filepath.Join(dir, p), text); err != nil {
				t.Fatal(err)
			}
		}
	}
	have := map[string][]byte{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		have[filepath.ToSlash(rel)], err = os.ReadFile(p)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if !maps.EqualFunc(have, want, bytes.Equal) {
		t.Errorf("%s is not what is made now%s", dir, firstDifference(have, want))
	}
}

func mustGenerate(t *testing.T, document []byte, lying map[string][]byte) *output {
	t.Helper()
	made, err := generate(context.Background(), document, protos(lying))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func mustCompile(t *testing.T, files map[string][]byte) *protoregistry.Files {
	t.Helper()
	out, err := lock.Compile(context.Background(), protos(files))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// firstDifference shows the first line in which two sets of files differ.
func firstDifference(have, want map[string][]byte) string {
	names := slices.Sorted(maps.Keys(have))
	for name := range want {
		if _, ok := have[name]; !ok {
			names = append(names, name)
		}
	}
	for _, name := range names {
		a, b := strings.Split(string(have[name]), "\n"), strings.Split(string(want[name]), "\n")
		for i := range max(len(a), len(b)) {
			x, y := "(end)", "(end)"
			if i < len(a) {
				x = a[i]
			}
			if i < len(b) {
				y = b[i]
			}
			if x != y {
				return fmt.Sprintf(": %s:%d\n  have %s\n  want %s", name, i+1, x, y)
			}
		}
	}
	return ""
}
