package transcode

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The JSON grammar, as functions over a position in the document. A position
// below zero means that the document is broken; where and why is in the reader.

// plain finds the first byte at or after i that needs a second look inside a
// string: a quote, a backslash, a control character, or anything beyond ASCII.
// It gives len(src) when there is none.
func plain(src []byte, i int) int {
	const (
		ones  = 0x0101010101010101
		high  = 0x8080808080808080
		quote = '"' * ones
		slash = '\\' * ones
		space = ' ' * ones
	)
	for i+8 <= len(src) {
		w := binary.LittleEndian.Uint64(src[i:])
		// A byte that is equal turns to zero, and zero minus one sets its high
		// bit, as does a control character minus a space. The lowest bit set is
		// exact: borrows only run upward from a byte that was found.
		if found := (((w ^ quote) - ones) | ((w ^ slash) - ones) | (w - space) | w) & high; found != 0 {
			return i + bits.TrailingZeros64(found)>>3
		}
		i += 8
	}
	for i < len(src) && src[i] >= ' ' && src[i] != '"' && src[i] != '\\' && src[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// space skips white space.
func space(src []byte, i int) int {
	for i < len(src) {
		switch src[i] {
		case ' ', '\t', '\n', '\r':
			i++
		default:
			return i
		}
	}
	return i
}

// fail notes where and why the document is broken; the first one counts.
func (r *reader) fail(at int, why string) int {
	if r.why == "" {
		if at >= len(r.src) {
			at, why = len(r.src), "it breaks off"
		}
		r.at, r.why = at, why
	}
	return -1
}

// literal checks the word at i.
func (r *reader) literal(i int, word string) int {
	if end := i + len(word); end <= len(r.src) && string(r.src[i:end]) == word {
		return end
	}
	if rest := r.src[i:]; len(rest) < len(word) && word[:len(rest)] == string(rest) {
		return r.fail(len(r.src), "")
	}
	return r.fail(i, "a word that JSON does not have")
}

// number finds the end of the number at i.
func (r *reader) number(i int) int {
	end := numberEnd(r.src, i)
	switch {
	case end >= 0:
		return end
	case ^end == i:
		return r.fail(i, "a value was expected")
	}
	return r.fail(^end, "a number that JSON does not have")
}

// skip passes over one value of any kind, checking its grammar.
func (r *reader) skip(i int) int {
	if i >= len(r.src) {
		return r.fail(i, "")
	}
	switch r.src[i] {
	case '"':
		end, _ := r.quoted(i + 1)
		if end < 0 {
			return -1
		}
		return end + 1
	case '{':
		return r.skipObject(i + 1)
	case '[':
		return r.skipArray(i + 1)
	case 't':
		return r.literal(i, "true")
	case 'f':
		return r.literal(i, "false")
	case 'n':
		return r.literal(i, "null")
	}
	return r.number(i)
}

func (r *reader) skipObject(i int) int {
	if !r.enter(i) {
		return -1
	}
	i = space(r.src, i)
	if r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	for {
		if i = r.name(i); i < 0 {
			return -1
		}
		end, _ := r.quoted(i)
		if end < 0 {
			return -1
		}
		if i = r.colon(end + 1); i < 0 {
			return -1
		}
		if i = r.skip(i); i < 0 {
			return -1
		}
		var more bool
		if i, more = r.more(i, '}'); !more {
			return r.leave(i)
		}
	}
}

func (r *reader) skipArray(i int) int {
	if !r.enter(i) {
		return -1
	}
	i = space(r.src, i)
	if r.byteAt(i) == ']' {
		return r.leave(i + 1)
	}
	for {
		if i = r.skip(i); i < 0 {
			return -1
		}
		var more bool
		if i, more = r.more(i, ']'); !more {
			return r.leave(i)
		}
	}
}

// enter counts the depth of what is open at i.
func (r *reader) enter(i int) bool {
	if r.depth++; r.depth > maxDepth {
		r.fail(i-1, "deeper than any answer of the Dashboard's")
		return false
	}
	return true
}

func (r *reader) leave(i int) int {
	r.depth--
	return i
}

// byteAt gives the byte at i, and 0 beyond the end: a NUL is never legal
// outside of a string.
func (r *reader) byteAt(i int) byte {
	if uint(i) < uint(len(r.src)) {
		return r.src[i]
	}
	return 0
}

// name expects the opening quote of a key at i and gives the position after it.
func (r *reader) name(i int) int {
	if r.byteAt(i) != '"' {
		return r.fail(i, "a key was expected")
	}
	return i + 1
}

// colon expects a colon at i, white space around it allowed.
func (r *reader) colon(i int) int {
	i = space(r.src, i)
	if r.byteAt(i) != ':' {
		return r.fail(i, "a colon was expected")
	}
	return space(r.src, i+1)
}

// more stands after a value and expects a comma, or the end of what is open.
// It gives the position of what follows.
func (r *reader) more(i int, closing byte) (next int, more bool) {
	c := r.byteAt(i)
	if c <= ' ' {
		i = space(r.src, i)
		c = r.byteAt(i)
	}
	switch c {
	case ',':
		if i++; r.byteAt(i) <= ' ' {
			i = space(r.src, i)
		}
		return i, true
	case closing:
		return i + 1, false
	}
	return r.fail(i, "a comma or the end was expected"), false
}
