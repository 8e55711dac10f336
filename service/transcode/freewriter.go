package transcode

import (
	"math"
	"slices"
)

// An entry is one record of a map on the wire: where its key stands, and its
// value. Without a value record the value is the type's zero.
type entry struct {
	key   []byte
	value []byte // what follows the value's tag
	tag   uint64 // 0: no value
}

// keepsOnStack is how many entries a map may have before they are kept on the heap.
const keepsOnStack = 16

// dict writes the records of a map from i on.
func (w *writer) dict(f *field, b []byte, i int) (next int, some bool) {
	var buffer [keepsOnStack]entry
	entries, next := w.entries(uint64(f.number), f.kind, b, i, buffer[:0])
	if next < 0 {
		return -1, false
	}
	start := len(w.out)
	w.out = append(w.out, '{')
	for k := range entries {
		if !w.entry(f, &entries[k]) {
			w.in("[" + string(entries[k].key) + "]")
			return -1, false
		}
	}
	w.closeObject(start)
	return next, true
}

// entry writes key, value and comma.
func (w *writer) entry(f *field, e *entry) bool {
	if !w.string(e.key) {
		return false
	}
	w.out = append(w.out, ':')
	switch {
	case e.tag != 0:
		if w.value(f.elem, e.value, 0, e.tag) < 0 {
			return false
		}
	case f.kind.wire() == wireBytes:
		if !w.bytes(f.elem, nil) {
			return false
		}
	case f.kind == kindBool:
		w.out = append(w.out, "false"...)
	default:
		w.out = append(w.out, '0')
	}
	w.out = append(w.out, ',')
	return true
}

// entries reads the records of a map that stand together from i on; of a key
// that comes twice the last value, as protobuf has it.
func (w *writer) entries(number uint64, k kind, b []byte, i int, entries []entry) ([]entry, int) {
	var known map[string]int
	for i < len(b) {
		tag, next := uvarint(b, i)
		if next >= 0 && tag>>3 != number {
			break
		}
		var p []byte
		if next >= 0 && tag&7 == wireBytes {
			p, i = payload(b, next)
		} else {
			i = -1
		}
		if i < 0 {
			w.broken()
			return nil, -1
		}
		e, ok := w.parseEntry(p, k)
		if !ok {
			return nil, -1
		}
		at := -1
		if known == nil {
			at = slices.IndexFunc(entries, func(other entry) bool { return string(other.key) == string(e.key) })
			if len(entries) == keepsOnStack {
				known = make(map[string]int, 4*keepsOnStack)
				for n := range entries {
					known[string(entries[n].key)] = n
				}
			}
		}
		if known != nil && at < 0 {
			if n, found := known[string(e.key)]; found {
				at = n
			} else {
				known[string(e.key)] = len(entries)
			}
		}
		if at >= 0 {
			entries[at] = e
		} else {
			entries = append(entries, e)
		}
	}
	return entries, i
}

// parseEntry reads the two fields of a map's entry. A message that comes in several
// values is what they say together: each is copied once, however many there are.
func (w *writer) parseEntry(p []byte, k kind) (e entry, ok bool) {
	var together []byte
	for i := 0; i < len(p); {
		tag, next := uvarint(p, i)
		if next < 0 {
			return e, w.broken()
		}
		if i = skipValue(p, next, tag); i < 0 {
			return e, w.broken()
		}
		switch tag >> 3 {
		case 1:
			if tag&7 != wireBytes {
				return e, w.oddEntry(tag)
			}
			e.key, _ = payload(p, next)
		case 2:
			if uint32(tag&7) != k.wire() {
				return e, w.oddEntry(tag)
			}
			if e.tag == tag && k > kindDouble {
				if together == nil {
					first, _ := payload(e.value, 0)
					together = append(together, first...)
				}
				more, _ := payload(p, next)
				together = append(together, more...)
				continue
			}
			e.tag, e.value = tag, p[next:i]
		default:
			return e, w.oddEntry(tag)
		}
	}
	if together != nil {
		e.value = append(appendVarint(nil, uint64(len(together))), together...)
	}
	return e, true
}

func (w *writer) oddEntry(tag uint64) bool {
	return w.fail("an entry of a map has field number %d with wire type %d, which the contract does not have; nothing was sent", tag>>3, tag&7)
}

// freeObject writes a google.protobuf.Struct.
func (w *writer) freeObject(p []byte) bool {
	if !w.enter() {
		return false
	}
	var buffer [keepsOnStack]entry
	entries, ok := w.structEntries(p, buffer[:0])
	if !ok {
		return false
	}
	start := len(w.out)
	w.out = append(w.out, '{')
	for k := range entries {
		if !w.structEntry(&entries[k]) {
			return false
		}
	}
	w.closeObject(start)
	w.depth--
	return true
}

// structEntries reads the entries of a google.protobuf.Struct into room.
func (w *writer) structEntries(p []byte, room []entry) ([]entry, bool) {
	entries, next := w.entries(1, kindValue, p, 0, room)
	if next < 0 {
		return nil, false
	}
	if next < len(p) {
		tag, _ := uvarint(p, next)
		return nil, w.strange(tag >> 3)
	}
	return entries, true
}

// structEntry writes key, value and comma.
func (w *writer) structEntry(e *entry) bool {
	if !w.string(e.key) {
		return w.in("[" + string(e.key) + "]")
	}
	w.out = append(w.out, ':')
	var value []byte
	if e.tag != 0 {
		value, _ = payload(e.value, 0)
	}
	if !w.free(value) {
		return w.in("[" + string(e.key) + "]")
	}
	w.out = append(w.out, ',')
	return true
}

// freeList writes a google.protobuf.ListValue.
func (w *writer) freeList(p []byte) bool {
	if !w.enter() {
		return false
	}
	w.out = append(w.out, '[')
	count := 0
	for i := 0; i < len(p); count++ {
		tag, next := uvarint(p, i)
		if next >= 0 && tag>>3 != 1 {
			return w.strange(tag >> 3)
		}
		if next < 0 || tag&7 != wireBytes {
			return w.broken()
		}
		value, after := payload(p, next)
		if after < 0 {
			return w.broken()
		}
		if !w.free(value) {
			return w.at(count)
		}
		w.out = append(w.out, ',')
		i = after
	}
	if count > 0 {
		w.out[len(w.out)-1] = ']'
	} else {
		w.out = append(w.out, ']')
	}
	w.depth--
	return true
}

// free writes a google.protobuf.Value. Of its kinds the last one on the wire
// counts; occurrences of one object or list that follow each other are merged.
func (w *writer) free(p []byte) bool {
	if !w.enter() {
		return false
	}
	var last uint64 // tag
	var bits uint64
	var content []byte
	own := false // content is a copy: the next part of it is appended
	for i := 0; i < len(p); {
		tag, next := uvarint(p, i)
		if next < 0 {
			return w.broken()
		}
		var v uint64
		var b []byte
		switch tag {
		case tagNull, tagBool:
			v, i = uvarint(p, next)
		case tagNumber:
			v, i = fixed64(p, next)
		case tagString, tagStruct, tagList:
			b, i = payload(p, next)
			if together := tag == last && tag != tagString; !together {
				own = false
			} else if own {
				b = append(content, b...)
			} else {
				b, own = slices.Concat(content, b), true
			}
		default:
			return w.strange(tag >> 3)
		}
		if i < 0 {
			return w.broken()
		}
		last, bits, content = tag, v, b
	}
	ok := true
	switch last {
	case tagNull:
		w.out = append(w.out, "null"...)
	case tagBool:
		w.out = appendVarintText(w.out, kindBool, bits)
	case tagNumber:
		ok = w.double(math.Float64frombits(bits))
	case tagString:
		ok = w.string(content)
	case tagStruct:
		ok = w.freeObject(content)
	case tagList:
		ok = w.freeList(content)
	default:
		return w.fail("a free value without a kind; null is null_value; nothing was sent")
	}
	w.depth--
	return ok
}
