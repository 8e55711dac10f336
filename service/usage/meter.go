package usage

import (
	"slices"
	"strings"
	"time"
)

// OtherName is under what a meter's sum of the rest is shown. Who is called like that is
// a part of it.
const OtherName = "other"

// idle is after how long without anything a meter gives the place of a name to another.
const idle = time.Hour

// A meter counts from the start on, for metrics: for so many names, those that came
// first, and for the rest together. Names do not come and go as in a window, since each
// would be a series that ends.
type meter struct {
	most  int
	rows  map[string]*metered
	other Figures
	// swept is when those were last looked for who have been idle.
	swept time.Time
}

type metered struct {
	figures Figures
	used    time.Time
}

func newMeter(most int) *meter { return &meter{most: most, rows: make(map[string]*metered)} }

func (m *meter) add(now time.Time, name string, f *Figures) {
	if m.most <= 0 {
		return
	}
	row := m.rows[name]
	if row == nil {
		row = m.place(now, keptText(name))
	}
	if row == nil {
		m.other.add(f)
		return
	}
	row.figures.add(f)
	row.used = now
}

// place gives a name a row, if there is one.
func (m *meter) place(now time.Time, name string) *metered {
	if row := m.rows[name]; row != nil || name == OtherName {
		return row
	}
	if len(m.rows) >= m.most && now.Sub(m.swept) >= time.Minute {
		m.sweep(now)
	}
	if len(m.rows) >= m.most {
		return nil
	}
	row := new(metered)
	m.rows[name] = row
	return row
}

func (m *meter) sweep(now time.Time) {
	m.swept = now
	for name, row := range m.rows {
		if now.Sub(row.used) >= idle {
			delete(m.rows, name)
		}
	}
}

// A Metered is what a name has spent since it was first seen.
type Metered struct {
	Name string
	Figures
}

// Meters are the meters of callers or of organizations, by name, and the rest, which is
// last; none where they are off.
func (u *Usage) Meters(g Groups) []Metered {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	m := u.callers
	if g == ByOrganization {
		m = u.organizations
	}
	if m.most <= 0 {
		return nil
	}
	all := make([]Metered, 0, len(m.rows)+1)
	for name, row := range m.rows {
		all = append(all, Metered{name, row.figures})
	}
	slices.SortFunc(all, func(a, b Metered) int { return strings.Compare(a.Name, b.Name) })
	return append(all, Metered{OtherName, m.other})
}
