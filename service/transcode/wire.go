package transcode

import (
	"encoding/binary"
	"math/bits"
)

// appendVarint writes a varint; the one that protowire has is not inlined for
// the short values that tags and lengths are.
func appendVarint(dst []byte, v uint64) []byte {
	for v >= 0x80 {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v))
}

// varintSize is the number of bytes of a varint.
func varintSize(v uint64) int {
	return int(9*uint32(bits.Len64(v))+64) / 64
}

// openSlot appends a tag and room for a length of size bytes.
func openSlot(dst []byte, tag uint32, size int) []byte {
	dst = appendVarint(dst, uint64(tag))
	for ; size > 0; size-- {
		dst = append(dst, 0)
	}
	return dst
}

// closeSlot writes the length of what was appended since from into the slot in
// front of it, which has size bytes; what was appended moves when the length
// takes more or fewer. Moving some hundred bytes is cheaper than measuring
// first, and a caller with a list learns the size from the element before.
func closeSlot(dst []byte, from, size int) (out []byte, used int) {
	n := len(dst) - from
	used = 1
	if n >= 0x80 {
		used = varintSize(uint64(n))
	}
	if used != size {
		for range used - size {
			dst = append(dst, 0)
		}
		copy(dst[from+used-size:], dst[from:from+n])
		dst = dst[:from+used-size+n]
	}
	at := from - size
	for n >= 0x80 {
		dst[at] = byte(n) | 0x80
		n >>= 7
		at++
	}
	dst[at] = byte(n)
	return dst, used
}

// without removes every record of one field from a message; wire is our own
// and whole.
func without(wire []byte, number int32) []byte {
	kept := 0
	for i := 0; i < len(wire); {
		start := i
		tag, next := uvarint(wire, i)
		i = skipValue(wire, next, tag)
		if tag>>3 != uint64(number) {
			kept += copy(wire[kept:], wire[start:i])
		}
	}
	return wire[:kept]
}

// hasField tells whether a message has a record of a field; the wire is whole.
func hasField(wire []byte, number int32) bool {
	for i := 0; i < len(wire); {
		tag, next := uvarint(wire, i)
		if tag>>3 == uint64(number) {
			return true
		}
		if i = skipValue(wire, next, tag); i < 0 {
			return false
		}
	}
	return false
}

// uvarint reads the varint at i; next is -1 when it breaks off or is longer
// than ten bytes.
func uvarint(b []byte, i int) (v uint64, next int) {
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		return uint64(b[i]), i + 1
	}
	return longVarint(b, i)
}

func longVarint(b []byte, i int) (v uint64, next int) {
	for shift := uint(0); shift < 70 && i < len(b); shift += 7 {
		c := b[i]
		i++
		if shift == 63 && c > 1 {
			return 0, -1
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, i
		}
	}
	return 0, -1
}

// fixed64 reads eight bytes at i; next is -1 when there are fewer.
func fixed64(b []byte, i int) (v uint64, next int) {
	if len(b)-i < 8 {
		return 0, -1
	}
	return binary.LittleEndian.Uint64(b[i:]), i + 8
}

// payload reads the length at i and gives what it covers; next is -1 when that
// is more than there is.
func payload(b []byte, i int) (p []byte, next int) {
	n, at := uvarint(b, i)
	if at < 0 || n > uint64(len(b)-at) {
		return nil, -1
	}
	next = at + int(n)
	return b[at:next:next], next
}

// skipValue gives the position after the value at i of a record with this tag;
// -1 when it breaks off or has a wire type that proto3 does not.
func skipValue(b []byte, i int, tag uint64) int {
	switch tag & 7 {
	case wireVarint:
		_, i = uvarint(b, i)
	case wireFixed64:
		_, i = fixed64(b, i)
	case wireBytes:
		_, i = payload(b, i)
	case wireFixed32:
		if i += 4; i > len(b) {
			return -1
		}
	default:
		return -1
	}
	return i
}
