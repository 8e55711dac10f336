package transcode

import "encoding/binary"

// list reads a list from behind its bracket. One element that does not fit, and
// the whole list does not.
func (r *reader) list(f *field, i int) int {
	if !r.enter(i) {
		return broken
	}
	if i = space(r.src, i); r.byteAt(i) == ']' {
		return r.leave(i + 1)
	}
	if f.kind.packed() {
		return r.packed(f, i)
	}
	r.elements++
	elem, more, size := f.elem, true, 1
	for more {
		start := len(r.dst)
		if elem.kind == kindMessage && r.byteAt(i) == '{' {
			i = r.nested(elem, i, size)
			// The next row is mostly as long as this one.
			size = varintSize(uint64(len(r.dst) - start))
		} else {
			i = r.one(elem, i)
		}
		if i < 0 {
			break
		}
		i, more = r.more(i, ']')
	}
	r.elements--
	if i < 0 {
		return i
	}
	return r.leave(i)
}

// packed reads a list of numbers or booleans into one record.
func (r *reader) packed(f *field, i int) int {
	r.dst = openSlot(r.dst, f.tag, 1)
	from, more := len(r.dst), true
	for more {
		next, how := r.element(f.kind, i)
		if i = r.settle(f.elem, next, how); i < 0 {
			return i
		}
		i, more = r.more(i, ']')
	}
	if i < 0 {
		return broken
	}
	r.dst, _ = closeSlot(r.dst, from, 1)
	return r.leave(i)
}

// element appends one number or boolean without a tag.
func (r *reader) element(k kind, i int) (next int, how match) {
	switch k {
	case kindInt:
		v, next, how := r.int(i)
		r.dst = appendVarint(r.dst, uint64(v))
		return next, how
	case kindBool:
		v, next, how := r.bool(i)
		r.dst = append(r.dst, v)
		return next, how
	}
	v, next, how := r.double(i)
	r.dst = binary.LittleEndian.AppendUint64(r.dst, v)
	return next, how
}

// dict reads an object whose keys are data, from behind its brace: one entry
// each. A key that comes twice stands twice on the wire, and the last one wins.
// One value that does not fit, and the whole map does not.
func (r *reader) dict(f *field, i int) int {
	if !r.enter(i) {
		return broken
	}
	if i = space(r.src, i); r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	r.elements++
	more := true
	for more {
		r.dst = openSlot(r.dst, f.tag, 1)
		from := len(r.dst)
		if i = r.entryKey(f, i); i < 0 {
			break
		}
		if i = r.one(f.elem, i); i < 0 {
			break
		}
		r.dst, _ = closeSlot(r.dst, from, 1)
		i, more = r.more(i, '}')
	}
	r.elements--
	if i < 0 {
		return i
	}
	return r.leave(i)
}

// entryKey reads the key of a map's entry and the colon behind it.
func (r *reader) entryKey(f *field, i int) int {
	if i = r.name(i); i < 0 {
		return broken
	}
	next, lossy := r.appendText(1<<3|wireBytes, i)
	if next < 0 {
		return broken
	}
	if lossy {
		r.report(f, Converted)
	}
	return r.colon(next)
}
