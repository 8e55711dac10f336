package transcode

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// maxWireDepth bounds messages inside each other, as protobuf's own readers do.
const maxWireDepth = 100

// A writer turns protobuf wire into JSON text. Its methods give false when the
// wire is wrong; err says how then, and each caller on the way out puts its
// own name in front of the field's path.
type writer struct {
	// out takes JSON, url path and query.
	out []byte
	url strings.Builder
	// query is where the query begins in url.
	query int
	depth int
	// bound is how long out may become; 0 for any length.
	bound int
	// extra is what the request's additional_properties hold; nil without them.
	extra []byte
	err   *fault.Error
	// named: err has its field already.
	named bool
}

// enter counts the depth of messages. It also ends what becomes too long: masks write
// more than the message has, once for every element of a list.
func (w *writer) enter() bool {
	if w.bound > 0 && len(w.out) > w.bound {
		return w.tooLong()
	}
	if w.depth++; w.depth > maxWireDepth {
		return w.fail("more than %d messages inside each other; nothing was sent", maxWireDepth)
	}
	return true
}

// object writes a message as a JSON object. Wire in an unusual order (a field
// that repeats, or stands behind one of a higher number) is put in order first: to
// find out on the way would write what is inside twice, and what is inside of that
// four times.
func (w *writer) object(m *message, b []byte) bool {
	if !w.enter() {
		return false
	}
	if !isOrdered(m, b) {
		if b = w.inOrder(m, b); b == nil {
			return false
		}
	}
	start := len(w.out)
	w.out = append(w.out, '{')
	done := -1
	for i := 0; i < len(b); {
		tag, next := uvarint(b, i)
		if next < 0 {
			return w.broken()
		}
		at := m.byNumber(tag>>3, done+1)
		if at < 0 {
			return w.strange(tag >> 3)
		}
		done = at
		if f := &m.fields[at]; f.key == hiddenKey {
			i = w.hidden(m, f, b, b, i, nil)
		} else {
			i = w.member(f, b, i)
		}
		if i < 0 {
			return false
		}
	}
	w.closeObject(start)
	w.depth--
	return true
}

// closeObject ends an object that began at start: every member has put a comma
// behind itself.
func (w *writer) closeObject(start int) {
	if last := len(w.out) - 1; last > start {
		w.out[last] = '}'
		return
	}
	w.out = append(w.out, '}')
}

// member writes name, value and a comma for the field whose record is at i, and
// for all records of a list or map that follow at once. It gives the position
// behind them.
func (w *writer) member(f *field, b []byte, i int) int {
	start := len(w.out)
	w.out = append(w.out, f.key...)
	next, some := w.records(f, b, i)
	if next < 0 {
		w.in(f.name)
		return -1
	}
	if !some {
		w.out = w.out[:start]
		return next
	}
	w.out = append(w.out, ',')
	return next
}

// records writes the value that stands in the records of f from i on. A packed
// list may be empty: nothing is written then, and some is false.
func (w *writer) records(f *field, b []byte, i int) (next int, some bool) {
	switch f.shape {
	case list:
		return w.list(f, b, i)
	case dict:
		return w.dict(f, b, i)
	}
	tag, i := uvarint(b, i)
	return w.value(f, b, i, tag), true
}

// value writes the one value at i, whose record has this tag.
func (w *writer) value(f *field, b []byte, i int, tag uint64) int {
	if uint32(tag&7) != f.kind.wire() {
		w.wrongType(tag)
		return -1
	}
	ok, next := true, -1
	switch f.kind.wire() {
	case wireVarint:
		var v uint64
		if v, next = uvarint(b, i); next >= 0 {
			w.out = appendVarintText(w.out, f.kind, v)
		}
	case wireFixed64:
		var v uint64
		if v, next = fixed64(b, i); next >= 0 {
			ok = w.double(math.Float64frombits(v))
		}
	default:
		var p []byte
		if p, next = payload(b, i); next >= 0 {
			ok = w.bytes(f, p)
		}
	}
	if next < 0 {
		w.broken()
	}
	if !ok {
		return -1
	}
	return next
}

// appendVarintText writes an integer or a boolean.
func appendVarintText(dst []byte, k kind, v uint64) []byte {
	if k == kindInt {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	return strconv.AppendBool(dst, v != 0)
}

// finite refuses what JSON has no number for.
func (w *writer) finite(f float64) bool {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return w.fail("%v is not a number that JSON can carry; nothing was sent", f)
	}
	return true
}

func (w *writer) double(f float64) bool {
	if !w.finite(f) {
		return false
	}
	w.out = appendDouble(w.out, f)
	return true
}

// bytes writes a value that has a length on the wire.
func (w *writer) bytes(f *field, p []byte) bool {
	switch f.kind {
	case kindString:
		return w.string(p)
	case kindTime:
		seconds, nanos, ok := w.instant(p)
		if ok {
			w.out = appendTime(append(w.out, '"'), seconds, int32(nanos))
			w.out = append(w.out, '"')
		}
		return ok
	case kindMessage:
		return w.object(f.message, p)
	case kindBare:
		return w.inner(f.message, p)
	case kindStruct:
		return w.freeObject(p)
	case kindList:
		return w.freeList(p)
	}
	return w.free(p)
}

// inner writes a message whose array stands in its place.
func (w *writer) inner(m *message, b []byte) bool {
	if !w.enter() {
		return false
	}
	f := &m.fields[0]
	start := len(w.out)
	if len(b) > 0 {
		tag, next := uvarint(b, 0)
		if next < 0 {
			return w.broken()
		}
		if tag>>3 != uint64(f.number) {
			return w.strange(tag >> 3)
		}
		next, _ = w.list(f, b, 0)
		if next < 0 {
			return w.in(f.name)
		}
		if next < len(b) {
			tag, _ := uvarint(b, next)
			return w.strange(tag >> 3)
		}
	}
	if len(w.out) == start {
		w.out = append(w.out, '[', ']')
	}
	w.depth--
	return true
}

// list writes the records of a list from i on: packed, one by one, or mixed.
func (w *writer) list(f *field, b []byte, i int) (next int, some bool) {
	start, count := len(w.out), 0
	w.out = append(w.out, '[')
	for i < len(b) {
		tag, at := uvarint(b, i)
		if at < 0 {
			w.broken()
			return -1, false
		}
		if tag>>3 != uint64(f.number) {
			break
		}
		if tag&7 == wireBytes && f.kind.packed() {
			p, after := payload(b, at)
			if after < 0 {
				w.broken()
				return -1, false
			}
			element := uint64(f.kind.wire())
			for k := 0; k < len(p); count++ {
				if k = w.value(f.elem, p, k, element); k < 0 {
					w.at(count)
					return -1, false
				}
				w.out = append(w.out, ',')
			}
			i = after
			continue
		}
		if i = w.value(f.elem, b, at, tag); i < 0 {
			w.at(count)
			return -1, false
		}
		w.out = append(w.out, ',')
		count++
	}
	if count == 0 {
		w.out = w.out[:start]
		return i, false
	}
	w.out[len(w.out)-1] = ']'
	return i, true
}

// string writes a JSON string.
func (w *writer) string(p []byte) bool {
	if w.bound > 0 && len(w.out)+len(p) > w.bound {
		return w.tooLong()
	}
	if plain(p, 0) == len(p) {
		w.out = append(w.out, '"')
		w.out = append(w.out, p...)
		w.out = append(w.out, '"')
		return true
	}
	if !utf8.Valid(p) {
		return w.fail("a string is not UTF-8; nothing was sent")
	}
	w.out = appendEscaped(append(w.out, '"'), p)
	w.out = append(w.out, '"')
	return true
}

// appendEscaped writes valid UTF-8 as it stands between the quotes in JSON.
func appendEscaped(dst, p []byte) []byte {
	const hex = "0123456789abcdef"
	kept := 0
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, p[kept:i]...)
		kept = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(dst, p[kept:]...)
}

// instant reads a Timestamp.
func (w *writer) instant(p []byte) (seconds, nanos int64, ok bool) {
	for i := 0; i < len(p); {
		tag, next := uvarint(p, i)
		if next < 0 {
			return 0, 0, w.broken()
		}
		var v uint64
		if v, i = uvarint(p, next); i < 0 || tag&7 != wireVarint {
			return 0, 0, w.broken()
		}
		switch tag >> 3 {
		case 1:
			seconds = int64(v)
		case 2:
			nanos = int64(int32(v))
		default:
			return 0, 0, w.strange(tag >> 3)
		}
	}
	if seconds < minSeconds || seconds > maxSeconds || nanos < 0 || nanos > 999_999_999 {
		return 0, 0, w.fail("a timestamp lies between the years 1 and 9999, with nanos from 0 to 999999999; nothing was sent")
	}
	return seconds, nanos, true
}
