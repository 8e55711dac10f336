// Package document writes results as people read them: as a table on a terminal,
// and into a page of docs/ that keeps a section for each scenario, so that
// running one rewrites its section and leaves the others alone.
package document

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
)

// A Section is what one scenario has to say.
type Section struct {
	Name, About string
	// Run says when, where and how: the date, the machine, the command.
	Run     string
	Figures []figure.Figure
	Notes   []string
	// Plots are names of SVG files beside the page, with what they show.
	Plots []Picture
}

// A Picture is a file beside the page.
type Picture struct{ File, Title string }

// verdict of a figure, in a word; empty where there is no aim.
func verdict(f figure.Figure) string {
	switch {
	case !f.Aim.Set():
		return ""
	case f.Met():
		return "met"
	}
	return "MISSED"
}

// Table writes the section for a terminal.
func (s Section) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s\n", s.Name, s.About)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range s.Figures {
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", f.Metric, f.Text(), f.AimText(), verdict(f))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, n := range s.Notes {
		fmt.Fprintf(w, "  note: %s\n", n)
	}
	return nil
}

// Markdown writes the section for the page.
func (s Section) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n\n", s.Name, s.About)
	b.WriteString("| figure | value | aim | |\n|---|---|---|---|\n")
	for _, f := range s.Figures {
		v := verdict(f)
		if v == "MISSED" {
			v = "**missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", cell(f.Metric), f.Text(), f.AimText(), v)
	}
	b.WriteByte('\n')
	for _, p := range s.Plots {
		fmt.Fprintf(&b, "![%s](%s)\n\n", p.Title, p.File)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(&b, "- %s\n", n)
	}
	if len(s.Notes) > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%s\n", s.Run)
	return b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// The lines between which a scenario's section stands.
func opening(name string) string { return "<!-- merakibench: " + name + " -->" }

func closing(name string) string { return "<!-- /merakibench: " + name + " -->" }

// Merge puts sections into a page. A section that stands there is replaced; a new
// one comes after its neighbours in the order given, which lists all names.
func Merge(page string, order []string, sections []Section) string {
	for _, s := range sections {
		text := opening(s.Name) + "\n" + s.Markdown() + closing(s.Name)
		if from, to, ok := find(page, s.Name); ok {
			page = page[:from] + text + page[to:]
			continue
		}
		at := len(strings.TrimRight(page, "\n"))
		for i := len(order) - 1; i >= 0 && order[i] != s.Name; i-- {
			if from, _, ok := find(page, order[i]); ok {
				at = from
			}
		}
		before := strings.TrimRight(page[:at], "\n")
		if before != "" {
			before += "\n\n"
		}
		page = before + text + "\n\n" + strings.TrimLeft(page[at:], "\n")
	}
	return strings.TrimRight(page, "\n") + "\n"
}

// find gives where a section stands, its lines included.
func find(page, name string) (from, to int, ok bool) {
	from = strings.Index(page, opening(name))
	if from < 0 {
		return 0, 0, false
	}
	end := strings.Index(page[from:], closing(name))
	if end < 0 {
		return 0, 0, false
	}
	return from, from + end + len(closing(name)), true
}
