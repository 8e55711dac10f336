package transcode

import "math"

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
			if b, i = payload(p, next); tag == last && tag != tagString {
				b = append(content[:len(content):len(content)], b...)
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
