package usage

import (
	"strings"
	"unicode/utf8"
)

// A table keeps the figures of so many keys, the largest. Who is new takes the place of
// the smallest, and begins with its rank (the space-saving algorithm of Metwally, Agrawal
// and El Abbadi), so that one that comes often stays among many that come once. The
// figures themselves are never estimated: those of who left are in other.
type table struct {
	most  int
	index map[Key]int
	keys  []Key
	ranks []int64 // by itself, for the search of the smallest
	rows  []Figures
	other Figures
	// left is told who leaves, with what; nil for nobody.
	left func(Key, *Figures)
}

func newTable(most int) *table { return &table{most: most, index: make(map[Key]int)} }

// add counts figures of a key.
func (t *table) add(k Key, f *Figures) {
	i, ok := t.index[k]
	if !ok {
		i = t.place(k)
	}
	t.ranks[i] += f.rank()
	t.rows[i].add(f)
}

// place makes room for a key.
func (t *table) place(k Key) int {
	k = k.kept()
	if i, ok := t.index[k]; ok {
		return i // it was too long, or no text
	}
	i := len(t.keys)
	if i < t.most {
		t.keys, t.ranks, t.rows = append(t.keys, k), append(t.ranks, 0), append(t.rows, Figures{})
	} else {
		i = 0
		for j, rank := range t.ranks {
			if rank < t.ranks[i] {
				i = j
			}
		}
		t.other.add(&t.rows[i])
		if t.left != nil {
			t.left(t.keys[i], &t.rows[i])
		}
		delete(t.index, t.keys[i])
		t.keys[i], t.rows[i] = k, Figures{}
	}
	t.index[k] = i
	return i
}

// empty begins anew. Who has been counted keeps a place, so that the next minute, which
// is mostly of the same, need not make them again.
func (t *table) empty() {
	n := 0
	for i, f := range t.rows {
		if f == (Figures{}) {
			delete(t.index, t.keys[i])
			continue
		}
		t.keys[n], t.ranks[n], t.rows[n] = t.keys[i], 0, Figures{}
		t.index[t.keys[n]] = n
		n++
	}
	clear(t.keys[n:])
	t.keys, t.ranks, t.rows, t.other = t.keys[:n], t.ranks[:n], t.rows[:n], Figures{}
}

// maxText bounds the parts of a key, in bytes.
const maxText = 256

// kept is a key to keep: no part of a larger text, no longer than it may be, and text.
func (k Key) kept() Key {
	return Key{keptText(k.Caller), keptText(k.Organization), keptText(k.Operation)}
}

func keptText(s string) string {
	if len(s) > maxText {
		n := maxText
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.Clone(strings.ToValidUTF8(s, "\uFFFD"))
}
