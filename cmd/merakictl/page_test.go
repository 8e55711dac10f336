package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

const page = "../../docs/merakictl.md"

// TestPage: docs/merakictl.md is what the help of every command says, and the exit codes.
func TestPage(t *testing.T) {
	a := &app{}
	root := a.root()
	var b strings.Builder
	fmt.Fprintf(&b, "# merakictl\n\nGenerated from the commands' help: `go test ./cmd/merakictl -run TestPage -update`.\n\n%s\n\n", root.Long)
	b.WriteString("It is in the image beside merakid: `kubectl exec deploy/merakibroker -- /merakictl top`. `merakictl completion -h` says how a shell completes its commands.\n\n")
	fmt.Fprintf(&b, "Flags of every command:\n\n```\n%s```\n\n## Exit codes\n\n", root.PersistentFlags().FlagUsages())
	for _, e := range exitMeanings {
		fmt.Fprintf(&b, "- %d: %s\n", e.code, e.meaning)
	}
	var write func(c *cobra.Command)
	write = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" || c.Hidden {
			return
		}
		if c.Short == "" || c.Long == "" || strings.Contains(c.Short, "\n") || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: its help lacks a line or a text, or the line is a sentence", c.CommandPath())
		}
		if c != root && !c.HasSubCommands() {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n```\n%s\n```\n\n%s\n", strings.TrimPrefix(c.CommandPath(), "merakictl "), c.Short, c.UseLine(), c.Long)
			if c.HasLocalFlags() {
				fmt.Fprintf(&b, "\n```\n%s```\n", c.LocalNonPersistentFlags().FlagUsages())
			}
			if c.Example != "" {
				fmt.Fprintf(&b, "\nFor example:\n\n```\n%s\n```\n", c.Example)
			}
		}
		for _, sub := range c.Commands() {
			write(sub)
		}
	}
	write(root)
	if *update {
		if err := os.WriteFile(page, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	there, err := os.ReadFile(page)
	if err != nil || string(there) != b.String() {
		t.Errorf("docs/merakictl.md is out of date (%v): go test ./cmd/merakictl -run TestPage -update", err)
	}
}

// TestHelp: the help of everything is there and goes to standard output.
func TestHelp(t *testing.T) {
	r := (*bench)(nil).do(t, "", "--help")
	if r.code != 0 || r.err != "" {
		t.Fatalf("%+v", r)
	}
	golden(t, "help", r.out)
	for _, c := range (&app{}).root().Commands() {
		if r := (*bench)(nil).do(t, "", c.Name(), "--help"); r.code != 0 || r.err != "" || !strings.Contains(r.out, "Usage:") {
			t.Errorf("%s --help: %+v", c.Name(), r)
		}
	}
}
