package transcode

import "encoding/binary"

// list reads a list from behind its bracket.
func (r *reader) list(f *field, i int) int {
	if !r.enter(i) {
		return -1
	}
	if i = space(r.src, i); r.byteAt(i) == ']' {
		return r.leave(i + 1)
	}
	if f.kind.packed() {
		return r.packed(f, i)
	}
	elem, more, size := f.elem, true, 1
	for more {
		start := len(r.dst)
		switch {
		case r.byteAt(i) == 'n' && elem.kind != kindValue:
			if i = r.literal(i, "null"); i >= 0 {
				r.report(elem, LeftOut)
			}
		case elem.kind == kindMessage && r.byteAt(i) == '{':
			i = r.nested(elem, i, size)
			// The next row is mostly as long as this one.
			size = varintSize(uint64(len(r.dst) - start))
		default:
			i = r.one(elem, i)
		}
		if i < 0 {
			return -1
		}
		i, more = r.more(i, ']')
	}
	return r.leave(i)
}

// packed reads a list of numbers or booleans into one record.
func (r *reader) packed(f *field, i int) int {
	start := len(r.dst)
	r.dst = openSlot(r.dst, f.tag, 1)
	from, more := len(r.dst), true
	for more {
		var how match
		if r.byteAt(i) == 'n' {
			i, how = r.literal(i, "null"), misfit
		} else {
			i, how = r.element(f.kind, i)
		}
		if i = r.settle(f.elem, i, how); i < 0 {
			return -1
		}
		i, more = r.more(i, ']')
	}
	if len(r.dst) == from {
		r.dst = r.dst[:start]
	} else {
		r.dst, _ = closeSlot(r.dst, from, 1)
	}
	return r.leave(i)
}

// element appends one number or boolean without a tag.
func (r *reader) element(k kind, i int) (next int, how match) {
	var v uint64
	switch k {
	case kindInt:
		var n int64
		if n, next, how = r.int(i); next >= 0 && how != misfit {
			r.dst = appendVarint(r.dst, uint64(n))
		}
	case kindBool:
		var b byte
		if b, next, how = r.bool(i); next >= 0 && how != misfit {
			r.dst = append(r.dst, b)
		}
	default:
		if v, next, how = r.double(i); next >= 0 && how != misfit {
			r.dst = binary.LittleEndian.AppendUint64(r.dst, v)
		}
	}
	return next, how
}

// dict reads an object whose keys are data, from behind its brace: one entry
// each. A key that comes twice stands twice on the wire, and the last one wins.
func (r *reader) dict(f *field, i int) int {
	if !r.enter(i) {
		return -1
	}
	if i = space(r.src, i); r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	more := true
	for more {
		start := len(r.dst)
		r.dst = openSlot(r.dst, f.tag, 1)
		from := len(r.dst)
		if i = r.entryKey(f, i); i < 0 {
			return -1
		}
		empty := len(r.dst)
		if r.byteAt(i) == 'n' && f.kind != kindValue {
			i = r.literal(i, "null")
		} else {
			i = r.one(f.elem, i)
		}
		if i < 0 {
			return -1
		}
		if len(r.dst) == empty {
			r.dst = r.dst[:start] // null, or left out
		} else {
			r.dst, _ = closeSlot(r.dst, from, 1)
		}
		i, more = r.more(i, '}')
	}
	return r.leave(i)
}

// entryKey reads the key of a map's entry and the colon behind it.
func (r *reader) entryKey(f *field, i int) int {
	if i = r.name(i); i < 0 {
		return -1
	}
	next, lossy := r.appendText(1<<3|wireBytes, i)
	if next < 0 {
		return -1
	}
	if lossy {
		r.report(f, Converted)
	}
	return r.colon(next)
}
