package transcode

import "encoding/binary"

// seenWords times 64 fields of an object can be told apart; see maxFields.
const seenWords = 4

// object reads an object with known properties, from behind its brace, and
// appends its fields. Names are expected in the order of the contract's
// fields; a name that is not the expected one is looked up.
func (r *reader) object(m *message, i int) int {
	if !r.enter(i) {
		return -1
	}
	src := r.src
	if i = space(src, i); r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	var seen [seenWords]uint64
	from := len(r.dst)
	expected := 0
	for {
		at := -1
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
				return -1
			}
		}
		if at >= 0 {
			f := &m.fields[at]
			if word, bit := at/64, uint64(1)<<(at%64); seen[word]&bit == 0 {
				seen[word] |= bit
			} else {
				r.again(f, from)
			}
			i = r.value(f, i)
			expected = at + 1
		}
		if i < 0 {
			return -1
		}
		c := r.byteAt(i)
		if c == ',' && r.byteAt(i+1) == '"' {
			i++
			continue
		}
		var more bool
		if i, more = r.more(i, '}'); !more {
			return r.leave(i)
		}
	}
}

// key reads the key at i and the colon behind it, and gives the field's index.
// A key that the contract does not have is reported and its value skipped: at
// is -1 then, and next behind the value.
func (r *reader) key(m *message, i int) (at, next int) {
	if i = r.name(i); i < 0 {
		return -1, -1
	}
	name, after, _ := r.text(i)
	if after < 0 {
		return -1, -1
	}
	at = m.byKey(name)
	next = r.colon(after)
	if at >= 0 || next < 0 {
		return at, next
	}
	r.reportKey(name)
	return -1, r.skip(next)
}

// again takes back what an earlier key of the same name has written: the last
// one wins.
func (r *reader) again(f *field, from int) {
	r.dst = r.dst[:from+len(without(r.dst[from:], f.number))]
	r.report(f, LeftOut)
}

// value reads the value at i into a field of the message being written.
func (r *reader) value(f *field, i int) int {
	c := r.byteAt(i)
	if c == 'n' {
		return r.literal(i, "null")
	}
	switch f.shape {
	case single:
		return r.one(f, i)
	case list:
		if c == '[' {
			return r.list(f, i+1)
		}
		if f.elem.accepts(c) {
			r.report(f, Converted)
			return r.one(f.elem, i)
		}
	case dict:
		if c == '{' {
			return r.dict(f, i+1)
		}
	}
	return r.leaveOut(f, i)
}

// accepts tells whether a value that begins with c can stand for one element.
func (f *field) accepts(c byte) bool {
	switch f.kind {
	case kindMessage, kindStruct:
		return c == '{'
	case kindValue:
		return true
	case kindBare:
		return c == '[' || f.message.fields[0].elem.accepts(c)
	case kindList:
		return c != 0
	default:
		return c != '{' && c != '['
	}
}

// leaveOut skips a value that does not fit its field.
func (r *reader) leaveOut(f *field, i int) int {
	if i = r.skip(i); i >= 0 {
		r.report(f, LeftOut)
	}
	return i
}

// one reads the value at i and appends it with its tag; nothing when it does
// not fit. A null has been dealt with.
func (r *reader) one(f *field, i int) int {
	c := r.byteAt(i)
	switch f.kind {
	case kindString:
		return r.string(f, i)
	case kindInt:
		v, end, how := r.int(i)
		if end >= 0 && how != misfit {
			r.dst = appendVarint(appendVarint(r.dst, uint64(f.tag)), uint64(v))
		}
		return r.settle(f, end, how)
	case kindBool:
		v, end, how := r.bool(i)
		if end >= 0 && how != misfit {
			r.dst = append(appendVarint(r.dst, uint64(f.tag)), v)
		}
		return r.settle(f, end, how)
	case kindDouble:
		v, end, how := r.double(i)
		if end >= 0 && how != misfit {
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
		if f.accepts(c) {
			return r.nested(f, i, 1)
		}
	default:
		return r.freeForm(f, i)
	}
	return r.leaveOut(f, i)
}

// settle reports how a value that has been read went into its field.
func (r *reader) settle(f *field, next int, how match) int {
	if how != asIs && next >= 0 {
		if how == converted {
			r.report(f, Converted)
		} else {
			r.report(f, LeftOut)
		}
	}
	return next
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
		i = r.value(&f.message.fields[0], i)
	} else {
		i = r.object(f.message, i+1)
	}
	r.level--
	if i >= 0 {
		r.dst, _ = closeSlot(r.dst, from, size)
	}
	return i
}
