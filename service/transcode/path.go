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
