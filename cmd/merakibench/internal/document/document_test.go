package document

import (
	"strings"
	"testing"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
)

func section(name, about string) Section {
	return Section{Name: name, About: about, Run: "Today.", Figures: []figure.Figure{
		{Scenario: name, Metric: "a | b", Value: 1, Aim: figure.AtMost(0)},
		{Scenario: name, Metric: "free", Value: 2},
	}, Notes: []string{"a note"}, Plots: []Picture{{File: "x.svg", Title: "X"}}}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	order := []string{"one", "two", "three"}
	page := "# Title\n\nProse.\n"
	page = Merge(page, order, []Section{section("three", "third")})
	page = Merge(page, order, []Section{section("one", "first")})
	page = Merge(page, order, []Section{section("two", "second")})
	page = Merge(page, order, []Section{section("one", "first again")})
	if strings.Contains(page, "first\n") || !strings.HasPrefix(page, "# Title\n\nProse.\n") {
		t.Errorf("not replaced:\n%s", page)
	}
	last := -1
	for _, about := range []string{"Prose.", "first again", "second", "third"} {
		at := strings.Index(page, about)
		if at < last || strings.Count(page, about) != 1 {
			t.Fatalf("%q is at %d after %d:\n%s", about, at, last, page)
		}
		last = at
	}
	if Merge(page, order, []Section{section("two", "second")}) != page {
		t.Error("writing the same again changes the page")
	}
}

func TestWritten(t *testing.T) {
	t.Parallel()
	text := section("one", "what it is").Markdown()
	for _, want := range []string{"## one", `| a \| b | 1 | 0 | **missed** |`, "| free | 2 |  |  |", "![X](x.svg)", "- a note", "Today."} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	var out strings.Builder
	if err := section("one", "what it is").Table(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "MISSED") || !strings.Contains(out.String(), "what it is") {
		t.Errorf("the table is\n%s", out.String())
	}
}
