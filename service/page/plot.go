package page

import (
	"fmt"
	"strings"
)

// The size of a plot, in its own units, and how long one count is.
const (
	plotWidth   = 120
	plotHeight  = 24
	slotSeconds = 10
)

// A plot is what was spent of a ceiling, over five minutes.
type plot struct {
	// Line is the path of an SVG that is plotWidth by plotHeight, where the top is the
	// ceiling.
	Line string
	// Most is the most that was spent in a slot, requests a second.
	Most float64
}

func newPlot(counts []int64, ceiling float64) plot {
	var p plot
	if len(counts) < 2 || ceiling <= 0 {
		return p
	}
	var line strings.Builder
	for i, n := range counts {
		rate := float64(n) / slotSeconds
		p.Most = max(p.Most, rate)
		x := float64(i) * plotWidth / float64(len(counts)-1)
		y := plotHeight * (1 - min(1, rate/ceiling))
		command := 'L'
		if i == 0 {
			command = 'M'
		}
		fmt.Fprintf(&line, "%c%.1f %.1f", command, x, y)
	}
	p.Line = line.String()
	return p
}
