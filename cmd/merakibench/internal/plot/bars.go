package plot

// Bars is a plot of groups of bars, one of each series in every group: things
// side by side.
type Bars struct {
	Title, YLabel string
	// Series names what stands side by side, Groups what it is held against.
	Series, Groups []string
	// Values has a row for each group, with a value for each series.
	Values [][]float64
	Levels []Level
}

// SVG draws the plot.
func (p Bars) SVG() []byte {
	c := begin(p.Title, p.Series)
	high := 0.0
	for _, row := range p.Values {
		for _, v := range row {
			high = max(high, v)
		}
	}
	for _, l := range p.Levels {
		high = max(high, l.Y)
	}
	if high == 0 {
		high = 1
	}
	y := axis{high: high * 1.1, from: height - bottom, to: top}
	x := axis{high: float64(max(1, len(p.Groups))), from: left, to: width - right}
	c.grid(axis{from: left, to: width - right}, y, "", p.YLabel, func(float64) string { return "" })
	for _, l := range p.Levels {
		c.put(`<line x1="%d" x2="%d" y1="%s" y2="%s" class="m"/>`, left, width-right, px(y.at(l.Y)), px(y.at(l.Y)))
		c.text(width-right-3, y.at(l.Y)-4, "end", "s", l.Text)
	}
	for g, row := range p.Values {
		begin, room := x.at(float64(g)), x.at(1)-x.at(0)
		wide := min(room*0.8/float64(max(1, len(row))), 90)
		begin += (room - wide*float64(len(row))) / 2
		for i, v := range row {
			c.put(`<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`,
				px(begin+wide*float64(i)+1), px(y.at(v)), px(wide-2), px(y.at(0)-y.at(v)), colours[i%len(colours)])
			c.text(begin+wide*(float64(i)+0.5), y.at(v)-4, "middle", "s", number(v))
		}
		c.text(x.at(float64(g)+0.5), height-bottom+17, "middle", "s", p.Groups[g])
	}
	return c.end()
}
