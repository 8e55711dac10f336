package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// A screen is what top shows.
type screen struct {
	app    *app
	at     string // where the broker is
	source *source
	ctx    context.Context // of the command: the library's callbacks have none
	every  time.Duration

	shown         snapshot
	trouble       string // why what is shown is old
	part          int    // the one that is shown alone; 0 for all
	stopped       bool
	width, height int
}

// A part is a table under a title.
type part struct {
	title string
	table *table
}

// parts are what there is to see, in the order of their keys.
func (m *screen) parts() []part {
	s := m.shown
	return []part{
		{"Budgets", m.app.budgetTable(s.budgets)},
		{"Callers, last " + span(topSpan), usageTable(s.callers, []string{"caller"})},
		{"Operations, last " + span(topSpan), usageTable(s.usage, []string{"operation"})},
		{"Last failures", m.app.attemptTable(s.failures)},
	}
}

// head says where the broker is, and the verdict on the Dashboard.
func (m *screen) head() []string {
	if m.shown.at.IsZero() {
		return []string{"asking " + plain(m.at)}
	}
	state := "OK"
	var advice string
	for _, w := range m.shown.health.GetOverall() {
		if !well(w) {
			state, advice = verdictWord(w.GetVerdict())+", last "+span(w.GetWindow().AsDuration()), w.GetAdvice()
			break
		}
	}
	when := m.shown.at.Format("15:04:05")
	if m.stopped {
		when += ", stopped"
	}
	lines := []string{m.painted(bold, fmt.Sprintf("%s  %s  Dashboard: %s", plain(strings.TrimPrefix(m.at, "dns:///")), when, state))}
	if advice != "" {
		lines = append(lines, m.painted(red, plain(advice)))
	}
	for _, h := range m.shown.holds {
		lines = append(lines, m.painted(yellow, plain(fmt.Sprintf("held: %s, until %s, by %s: %s", heldWord(h), m.app.clock(h.GetEndTime()), h.GetOperator(), dash(h.GetReason())))))
	}
	return lines
}

func (m *screen) painted(p paint, text string) string {
	if !m.app.colored {
		return text
	}
	return string(p) + text + reset
}

// text is the whole screen, cut to its size.
func (m *screen) text() string {
	lines := m.head()
	if m.trouble != "" {
		for line := range strings.Lines(m.trouble) {
			lines = append(lines, m.painted(red, strings.TrimRight(line, "\n")))
		}
	}
	if !m.shown.at.IsZero() {
		lines = append(lines, m.body(m.height-len(lines)-1)...)
	}
	if m.height > 0 && len(lines) > m.height-1 {
		lines = lines[:m.height-1]
	}
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, "0 all  1 budgets  2 callers  3 operations  4 failures  space stop  q end")
	for i := range lines {
		if m.width > 0 {
			lines[i] = ansi.Truncate(lines[i], m.width, "…")
		}
	}
	return strings.Join(lines, "\n")
}

// body is the parts, each with its share of the lines.
func (m *screen) body(room int) []string {
	all := m.parts()
	if m.part > 0 {
		all = all[m.part-1 : m.part]
	}
	share := max(room/len(all)-2, 2) // without the title and the line before it
	var lines []string
	for _, p := range all {
		rows := p.table.lines(m.app.colored)
		if room > 0 && len(rows) > share {
			rows = rows[:share]
		}
		lines = append(lines, "", m.painted(bold, p.title))
		lines = append(lines, rows...)
	}
	return lines
}

// write writes all of it, once.
func (m *screen) write(w io.Writer) {
	lines := append(m.head(), m.body(0)...)
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}
