package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// goNames are words that nobody knows who knows no Go.
var goNames = regexp.MustCompile(`interface ?\{|\bu?int(64)?\b|float64|unmarshal|jsonType|runtime error|nil pointer|reflect`)

// FuzzFile: whatever a file holds, it is a configuration, or each thing that is wrong with
// it has a line, in words that its author knows.
func FuzzFile(f *testing.F) {
	wrong, err := filepath.Glob("testdata/wrong/*.yaml")
	if err != nil || len(wrong) == 0 {
		f.Fatal(err, len(wrong))
	}
	for _, name := range wrong {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{"", "[]", "42", "hello", "null", "? [a]\n: b\n", "? {a: b}\n: b\n", "1: b", "budget: {rate: .inf}", "budget: {rate: .nan}", "cache_bytes: 1e40", "policy: [null]",
		"drain: {timeout: 2001-01-01}", "budget: !!binary aGVsbG8=", "a: &a [*a]", "<<: [1]", "listen: !!int x", "log: {<<: {level: loud}}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := &File{Config: Default(), Name: "f", flags: make(map[string]string)}
		err := file.parse(text)
		if err == nil {
			err = file.Explain(file.Check())
		}
		var all Problems
		if err != nil && !errors.As(err, &all) {
			t.Fatalf("%T: %v", err, err)
		}
		for _, p := range all {
			// What the file itself says may be in the words.
			if said := goNames.FindString(p.String()); said != "" && !regexp.MustCompile(regexp.QuoteMeta(said)).Match(text) {
				t.Errorf("%q: %s", text, p)
			}
		}
	})
}
