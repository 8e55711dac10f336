// Package plot draws the benchmarks' results as SVG: curves and bars, enough to
// see at a glance what the tables say, on a page of any colour. It draws what it
// is given and nothing else.
package plot

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// A Curve is one line of a plot; points that are not numbers leave a gap.
type Curve struct {
	Name string
	X, Y []float64
}

// A Mark is a place on the x axis where something happened.
type Mark struct {
	X    float64
	Text string
}

// A Level is a value on the y axis to hold the curves against.
type Level struct {
	Y    float64
	Text string
}

// Lines is a plot of curves. The y axis begins at 0.
type Lines struct {
	Title, XLabel, YLabel string
	Curves                []Curve
	Marks                 []Mark
	Levels                []Level
	// XTick writes a value of the x axis; nil for plain numbers. Where whole
	// numbers alone can be written well, XWhole puts ticks at no others.
	XTick  func(float64) string
	XWhole bool
	// Log makes the y axis logarithmic; it then begins at the smallest value.
	Log bool
}

// The page, in pixels.
const (
	width, height            = 760, 340
	left, right, top, bottom = 64, 16, 56, 46
)

// Colours that can be told apart also by those who see fewer of them (Okabe and Ito).
var colours = [...]string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#666666"}

// A canvas collects what is drawn.
type canvas struct{ strings.Builder }

func (c *canvas) put(format string, args ...any) { fmt.Fprintf(&c.Builder, format+"\n", args...) }

func (c *canvas) text(x, y float64, anchor, class, text string) {
	c.put(`<text x="%s" y="%s" text-anchor="%s" class="%s">%s</text>`, px(x), px(y), anchor, class, html.EscapeString(text))
}

func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// begin opens the page with its title and names of what is drawn.
func begin(title string, names []string) *canvas {
	c := new(canvas)
	c.put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		width, height, width, height, html.EscapeString(title))
	c.put(`<style>text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:14px;font-weight:600}.s{fill:#555;font-size:11px}` +
		`.g{stroke:#ddd;stroke-width:1}.a{stroke:#888;stroke-width:1}.m{stroke:#888;stroke-dasharray:4 3}.l{fill:none;stroke-width:1.8;stroke-linejoin:round}</style>`)
	c.put(`<rect width="100%%" height="100%%" fill="#fff"/>`)
	c.text(left, 20, "start", "t", title)
	x := float64(left)
	for i, name := range names {
		if name == "" {
			continue
		}
		c.put(`<rect x="%s" y="30" width="12" height="12" fill="%s"/>`, px(x), colours[i%len(colours)])
		c.text(x+17, 40, "start", "s", name)
		x += 34 + 6.2*float64(len(name))
	}
	return c
}

func (c *canvas) end() []byte {
	c.put("</svg>")
	return []byte(c.String())
}

// SVG draws the plot.
func (p Lines) SVG() []byte {
	names := make([]string, len(p.Curves))
	for i, k := range p.Curves {
		names[i] = k.Name
	}
	c := begin(p.Title, names)
	x, y := p.axes()
	x.whole = p.XWhole
	c.grid(x, y, p.XLabel, p.YLabel, p.XTick)
	for _, l := range p.Levels {
		c.put(`<line x1="%d" x2="%d" y1="%s" y2="%s" class="m"/>`, left, width-right, px(y.at(l.Y)), px(y.at(l.Y)))
		c.text(width-right-3, y.at(l.Y)-4, "end", "s", l.Text)
	}
	for _, m := range p.Marks {
		c.put(`<line x1="%s" x2="%s" y1="%d" y2="%d" class="m"/>`, px(x.at(m.X)), px(x.at(m.X)), top, height-bottom)
		c.text(x.at(m.X)+4, top+11, "start", "s", m.Text)
	}
	for i, k := range p.Curves {
		var path strings.Builder
		pen := "M"
		for n := range k.X {
			if math.IsNaN(k.Y[n]) || p.Log && k.Y[n] <= 0 {
				pen = "M"
				continue
			}
			path.WriteString(pen + px(x.at(k.X[n])) + " " + px(y.at(k.Y[n])))
			pen = "L"
		}
		c.put(`<path d="%s" class="l" stroke="%s"/>`, path.String(), colours[i%len(colours)])
	}
	return c.end()
}

// axes fit the curves, the levels and the marks.
func (p Lines) axes() (x, y axis) {
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), 0.0
	for _, k := range p.Curves {
		for n := range k.X {
			lowX, highX = min(lowX, k.X[n]), max(highX, k.X[n])
			if v := k.Y[n]; !math.IsNaN(v) {
				highY = max(highY, v)
				if v > 0 {
					lowY = min(lowY, v)
				}
			}
		}
	}
	for _, l := range p.Levels {
		highY = max(highY, l.Y)
	}
	if lowX > highX {
		lowX, highX = 0, 1
	}
	if lowY > highY {
		lowY, highY = 0.1, max(highY, 1)
	}
	x = axis{low: lowX, high: highX, from: left, to: width - right}
	y = axis{high: highY * 1.05, from: height - bottom, to: top}
	if p.Log {
		y.log, y.low, y.high = true, math.Pow(10, math.Floor(math.Log10(lowY))), math.Pow(10, math.Ceil(math.Log10(highY)))
		if y.low >= y.high {
			y.high = y.low * 10
		}
	}
	return x, y
}

// grid draws the axes with their ticks.
func (c *canvas) grid(x, y axis, xLabel, yLabel string, tick func(float64) string) {
	if tick == nil {
		tick = number
	}
	for _, v := range y.ticks(5) {
		c.put(`<line x1="%d" x2="%d" y1="%s" y2="%s" class="g"/>`, left, width-right, px(y.at(v)), px(y.at(v)))
		c.text(left-6, y.at(v)+4, "end", "s", number(v))
	}
	for _, v := range x.ticks(8) {
		c.put(`<line x1="%s" x2="%s" y1="%d" y2="%d" class="a"/>`, px(x.at(v)), px(x.at(v)), height-bottom, height-bottom+4)
		c.text(x.at(v), height-bottom+17, "middle", "s", tick(v))
	}
	c.put(`<line x1="%d" x2="%d" y1="%d" y2="%d" class="a"/>`, left, width-right, height-bottom, height-bottom)
	c.text((left+width-right)/2, height-8, "middle", "s", xLabel)
	c.put(`<text transform="translate(14 %d) rotate(-90)" text-anchor="middle" class="s">%s</text>`, (top+height-bottom)/2, html.EscapeString(yLabel))
}
