// Package canonical is the one form of a path below the API's root. What a caller
// may do, whose budget it spends, which answers are shared and what is sent are all
// decided by this one string, so that no reading of it by the broker, by a proxy or
// by the Dashboard can differ from another.
//
// Every segment is unescaped exactly once, checked, and escaped again in one way.
// The check leaves nothing that a proxy on the way could turn into another path by
// unescaping it once more, by resolving dots, by merging slashes, by cutting
// parameters or by folding characters that look alike.
package canonical

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Path gives the canonical form of an escaped path: "/organizations/1" for
// "/%6frganizations/1". The error says, for a caller to read, which segment cannot
// be sent and why.
func Path(escaped string) (string, error) {
	if !strings.HasPrefix(escaped, "/") {
		return "", errors.New("it starts with a slash, as /organizations")
	}
	var out strings.Builder
	changed := false
	for raw := range strings.SplitSeq(escaped[1:], "/") {
		text, err := url.PathUnescape(raw)
		if err != nil {
			err = errEscape
		} else {
			err = Segment(text)
		}
		if err != nil {
			return "", fmt.Errorf("its segment %.80q %w", raw, err)
		}
		out.WriteByte('/')
		before := out.Len()
		writeEscaped(&out, text)
		changed = changed || out.Len()-before != len(raw) || out.String()[before:] != raw
	}
	if !changed {
		return escaped, nil
	}
	return out.String(), nil
}

// Is tells whether a path is in its canonical form.
func Is(path string) bool {
	form, err := Path(path)
	return err == nil && form == path
}

// The reasons why a text cannot be a segment.
var (
	errEscape    = errors.New("has a % that is not followed by two hexadecimal digits")
	errEmpty     = errors.New("is empty")
	errDot       = errors.New("ends with a dot, which some servers resolve or cut off")
	errExtension = errors.New("ends like the name of a file, which the Dashboard could take for the same path without the ending")
)

// Segment says why a text cannot be a segment of a path, for a caller to read; nil
// when it can. The text is not escaped.
//
// A segment is made of RFC 3986's pchar without the percent sign and the semicolon:
// no id of the Dashboard's has others. A slash, a backslash, a question mark or a
// percent sign that is escaped once becomes a part of the path's syntax where
// somebody unescapes it; a semicolon begins parameters that some servers cut off; a
// space ends the path for some readers of a request line; characters outside of
// ASCII may be folded into ASCII ones (U+FF0F into a slash, U+2024 into a dot); and
// bytes that are not UTF-8 may be an overlong form of either.
func Segment(text string) error {
	if text == "" {
		return errEmpty
	}
	for i := range len(text) {
		if c := text[i]; !Unreserved(c) && !strings.ContainsRune("!$&'()*+,:=@", rune(c)) {
			return fmt.Errorf("holds %q, which no id of the Dashboard's has and which could be read as another path on the way", text[i:i+1])
		}
	}
	dot := strings.LastIndexByte(text, '.')
	switch {
	case dot < 0:
		return nil
	case dot == len(text)-1:
		return errDot
	case letters(text[dot+1:]):
		return errExtension
	}
	return nil
}

func letters(text string) bool {
	for i := range len(text) {
		if c := text[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

// writeEscaped writes a text with everything but RFC 3986's unreserved characters
// escaped, in upper-case hexadecimal digits.
func writeEscaped(out *strings.Builder, text string) {
	const hex = "0123456789ABCDEF"
	for i := range len(text) {
		if c := text[i]; Unreserved(c) {
			out.WriteByte(c)
		} else {
			out.WriteByte('%')
			out.WriteByte(hex[c>>4])
			out.WriteByte(hex[c&15])
		}
	}
}

// The unreserved characters as two sets of 64 bits.
const (
	unreservedLow  = 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
	unreservedHigh = (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64) | 1<<('_'-64) | 1<<('~'-64)
)

// Unreserved tells RFC 3986's unreserved characters, which stand for themselves in
// a path and in a query.
func Unreserved(c byte) bool {
	if c < 64 {
		return uint64(unreservedLow)>>c&1 != 0
	}
	return c < 128 && uint64(unreservedHigh)>>(c-64)&1 != 0
}
