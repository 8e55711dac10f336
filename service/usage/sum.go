package usage

import (
	"cmp"
	"slices"
)

// mostRows bounds the rows that one answer is made of: the smallest leave when there are
// twice as many.
const mostRows = 4096

// A sum adds windows up.
type sum struct {
	groups Groups
	filter Key
	rows   map[Key]*Figures
	total  Figures
}

func newSum(groups Groups, filter Key) *sum {
	return &sum{groups: groups, filter: filter, rows: make(map[Key]*Figures)}
}

// add adds a window.
func (s *sum) add(w *window) {
	named := s.filter.named()
	whole := w.of(named)
	for i, k := range whole.keys {
		if named.of(k) == s.filter {
			s.total.add(&whole.figures[i])
		}
	}
	if named == 0 {
		s.total.add(&whole.other)
	}
	if s.groups == 0 {
		return
	}
	rows := w.of(named | s.groups)
	for i, k := range rows.keys {
		if named.of(k) == s.filter {
			s.row(s.groups.of(k), &rows.figures[i])
		}
	}
}

func (s *sum) row(k Key, f *Figures) {
	if row := s.rows[k]; row != nil {
		row.add(f)
		return
	}
	if len(s.rows) >= 2*mostRows {
		ranks := make([]int64, 0, len(s.rows))
		for _, row := range s.rows {
			ranks = append(ranks, row.rank())
		}
		slices.Sort(ranks)
		least := ranks[len(ranks)-mostRows]
		for k, row := range s.rows {
			if len(s.rows) > mostRows && row.rank() <= least {
				delete(s.rows, k)
			}
		}
	}
	row := *f
	s.rows[k] = &row
}

// A Row is what one of the groups spent.
type Row struct {
	Key
	Figures
}

// result gives the largest rows, so many at the most, and what is not in them.
func (s *sum) result(limit int) (rows []Row, other, total Figures) {
	for k, f := range s.rows {
		rows = append(rows, Row{k, *f})
	}
	slices.SortFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(b.Figures[Attempts], a.Figures[Attempts]), cmp.Compare(b.Figures[Requests], a.Figures[Requests]),
			cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Organization, b.Organization), cmp.Compare(a.Operation, b.Operation),
		)
	})
	rows = rows[:min(len(rows), limit)]
	other = s.total
	for i := range rows {
		other = other.less(&rows[i].Figures)
	}
	return rows, other, s.total
}
