package record

import (
	"strings"
	"unicode/utf8"
)

// An interner keeps the texts of the attempts in the ring, each kept once and known by a
// number there. A text goes with the last attempt that holds it and its number is
// given out again, so that there are never more texts than the ring can name, however
// many callers and organizations come by in the course of time.
type interner struct {
	numbers map[string]uint32
	all     []internedText // by number; the first is the empty text
	free    []uint32       // numbers of texts that are gone
}

type internedText struct {
	text  string
	holds int32
}

// maxText bounds an interned text, in bytes; what is longer is cut. Nothing that the vendor
// or an operator names is.
const maxText = 256

// cutText gives what is kept of a text: it is never cut inside a character, since
// what is not UTF-8 could not be shown to anybody.
func cutText(s string) string {
	if len(s) <= maxText {
		return s
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// hold gives the number of *s, and puts the kept text in its place. Each hold wants
// its release.
func (w *interner) hold(s *string) uint32 {
	if *s == "" {
		return 0
	}
	n, ok := w.numbers[*s]
	if !ok {
		n = w.fresh(*s)
	}
	k := &w.all[n]
	k.holds++
	*s = k.text
	return n
}

func (w *interner) fresh(s string) uint32 {
	if len(s) > maxText {
		s = cutText(s)
		if n, ok := w.numbers[s]; ok {
			return n
		}
	}
	if w.numbers == nil {
		w.numbers = make(map[string]uint32)
		w.all = make([]internedText, 1)
	}
	k := internedText{text: strings.Clone(s)} // not a part of a larger text
	n := uint32(len(w.all))
	if last := len(w.free) - 1; last >= 0 {
		n, w.free = w.free[last], w.free[:last]
		w.all[n] = k
	} else {
		w.all = append(w.all, k)
	}
	w.numbers[k.text] = n
	return n
}

// release ends a hold.
func (w *interner) release(n uint32) {
	if n == 0 {
		return
	}
	k := &w.all[n]
	if k.holds--; k.holds == 0 {
		delete(w.numbers, k.text)
		*k = internedText{}
		w.free = append(w.free, n)
	}
}

// find gives the number of a text; false when no attempt holds it.
func (w *interner) find(s string) (n uint32, ok bool) {
	if s == "" {
		return 0, true
	}
	n, ok = w.numbers[cutText(s)]
	return n, ok
}

// text is the text of a number.
func (w *interner) text(n uint32) string {
	if n == 0 {
		return ""
	}
	return w.all[n].text
}
