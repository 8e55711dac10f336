package transcode

import (
	"unicode/utf16"
	"unicode/utf8"
)

// quoted finds the closing quote of a string whose first byte is at i, and
// tells whether the string is simple: no escapes and valid UTF-8.
func (r *reader) quoted(i int) (end int, simple bool) {
	start, escapes, beyond := i, false, false
	for {
		i = plain(r.src, i)
		if i >= len(r.src) {
			return r.fail(i, ""), false
		}
		switch c := r.src[i]; {
		case c == '"':
			return i, !escapes && (!beyond || utf8.Valid(r.src[start:i]))
		case c == '\\':
			escapes = true
			next := r.escape(i)
			if next < 0 {
				return -1, false
			}
			i = next
		case c < ' ':
			return r.fail(i, "a control character in a string"), false
		default:
			beyond = true
			i++
		}
	}
}

// escape checks the escape sequence at i and gives the position after it.
func (r *reader) escape(i int) int {
	if i+1 >= len(r.src) {
		return r.fail(len(r.src), "")
	}
	switch r.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(r.src) || !isHex(r.src[k]) {
				return r.fail(k, "an escape sequence that JSON does not have")
			}
		}
		return i + 6
	}
	return r.fail(i+1, "an escape sequence that JSON does not have")
}

// unescape appends the text of a string that quoted has checked. What is not
// Unicode (a lone surrogate, a byte that is not UTF-8) becomes U+FFFD, and
// lossy says so.
func unescape(dst, src []byte) (out []byte, lossy bool) {
	for i := 0; i < len(src); {
		if k := plain(src, i); k > i {
			dst = append(dst, src[i:k]...)
			if i = k; i == len(src) {
				break
			}
		}
		if src[i] != '\\' {
			c, n := utf8.DecodeRune(src[i:])
			lossy = lossy || c == utf8.RuneError && n == 1
			dst = utf8.AppendRune(dst, c)
			i += n
			continue
		}
		if src[i+1] != 'u' {
			dst = append(dst, unescaped(src[i+1]))
			i += 2
			continue
		}
		c := unhex(src[i+2:])
		i += 6
		if utf16.IsSurrogate(c) {
			pair := rune(utf8.RuneError)
			if i+6 <= len(src) && src[i] == '\\' && src[i+1] == 'u' {
				pair = utf16.DecodeRune(c, unhex(src[i+2:]))
			}
			if c = pair; c == utf8.RuneError {
				lossy = true
			} else {
				i += 6
			}
		}
		dst = utf8.AppendRune(dst, c)
	}
	return dst, lossy
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// unhex reads four digits that isHex has seen.
func unhex(b []byte) rune {
	var v rune
	for _, c := range b[:4] {
		v = v<<4 | rune(unhexDigit(c))
	}
	return v
}

func unhexDigit(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// text gives the text of a string whose first byte is at i, and the position
// after its closing quote. The text is valid until something is appended to dst.
func (r *reader) text(i int) (b []byte, next int, lossy bool) {
	end, simple := r.quoted(i)
	if end < 0 {
		return nil, -1, false
	}
	if simple {
		return r.src[i:end], end + 1, false
	}
	kept := len(r.dst)
	r.dst, lossy = unescape(r.dst, r.src[i:end])
	b = r.dst[kept:]
	r.dst = r.dst[:kept]
	return b, end + 1, lossy
}
