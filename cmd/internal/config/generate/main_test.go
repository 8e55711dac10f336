package main

import (
	"bytes"
	"os"
	"testing"
)

// TestCurrent holds what is committed against what would be generated.
func TestCurrent(t *testing.T) {
	t.Chdir(root + "/..")
	files, err := outputs()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if have, err := os.ReadFile(name); err != nil || !bytes.Equal(have, text) {
			t.Errorf("%s is not what the fields of the configuration say: go generate ./cmd/internal/config (%v)", name, err)
		}
	}
}
