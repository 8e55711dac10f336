package record

import (
	"strings"
	"unicode/utf8"
)

// words are the texts of the attempts in the ring, each kept once and known by a
// number there. A word goes with the last attempt that holds it and its number is
// given out again, so that there are never more words than the ring can name, however
// many callers and organizations come by in the course of time.
type words struct {
	numbers map[string]uint32
	all     []word   // by number; the first is the empty text
	free    []uint32 // numbers of words that are gone
}

type word struct {
	text  string
	holds int32
}

// maxWord bounds a word, in bytes; what is longer is cut. Nothing that the vendor
// or an operator names is.
const maxWord = 256

// asWord gives what is kept of a text: it is never cut inside a character, since
// what is not UTF-8 could not be shown to anybody.
func asWord(s string) string {
	if len(s) <= maxWord {
		return s
	}
	n := maxWord
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// hold gives the number of *s, and puts the kept text in its place. Each hold wants
// its release.
func (w *words) hold(s *string) uint32 {
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

func (w *words) fresh(s string) uint32 {
	if len(s) > maxWord {
		s = asWord(s)
		if n, ok := w.numbers[s]; ok {
			return n
		}
	}
	if w.numbers == nil {
		w.numbers = make(map[string]uint32)
		w.all = make([]word, 1)
	}
	k := word{text: strings.Clone(s)} // not a part of a larger text
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
func (w *words) release(n uint32) {
	if n == 0 {
		return
	}
	k := &w.all[n]
	if k.holds--; k.holds == 0 {
		delete(w.numbers, k.text)
		*k = word{}
		w.free = append(w.free, n)
	}
}

// find gives the number of a text; false when no attempt holds it.
func (w *words) find(s string) (n uint32, ok bool) {
	if s == "" {
		return 0, true
	}
	n, ok = w.numbers[asWord(s)]
	return n, ok
}

// text is the word of a number.
func (w *words) text(n uint32) string {
	if n == 0 {
		return ""
	}
	return w.all[n].text
}
