package transcode

import (
	"bytes"
	"math"
	"strconv"
)

// A match says how a value went into its field.
type match uint8

const (
	asIs match = iota
	converted
	misfit
)

// maxDigits bounds the text of a number that is read into a double; the longest
// exact double has 1,075 digits.
const maxDigits = 2048

// numberEnd finds the end of the JSON number at i. When there is none it gives
// the complement of the position where the grammar broke.
func numberEnd(src []byte, i int) int {
	if i < len(src) && src[i] == '-' {
		i++
	}
	switch {
	case i >= len(src) || src[i]-'0' > 9:
		return ^i
	case src[i] == '0':
		i++
	default:
		i = digitsEnd(src, i)
	}
	if i < len(src) && src[i] == '.' {
		k := digitsEnd(src, i+1)
		if k == i+1 {
			return ^k
		}
		i = k
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		k := digitsEnd(src, i)
		if k == i {
			return ^k
		}
		i = k
	}
	return i
}

func digitsEnd(src []byte, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
}

// isNumber tells a text that is a JSON number from first to last byte.
func isNumber(b []byte) bool { return len(b) > 0 && numberEnd(b, 0) == len(b) }

// toInt reads a JSON number as an integer. One written with a point or an
// exponent is converted when it is whole.
func toInt(number []byte) (int64, match) {
	b, negative := number, false
	if b[0] == '-' {
		b, negative = b[1:], true
	}
	// value = digits x 10^exponent, where zeros at the end of the digits are
	// held back, so that 1.000 and 1000e-3 stay small.
	var value uint64
	held, exponent, fraction, how := 0, 0, false, asIs
	i := 0
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' {
			fraction, how = true, converted
			continue
		}
		if c|0x20 == 'e' {
			how = converted
			break
		}
		if fraction {
			exponent--
		}
		if c == '0' {
			held++
			continue
		}
		var ok bool
		if value, ok = shiftDecimal(value, held+1); !ok || value > math.MaxUint64-uint64(c-'0') {
			return 0, misfit
		}
		value, held = value+uint64(c-'0'), 0
	}
	exponent += held
	if i < len(b) {
		exponent += exponentOf(b[i+1:])
	}
	if value == 0 {
		return 0, how
	}
	if exponent < 0 {
		return 0, misfit
	}
	value, ok := shiftDecimal(value, exponent)
	switch {
	case !ok, negative && value > 1<<63, !negative && value > math.MaxInt64:
		return 0, misfit
	case negative:
		return -int64(value), how // 1<<63 wraps to the smallest integer
	}
	return int64(value), how
}

// shiftDecimal multiplies by a power of ten, unless that overflows.
func shiftDecimal(v uint64, power int) (uint64, bool) {
	if v == 0 {
		return 0, true
	}
	for ; power > 0; power-- {
		if v > math.MaxUint64/10 {
			return 0, false
		}
		v *= 10
	}
	return v, true
}

// exponentOf reads what follows the e. Beyond a million any number of digits
// that fits into memory is far out of range, so it stops there.
func exponentOf(b []byte) int {
	negative := b[0] == '-'
	if negative || b[0] == '+' {
		b = b[1:]
	}
	v := 0
	for _, c := range b {
		if v = v*10 + int(c-'0'); v > 1e9 {
			v = 1e9
		}
	}
	if negative {
		return -v
	}
	return v
}

// pow10 are the powers of ten that a double holds exactly.
var pow10 = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// shortDouble reads the number at i when it has at most 15 digits and no
// exponent: digits and power of ten are exact doubles then, so one division
// rounds correctly. Otherwise, or when it is not a number, end is -1.
func shortDouble(src []byte, i int) (f float64, end int) {
	negative := i < len(src) && src[i] == '-'
	if negative {
		i++
	}
	start, whole := i, uint64(0)
	for i < len(src) && src[i]-'0' <= 9 {
		whole = whole*10 + uint64(src[i]-'0')
		i++
	}
	digits := i - start
	if digits == 0 || digits > 15 || digits > 1 && src[start] == '0' {
		return 0, -1
	}
	f = float64(whole)
	if i < len(src) && src[i] == '.' {
		i++
		from := i
		for i < len(src) && src[i]-'0' <= 9 && digits+i-from < 16 {
			whole = whole*10 + uint64(src[i]-'0')
			i++
		}
		after := i - from
		if after == 0 || digits+after > 15 {
			return 0, -1
		}
		f = float64(whole) / pow10[after]
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		return 0, -1
	}
	if negative {
		f = -f
	}
	return f, i
}

// toDouble reads a JSON number as a double. A number that a double would change
// is a misfit: one beyond its range, and one that would be written with other
// digits.
func toDouble(number []byte) (float64, match) {
	if f, end := shortDouble(number, 0); end == len(number) {
		return f, asIs
	}
	if len(number) > maxDigits {
		return 0, misfit
	}
	f, err := strconv.ParseFloat(string(number), 64)
	var room [32]byte
	if err != nil || !sameNumber(appendDouble(room[:0], f), number) {
		return 0, misfit
	}
	return f, asIs
}

// sameNumber tells whether two JSON numbers of one sign have the same value.
func sameNumber(a, b []byte) bool {
	a, powerA := firstDigit(a)
	b, powerB := firstDigit(b)
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	for powerA == powerB {
		var x, y byte
		x, a = nextDigit(a)
		y, b = nextDigit(b)
		if x != y {
			return false
		}
		if len(a) == 0 && len(b) == 0 {
			return true
		}
	}
	return false
}

// firstDigit gives what follows the zeros at the front of a JSON number, without
// the exponent, and the power of ten of its first digit. Of zero nothing is left.
func firstDigit(number []byte) (digits []byte, power int) {
	if number[0] == '-' {
		number = number[1:]
	}
	if e := bytes.IndexAny(number, "eE"); e >= 0 {
		power = exponentOf(number[e+1:])
		number = number[:e]
	}
	point := bytes.IndexByte(number, '.')
	if point < 0 {
		point = len(number)
	}
	for i, c := range number {
		if c != '0' && c != '.' {
			power += point - i
			if i > point {
				power++
			}
			return bytes.TrimRight(number[i:], "0."), power
		}
	}
	return nil, 0
}

// nextDigit cuts the digit at the front off; behind the last there are zeros.
func nextDigit(digits []byte) (digit byte, rest []byte) {
	if len(digits) > 0 && digits[0] == '.' {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return '0', nil
	}
	return digits[0], digits[1:]
}

// appendDouble writes the shortest number that reads back as f; a whole one
// with all its digits and no exponent, as far as others write them so (1e21).
func appendDouble(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	if abs < 1<<53 && f == math.Trunc(f) {
		if f == 0 && math.Signbit(f) {
			return append(dst, "-0"...)
		}
		return strconv.AppendInt(dst, int64(f), 10)
	}
	if abs < 1e21 && f == math.Trunc(f) {
		return strconv.AppendFloat(dst, f, 'f', 0, 64)
	}
	if abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64)
}
