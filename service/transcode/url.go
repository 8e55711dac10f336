package transcode

import (
	"math"
	"strings"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/contract/canonical"
)

// A param is one parameter of the path: its value on the wire, and where its
// text stands behind the URL or in it.
type param struct {
	value      []byte // what follows the tag, whole
	tag        uint64 // 0: absent
	start, end int
}

// path fills the template. Each parameter is one segment of the canonical path: what
// could be read as anything else on the way is refused, as it is in a path that a
// caller writes itself.
func (w *writer) path(p *Plan, params []param) bool {
	for i := range p.template {
		piece := &p.template[i]
		w.url.WriteString(piece.text)
		if piece.field < 0 {
			continue
		}
		f := &p.request.fields[piece.field]
		start := w.url.Len()
		if params[i].tag != 0 && !w.scalar(f, params[i].value, params[i].tag) {
			return w.in(f.name)
		}
		text := w.url.String()[start:]
		if text == "" {
			w.fail("the path needs it, and it is missing or empty; nothing was sent")
			return w.in(f.name)
		}
		if f.kind == kindString && strings.Contains(text, "%") {
			plain, _ := payload(params[i].value, 0)
			text = string(plain)
		}
		if err := canonical.Segment(text); err != nil {
			w.fail("%.80q cannot stand in a path: it %s; nothing was sent", text, err)
			return w.in(f.name)
		}
		params[i].start, params[i].end = start, w.url.Len()
	}
	return true
}

// scalar appends the text of a scalar to the URL, escaped.
func (w *writer) scalar(f *field, value []byte, tag uint64) bool {
	if uint32(tag&7) != f.kind.wire() {
		return w.wrongType(tag)
	}
	var room [40]byte
	text := room[:0]
	switch f.kind.wire() {
	case wireVarint:
		v, _ := uvarint(value, 0)
		text = appendVarintText(text, f.kind, v)
	case wireFixed64:
		v, _ := fixed64(value, 0)
		if !w.finite(math.Float64frombits(v)) {
			return false
		}
		text = appendDouble(text, math.Float64frombits(v))
	default:
		p, _ := payload(value, 0)
		if f.kind == kindTime {
			seconds, nanos, ok := w.instant(p)
			if !ok {
				return false
			}
			text = appendTime(text, seconds, int32(nanos))
			break
		}
		return w.text(p)
	}
	writeEscaped(&w.url, text)
	return true
}

// text appends a string to the URL, escaped.
func (w *writer) text(p []byte) bool {
	n := 0
	for n < len(p) && canonical.Unreserved(p[n]) {
		n++
	}
	w.url.Write(p[:n])
	if p = p[n:]; len(p) == 0 {
		return true
	}
	if !utf8.Valid(p) {
		return w.fail("a string is not UTF-8; nothing was sent")
	}
	writeEscaped(&w.url, p)
	return true
}

// writeEscaped writes a text with everything but RFC 3986's unreserved
// characters escaped, so that it stands the same in a segment and in a query.
func writeEscaped(url *strings.Builder, text []byte) {
	const hex = "0123456789ABCDEF"
	var room [96]byte // one write to the builder for many characters
	out := room[:0]
	for _, c := range text {
		if len(out) > len(room)-3 {
			url.Write(out)
			out = room[:0]
		}
		if canonical.Unreserved(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	url.Write(out)
}

// Brackets in the name of a parameter, escaped: [] behind a name that takes
// several values, [key] behind one that takes an object.
const (
	listKey  = "%5B%5D"
	openKey  = "%5B"
	closeKey = "%5D"
)

// queryKey is a parameter's name as it stands in a query.
func queryKey(name string) string {
	var b strings.Builder
	writeEscaped(&b, []byte(name))
	return b.String()
}

// parameter appends what the records of a field from i on say to the query, and
// gives the position behind them:
//
//	name=value               a scalar
//	name[]=a&name[]=b        a list
//	name[key]=value          an object
//	name[]k=v&name[]l=w      a list of objects
//
// key is the name, with "[]" behind it when the field is a list.
func (w *writer) parameter(key string, f *field, b []byte, i int) (next int) {
	if f.shape == single {
		tag, at := uvarint(b, i)
		if next = w.pair(key, f, b, at, tag); next < 0 {
			w.in(f.name)
		}
		return next
	}
	for count := 0; i < len(b); {
		tag, at := uvarint(b, i)
		if at < 0 {
			w.broken()
			return -1
		}
		if tag>>3 != uint64(f.number) {
			break
		}
		values, wire := b[at:], tag
		i = skipValue(b, at, tag)
		if i >= 0 && tag&7 == wireBytes && f.kind.packed() {
			values, _ = payload(b, at)
			wire = uint64(f.kind.wire())
		} else if i >= 0 {
			values = b[at:i]
		}
		for k := 0; k < len(values); count++ {
			if i >= 0 {
				k = w.pair(key, f.elem, values, k, wire)
			} else {
				w.broken()
			}
			if i < 0 || k < 0 {
				w.at(count)
				w.in(f.name)
				return -1
			}
		}
	}
	return i
}

// pair appends one value, whose record has this tag.
func (w *writer) pair(key string, f *field, b []byte, i int, tag uint64) (next int) {
	if f.kind == kindString && tag&7 == wireBytes { // most of them
		p, next := payload(b, i)
		if next < 0 {
			w.broken()
			return -1
		}
		w.key(key)
		if !w.text(p) {
			return -1
		}
		return next
	}
	if next = skipValue(b, i, tag); next < 0 {
		w.broken()
		return -1
	}
	if f.kind == kindMessage {
		p, _ := payload(b, i)
		if tag&7 != wireBytes {
			w.broken()
			return -1
		}
		if !w.members(key, f, p) {
			return -1
		}
		return next
	}
	w.key(key)
	if !w.scalar(f, b[i:next], tag) {
		return -1
	}
	return next
}

// key begins a parameter.
func (w *writer) key(key string) {
	if w.url.Len() > w.query {
		w.url.WriteByte('&')
	}
	w.url.WriteString(key)
	w.url.WriteByte('=')
}

// members appends the fields of an object in a query.
func (w *writer) members(key string, f *field, p []byte) bool {
	if !w.enter() {
		return false
	}
	m := f.message
	if p = w.inOrder(m, p); p == nil {
		return false
	}
	done := -1
	for i := 0; i < len(p); {
		tag, _ := uvarint(p, i)
		done = m.byNumber(tag>>3, done+1)
		member := &m.fields[done]
		if old := member.retired; old != nil {
			if old.replaced(p) {
				if i = w.superseded(m, member, p, p, i); i < 0 {
					return false
				}
				continue
			}
			member = &old.as
		}
		if member.key == hiddenKey {
			return w.declaredOnly()
		}
		name := queryKey(member.json())
		if len(key) < len(listKey) || key[len(key)-len(listKey):] != listKey {
			name = openKey + name + closeKey
		}
		if member.shape == list {
			name += listKey
		}
		if i = w.parameter(key+name, member, p, i); i < 0 {
			return false
		}
	}
	w.depth--
	return true
}
