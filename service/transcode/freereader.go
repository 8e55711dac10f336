package transcode

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// Tags of google.protobuf.Struct, Value and ListValue.
const (
	tagFields = 1<<3 | wireBytes // Struct.fields, and the values of a ListValue
	tagKey    = 1<<3 | wireBytes
	tagValue  = 2<<3 | wireBytes

	tagNull   = 1<<3 | wireVarint
	tagNumber = 2<<3 | wireFixed64
	tagString = 3<<3 | wireBytes
	tagBool   = 4<<3 | wireVarint
	tagStruct = 5<<3 | wireBytes
	tagList   = 6<<3 | wireBytes
)

// maxFree bounds the messages inside each other that free values make, three for
// an object and two for a list, with the messages around them: readers of
// protobuf stop at 100.
const maxFree = 90

// freeForm reads a value into a field of type Struct, Value or ListValue.
func (r *reader) freeForm(f *field, i int) int {
	c := r.byteAt(i)
	if f.kind == kindStruct && c != '{' || f.kind == kindList && c != '[' {
		return r.misplace(f)
	}
	r.dst = openSlot(r.dst, f.tag, 1)
	from := len(r.dst)
	switch f.kind {
	case kindStruct:
		i = r.freeObject(f, i+1)
	case kindList:
		i = r.freeList(f, i+1)
	default:
		i = r.free(f, i)
	}
	if i >= 0 {
		r.dst, _ = closeSlot(r.dst, from, 1)
	}
	return i
}

// free appends the content of a Value.
func (r *reader) free(f *field, i int) int {
	switch r.byteAt(i) {
	case '"':
		next, lossy := r.appendText(tagString, i+1)
		if lossy {
			r.report(f, Converted)
		}
		return next
	case '{':
		return r.freeSlot(f, i, tagStruct)
	case '[':
		return r.freeSlot(f, i, tagList)
	case 't':
		r.dst = append(r.dst, tagBool, 1)
		return r.literal(i, "true")
	case 'f':
		r.dst = append(r.dst, tagBool, 0)
		return r.literal(i, "false")
	case 'n':
		r.dst = append(r.dst, tagNull, 0)
		return r.literal(i, "null")
	}
	if v, end := shortDouble(r.src, i); end >= 0 {
		r.dst = binary.LittleEndian.AppendUint64(append(r.dst, tagNumber), math.Float64bits(v))
		return end
	}
	end := r.number(i)
	if end < 0 {
		return -1
	}
	v, how := toDouble(r.src[i:end])
	if how == asIs {
		r.dst = binary.LittleEndian.AppendUint64(append(r.dst, tagNumber), math.Float64bits(v))
		return end
	}
	// A double would change it: an identifier, mostly. Its digits keep it.
	return r.freeText(f, i, end)
}

// freeText appends the document's own characters from i to end as a string.
func (r *reader) freeText(f *field, i, end int) int {
	text := r.src[i:end]
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte(string(utf8.RuneError)))
	}
	r.dst = appendVarint(append(r.dst, tagString), uint64(len(text)))
	r.dst = append(r.dst, text...)
	r.report(f, Converted)
	return end
}

func (r *reader) freeSlot(f *field, i int, tag uint32) int {
	if r.level+r.freeLevel > maxFree {
		end := r.skip(i)
		if end < 0 {
			return broken
		}
		return r.freeText(f, i, end)
	}
	r.dst = openSlot(r.dst, tag, 1)
	from := len(r.dst)
	if tag == tagStruct {
		i = r.freeObject(f, i+1)
	} else {
		i = r.freeList(f, i+1)
	}
	if i >= 0 {
		r.dst, _ = closeSlot(r.dst, from, 1)
	}
	return i
}

// freeObject appends the content of a Struct, from behind the brace.
func (r *reader) freeObject(f *field, i int) int {
	if !r.enter(i) {
		return broken
	}
	if i = space(r.src, i); r.byteAt(i) == '}' {
		return r.leave(i + 1)
	}
	r.freeLevel += 3
	more := true
	for more {
		if i = r.freeEntry(f, i); i < 0 {
			return broken
		}
		i, more = r.more(i, '}')
	}
	r.freeLevel -= 3
	return r.leave(i)
}

// freeEntry appends one entry of a Struct: the property whose key is at i.
func (r *reader) freeEntry(f *field, i int) int {
	r.dst = openSlot(r.dst, tagFields, 1)
	from := len(r.dst)
	if i = r.entryKey(f, i); i < 0 {
		return broken
	}
	r.dst = openSlot(r.dst, tagValue, 1)
	inner := len(r.dst)
	if i = r.free(f, i); i < 0 {
		return broken
	}
	r.dst, _ = closeSlot(r.dst, inner, 1)
	r.dst, _ = closeSlot(r.dst, from, 1)
	return i
}

// freeList appends the content of a ListValue, from behind the bracket.
func (r *reader) freeList(f *field, i int) int {
	if !r.enter(i) {
		return broken
	}
	if i = space(r.src, i); r.byteAt(i) == ']' {
		return r.leave(i + 1)
	}
	r.freeLevel += 2
	more := true
	for more {
		r.dst = openSlot(r.dst, tagFields, 1)
		from := len(r.dst)
		if i = r.free(f, i); i < 0 {
			return broken
		}
		r.dst, _ = closeSlot(r.dst, from, 1)
		i, more = r.more(i, ']')
	}
	r.freeLevel -= 2
	return r.leave(i)
}
