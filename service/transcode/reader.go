package transcode

import "encoding/binary"

// Positions that are no positions. A function that reads a value gives one of
// them in place of the position behind the value, and its callers pass it on.
const (
	// broken: the document is not JSON; the reader knows where and why.
	broken = -1
	// misplaced: the value does not fit its field. The object that has the
	// property keeps it as it came.
	misplaced = -2
	// unsaid: the value fits, but the wire has no record for it: an empty list or
	// map. The object that has the property keeps it as it came.
	unsaid = -3
)

// seenWords times 64 fields of an object can be told apart; see maxFields.
const seenWords = 4

// object reads an object with known properties, from behind its brace, and
// appends its fields. Names are expected in the order of the contract's
// fields; a name that is not the expected one is looked up.
func (r *reader) object(m *message, i int) int {
	if !r.enter(i) {
		return broken
	}
	src := r.src
	if i = space(src, i); r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	var seen [seenWords]uint64
	from, kept := len(r.dst), r.kept.count
	expected := 0
	for {
		at, key := -1, i
		if expected < len(m.fields) {
			if k := m.fields[expected].key; len(src)-i > len(k) && string(src[i:i+len(k)]) == k {
				at = expected
				if i += len(k); src[i] <= ' ' {
					i = space(src, i)
				}
			}
		}
		if at < 0 {
			if at, i = r.key(m, i); i < 0 {
				return broken
			}
		}
		if at >= 0 {
			f := &m.fields[at]
			if word, bit := at/64, uint64(1)<<(at%64); seen[word]&bit == 0 {
				seen[word] |= bit
			} else {
				r.again(f, from, kept)
			}
			if i = r.property(m, f, key, i); i < 0 {
				return broken
			}
			expected = at + 1
		}
		c := r.byteAt(i)
		if c == ',' && r.byteAt(i+1) == '"' {
			i++
			continue
		}
		var more bool
		if i, more = r.more(i, '}'); !more {
			if r.kept.count > kept {
				r.additional(m, kept)
			}
			return r.leave(i)
		}
	}
}

// property reads the value at i into its field. What cannot stand there is
// kept: key is where its name begins.
func (r *reader) property(m *message, f *field, key, i int) int {
	start, depth := len(r.dst), r.depth
	next := r.value(f, i)
	if f.older != nil {
		next = r.older(f, i, next, start, depth)
	}
	if next >= broken {
		return next
	}
	r.dst, r.depth = r.dst[:start], depth
	return r.keep(m, f, key, i)
}

// keep passes over a property that has no field, or whose value does not fit
// it, and notes it for the object's additional properties.
func (r *reader) keep(m *message, f *field, key, value int) int {
	if m.additional != 0 {
		r.kept.push(property{key: key, field: f})
	}
	return r.skip(value)
}

// key reads the key at i and the colon behind it, and gives the field's index.
// A key that the contract does not have is reported and its value kept: at is
// -1 then, and next behind the value.
func (r *reader) key(m *message, i int) (at, next int) {
	key := i
	if i = r.name(i); i < 0 {
		return -1, broken
	}
	name, after, _ := r.text(i)
	if after < 0 {
		return -1, broken
	}
	at = m.byKey(name)
	next = r.colon(after)
	if at >= 0 || next < 0 {
		return at, next
	}
	r.reportKey(name)
	return -1, r.keep(m, nil, key, next)
}

// again takes back what an earlier key of the same name has written: the last
// one wins.
func (r *reader) again(f *field, from, kept int) {
	r.dst = r.dst[:from+len(without(r.dst[from:], f.number))]
	for _, old := range f.older {
		r.dst = r.dst[:from+len(without(r.dst[from:], old.number))]
	}
	r.kept.drop(f, kept)
	r.report(f, LeftOut)
}

// value reads the value at i into a field of the message being written.
func (r *reader) value(f *field, i int) int {
	c := r.byteAt(i)
	if c == 'n' {
		return r.literal(i, "null")
	}
	switch f.shape {
	case list:
		if c == '[' {
			if r.elements > 0 && r.byteAt(space(r.src, i+1)) == ']' {
				return unsaid
			}
			return r.list(f, i+1)
		}
	case dict:
		if c == '{' {
			if r.elements > 0 && r.byteAt(space(r.src, i+1)) == '}' {
				return unsaid
			}
			return r.dict(f, i+1)
		}
	default:
		if f.kind == kindTime && c == '"' && r.byteAt(i+1) == '"' {
			return i + 2 // "" is how the Dashboard writes that there is no such time
		}
		return r.one(f, i)
	}
	return r.misplace(f)
}

// misplace reports a value that does not fit its field.
func (r *reader) misplace(f *field) int {
	r.report(f, LeftOut)
	return misplaced
}

// one reads the value at i and appends it with its tag. null does not fit, but
// for free values.
func (r *reader) one(f *field, i int) int {
	c := r.byteAt(i)
	switch f.kind {
	case kindString:
		return r.string(f, i)
	case kindInt:
		v, end, how := r.int(i)
		if how != misfit {
			r.dst = appendVarint(appendVarint(r.dst, uint64(f.tag)), uint64(v))
		}
		return r.settle(f, end, how)
	case kindBool:
		v, end, how := r.bool(i)
		if how != misfit {
			r.dst = append(appendVarint(r.dst, uint64(f.tag)), v)
		}
		return r.settle(f, end, how)
	case kindDouble:
		v, end, how := r.double(i)
		if how != misfit {
			r.dst = binary.LittleEndian.AppendUint64(appendVarint(r.dst, uint64(f.tag)), v)
		}
		return r.settle(f, end, how)
	case kindTime:
		return r.time(f, i)
	case kindMessage:
		if c == '{' {
			return r.nested(f, i, 1)
		}
	case kindBare:
		if c == '[' {
			return r.nested(f, i, 1)
		}
	default:
		return r.freeForm(f, i)
	}
	return r.misplace(f)
}

// settle reports how a value that has been read went into its field.
func (r *reader) settle(f *field, next int, how match) int {
	switch {
	case how == asIs || next == broken:
		return next
	case how == converted:
		r.report(f, Converted)
		return next
	}
	return r.misplace(f)
}

// nested reads an object or an inner list, in a slot of size bytes.
func (r *reader) nested(f *field, i, size int) int {
	r.dst = openSlot(r.dst, f.tag, size)
	from := len(r.dst)
	if r.level < len(r.path) {
		r.path[r.level] = f
	}
	r.level++
	if f.kind == kindBare {
		i = r.list(&f.message.fields[0], i+1)
	} else {
		i = r.object(f.message, i+1)
	}
	r.level--
	if i >= 0 {
		r.dst, _ = closeSlot(r.dst, from, size)
	}
	return i
}
