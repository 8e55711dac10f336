package main

import (
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	if err := newToken("exporter", &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	_, token, _ := strings.Cut(lines[0], ": ")
	if len(token) != 40 || !strings.Contains(lines[1], "exporter: ") || strings.Contains(lines[1], token) || !strings.HasSuffix(lines[2], "token:exporter") {
		t.Errorf("%q", lines)
	}
	if err := newToken("a/b", &out); err == nil {
		t.Error("a token for a name with a slash")
	}
}
