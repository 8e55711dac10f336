package usage

// live is the minute under way.
type live struct {
	minute int64
	// all has all parts of the keys. each has one part, in the order of singles: what is
	// in all goes there when it leaves, and at the end.
	all  *table
	each [len(singles)]*table
}

func newLive(most int) *live {
	l := &live{all: newTable(most)}
	for i := range l.each {
		l.each[i] = newTable(most)
	}
	l.all.left = l.pass
	return l
}

// pass counts for each part of a key by itself.
func (l *live) pass(k Key, f *Figures) {
	for i, g := range singles {
		l.each[i].add(g.of(k), f)
	}
}

// window is the minute as it is now.
func (l *live) window() *window {
	w := &window{minute: l.minute, all: rowsOf(l.all)}
	for i := range l.each {
		t := l.each[i].copied()
		for j := range l.all.rows {
			if f := &l.all.rows[j]; *f != (Figures{}) {
				t.add(singles[i].of(l.all.keys[j]), f)
			}
		}
		w.each[i] = rowsOf(t)
	}
	return w
}

// begin empties the minute for another one.
func (l *live) begin(minute int64) {
	l.minute = minute
	l.all.empty()
	for _, t := range l.each {
		t.empty()
	}
}

// copied is a table of the same, which may be changed.
func (t *table) copied() *table {
	c := newTable(t.most)
	c.other = t.other
	for i := range t.rows {
		if t.rows[i] != (Figures{}) {
			c.add(t.keys[i], &t.rows[i])
			c.ranks[len(c.ranks)-1] = t.ranks[i]
		}
	}
	return c
}

// rowsOf are the rows of a table in which anything is.
func rowsOf(t *table) rows {
	out := rows{other: t.other}
	for i := range t.rows {
		if t.rows[i] != (Figures{}) {
			out.keys, out.figures = append(out.keys, t.keys[i]), append(out.figures, t.rows[i])
		}
	}
	return out
}
