package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// plain is text from outside as it may be shown: what could steer a terminal, or turns
// the direction of writing, is escaped.
func plain(s string) string {
	if !strings.ContainsFunc(s, hidden) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !hidden(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }

// A table is rows under a heading. What stands in it is made plain when it is written.
type table struct {
	head []string
	rows []row
}

// A row has a color where it wants attention.
type row struct {
	cells []string
	paint paint
}

// A paint is the color of a row.
type paint string

const (
	noPaint paint = ""
	red     paint = "\x1b[31m"
	yellow  paint = "\x1b[33m"
	bold    paint = "\x1b[1m"
	reset         = "\x1b[0m"
)

func newTable(head ...string) *table { return &table{head: head} }

func (t *table) add(cells ...string) { t.paint(noPaint, cells...) }

func (t *table) paint(p paint, cells ...string) { t.rows = append(t.rows, row{cells, p}) }

// lines are the table's lines: columns as wide as they have to be, figures to the right.
func (t *table) lines(colored bool) []string {
	rows := append([]row{{t.head, bold}}, t.rows...)
	width := make([]int, len(t.head))
	figures := make([]bool, len(t.head))
	for i := range figures {
		figures[i] = len(t.rows) > 0
	}
	for n, r := range rows {
		for i, cell := range r.cells {
			r.cells[i] = plain(cell)
			width[i] = max(width[i], utf8.RuneCountInString(r.cells[i]))
			if n > 0 && cell != "" && cell != "-" && !strings.ContainsAny(cell[:1], "0123456789") {
				figures[i] = false
			}
		}
	}
	out := make([]string, len(rows))
	for n, r := range rows {
		var b strings.Builder
		for i, cell := range r.cells {
			if i > 0 {
				b.WriteString("  ")
			}
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if figures[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		out[n] = strings.TrimRight(b.String(), " ")
		if colored && r.paint != noPaint {
			out[n] = string(r.paint) + out[n] + reset
		}
	}
	return out
}

func (t *table) write(w io.Writer, colored bool) {
	for _, line := range t.lines(colored) {
		fmt.Fprintln(w, line)
	}
}

// show writes a table, or a message as JSON.
func (a *app) show(t *table, m proto.Message) error {
	if a.output == "json" {
		return a.document(m)
	}
	t.write(a.out, a.colored)
	return nil
}

// document writes a message as one JSON document.
func (a *app) document(m proto.Message) error {
	text, err := a.jsonOf(m)
	if err != nil {
		return err
	}
	return a.json(text)
}

// jsonLine writes a message as one line, for streams.
func (a *app) jsonLine(m proto.Message) error {
	text, err := a.jsonOf(m)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := json.Compact(&b, text); err != nil { // protojson's white space differs from build to build
		return err
	}
	_, err = fmt.Fprintln(a.out, a.safeJSON(b.String()))
	return err
}

func (a *app) jsonOf(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{Resolver: a.resolver()}.Marshal(m)
}

// json writes a document, indented.
func (a *app) json(text []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, text, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.out, a.safeJSON(b.String()))
	return err
}

// safeJSON is JSON as a terminal may show it: what is not printable stands in text alone,
// where it can be escaped. A program gets every byte as it came.
func (a *app) safeJSON(text string) string {
	if !a.terminal {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if r == '\n' || !hidden(r) {
			b.WriteRune(r)
		} else if r > 0xffff {
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// number is a count; "-" for none.
func number[T ~int32 | ~int64](n T) string {
	if n == 0 {
		return "-"
	}
	return strconv.FormatInt(int64(n), 10)
}

// decimal is a figure with at most one digit after the point.
func decimal(f float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0")
}

// span is a duration as people read it.
func span(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	text := d.Round(time.Second).String()
	text = strings.TrimSuffix(text, "m0s")
	if text != d.Round(time.Second).String() {
		text += "m"
	}
	if cut, ok := strings.CutSuffix(text, "h0m"); ok {
		text = cut + "h"
	}
	return text
}

// bytesOf is a size as people read it.
func bytesOf(n int64) string {
	switch {
	case n == 0:
		return "-"
	case n < 10<<10:
		return strconv.FormatInt(n, 10) + " B"
	case n < 10<<20:
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n>>20, 10) + " MiB"
}
