package plot

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// wellFormed tells whether a browser could read it.
func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
	}
}

func TestDrawings(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, svg := range map[string][]byte{
		"curves": Lines{Title: "a < b & c", XLabel: "s", YLabel: "/s", Curves: []Curve{{"one", []float64{0, 1, 2}, []float64{1, 5, 2}}, {"two", []float64{0, 2}, []float64{3, 3}}},
			Marks: []Mark{{1, "here"}}, Levels: []Level{{10, "the budget"}}}.SVG(),
		"a gap":       Lines{Curves: []Curve{{"one", []float64{0, 1, 2, 3}, []float64{1, nan, 2, 3}}}}.SVG(),
		"nothing":     Lines{}.SVG(),
		"one point":   Lines{Curves: []Curve{{"one", []float64{3}, []float64{0}}}}.SVG(),
		"logarithmic": Lines{Log: true, Curves: []Curve{{"one", []float64{1, 2, 3}, []float64{0.01, 0, 100}}}}.SVG(),
		"bars":        Bars{Title: "t", Series: []string{"a", "b"}, Groups: []string{"x", "y"}, Values: [][]float64{{1, 2}, {3, 0}}}.SVG(),
		"no bars":     Bars{}.SVG(),
	} {
		wellFormed(t, svg)
		if text := string(svg); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("%s: what is no number is drawn:\n%s", name, text)
		}
	}
	gap := string(Lines{Curves: []Curve{{"", []float64{0, 1, 2, 3}, []float64{1, nan, 2, 3}}}}.SVG())
	if _, path, _ := strings.Cut(gap, `<path d="`); strings.Count(path[:strings.Index(path, `"`)], "M") != 2 {
		t.Errorf("a gap does not lift the pen:\n%s", gap)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]float64{0.9: 1, 1: 1, 1.1: 2, 3: 5, 7: 10, 0.03: 0.05, 24: 50, 0: 0} {
		if got := Step(v); math.Abs(got-want) > 1e-12 {
			t.Errorf("the step for %v is %v, want %v", v, got, want)
		}
	}
	for _, row := range []struct {
		a    axis
		n    int
		want []float64
	}{
		{axis{low: 0, high: 10}, 5, []float64{0, 2, 4, 6, 8, 10}},
		{axis{low: 3, high: 11}, 4, []float64{4, 6, 8, 10}},
		{axis{low: 0.1, high: 100, log: true}, 5, []float64{0.1, 1, 10, 100}},
		{axis{low: 0.3, high: 3, whole: true}, 8, []float64{1, 2, 3}},
		{axis{low: 2, high: 2}, 5, []float64{2}},
	} {
		got := row.a.ticks(row.n)
		if !slices.EqualFunc(got, row.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("%+v: %v, want %v", row.a, got, row.want)
		}
	}
	for v, want := range map[float64]string{0: "0", 0.1 + 0.2: "0.3", 1500: "1500", 20000: "20k", 3e6: "3M"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
}
