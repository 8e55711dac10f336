package transcode

import (
	"math"
	"strconv"
)

// string reads a value into a string field: a number keeps its own digits.
func (r *reader) string(f *field, i int) int {
	switch r.byteAt(i) {
	case '"':
		next, lossy := r.appendText(f.tag, i+1)
		if lossy {
			r.report(f, Converted)
		}
		return next
	case '{', '[', 'n':
		return r.misplace(f)
	}
	end := r.skip(i) // a number, true or false: the text is the value
	if end < 0 {
		return broken
	}
	r.dst = appendVarint(appendVarint(r.dst, uint64(f.tag)), uint64(end-i))
	r.dst = append(r.dst, r.src[i:end]...)
	return r.settle(f, end, converted)
}

// appendText appends the string whose first byte is at i, with tag and length.
func (r *reader) appendText(tag uint32, i int) (next int, lossy bool) {
	end := plain(r.src, i)
	if r.byteAt(end) != '"' {
		return r.appendQuoted(tag, i)
	}
	n := end - i
	dst := r.dst
	if tag < 0x80 && n < 0x80 {
		dst = append(dst, byte(tag), byte(n))
	} else {
		dst = appendVarint(appendVarint(dst, uint64(tag)), uint64(n))
	}
	r.dst = append(dst, r.src[i:end]...)
	return end + 1, false
}

// appendQuoted does the same for a string with escapes, or beyond ASCII.
func (r *reader) appendQuoted(tag uint32, i int) (next int, lossy bool) {
	end, simple := r.quoted(i)
	if end < 0 {
		return -1, false
	}
	size := varintSize(uint64(end - i))
	r.dst = openSlot(r.dst, tag, size)
	from := len(r.dst)
	if simple {
		r.dst = append(r.dst, r.src[i:end]...)
	} else {
		r.dst, lossy = unescape(r.dst, r.src[i:end])
	}
	r.dst, _ = closeSlot(r.dst, from, size)
	return end + 1, lossy
}

// int reads a value as an integer.
func (r *reader) int(i int) (v int64, next int, how match) {
	// Up to 18 digits cannot overflow.
	at, negative := i, false
	if r.byteAt(at) == '-' {
		negative = true
		at++
	}
	start, src := at, r.src
	for at < len(src) && src[at]-'0' <= 9 {
		v = v*10 + int64(src[at]-'0')
		at++
	}
	if digits := at - start; digits > 0 && digits <= 18 && (digits == 1 || src[start] != '0') {
		if c := r.byteAt(at); c != '.' && c|0x20 != 'e' {
			if negative {
				v = -v
			}
			return v, at, asIs
		}
	}
	number, next, how := r.digits(i)
	if next < 0 || how == misfit {
		return 0, next, how
	}
	v, exact := toInt(number)
	var room [20]byte
	if how == converted && (exact != asIs || string(strconv.AppendInt(room[:0], v, 10)) != string(number)) {
		return 0, next, misfit
	}
	return v, next, max(how, exact)
}

// double reads a value as the bits of a double.
func (r *reader) double(i int) (bits uint64, next int, how match) {
	if f, end := shortDouble(r.src, i); end >= 0 {
		return math.Float64bits(f), end, asIs
	}
	number, next, how := r.digits(i)
	if next < 0 || how == misfit {
		return 0, next, how
	}
	f, exact := toDouble(number)
	var room [32]byte
	if how == converted && (exact != asIs || string(appendDouble(room[:0], f)) != string(number)) {
		return 0, next, misfit
	}
	return math.Float64bits(f), next, max(how, exact)
}

// digits gives the text of the number at i; of a string that is a number, too,
// and how is converted then: the caller sees to it that the number would be
// written with the very characters of the string.
func (r *reader) digits(i int) (number []byte, next int, how match) {
	c := r.byteAt(i)
	if c == '"' {
		text, next, _ := r.text(i + 1)
		if next >= 0 && !isNumber(text) {
			return nil, next, misfit
		}
		return text, next, converted
	}
	if next = r.skip(i); next < 0 {
		return nil, broken, asIs
	}
	if c != '-' && c-'0' > 9 {
		return nil, next, misfit
	}
	return r.src[i:next], next, asIs
}

// bool reads a value as a boolean.
func (r *reader) bool(i int) (v byte, next int, how match) {
	switch r.byteAt(i) {
	case 't':
		return 1, r.literal(i, "true"), asIs
	case 'f':
		return 0, r.literal(i, "false"), asIs
	case '"':
		text, next, _ := r.text(i + 1)
		switch string(text) {
		case "true":
			return 1, next, converted
		case "false":
			return 0, next, converted
		}
		return 0, next, misfit
	}
	return 0, r.skip(i), misfit
}

// time reads a point in time into a Timestamp. A number does not fit: it could
// count seconds or milliseconds.
func (r *reader) time(f *field, i int) int {
	if r.byteAt(i) != '"' {
		return r.misplace(f)
	}
	text, next, _ := r.text(i + 1)
	if next < 0 {
		return broken
	}
	seconds, nanos, ok := parseTime(text)
	if !ok {
		return r.misplace(f)
	}
	r.dst = openSlot(r.dst, f.tag, 1)
	from := len(r.dst)
	if seconds != 0 {
		r.dst = appendVarint(append(r.dst, 1<<3|wireVarint), uint64(seconds))
	}
	if nanos != 0 {
		r.dst = appendVarint(append(r.dst, 2<<3|wireVarint), uint64(nanos))
	}
	r.dst[from-1] = byte(len(r.dst) - from)
	return next
}
