package dashboard

import (
	"bytes"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text fit to show. White space in a row becomes one space. Control
// characters are removed, and so are characters that turn the direction of a
// line. Bytes that are no UTF-8 are replaced, and so is the secret of m. The text
// ends between two characters, within maxMessageBytes.
func clean(s string, m *mask) string {
	if len(s) > 4*maxMessageBytes {
		s = m.cut(s[:4*maxMessageBytes])
	}
	var b strings.Builder
	space := false
	for _, r := range s {
		if unicode.IsSpace(r) {
			space = b.Len() > 0
			continue
		}
		if unicode.IsControl(r) || turns(r) {
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r) // U+FFFD for what is no UTF-8
	}
	return cut(m.text(b.String()), maxMessageBytes)
}

// turns tells whether a character changes the direction of the text around it:
// with such characters a message could show something other than its text.
func turns(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069' || r == '\u200e' || r == '\u200f' || r == '\ufeff'
}

// cut shortens s to at most n bytes, an ellipsis included, between two characters.
func cut(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	n -= len(ellipsis)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + ellipsis
}

// htmlText gives the short form of a page of HTML: its title, or the first words
// of its text. Proxies and login pages answer with such pages.
func htmlText(b []byte) string {
	if _, rest, ok := cutFold(b, "<title"); ok {
		if _, rest, ok = bytes.Cut(rest, []byte(">")); ok {
			title, _, _ := bytes.Cut(rest, []byte("<"))
			if t := bytes.TrimSpace(title); len(t) > 0 {
				return html.UnescapeString(string(t[:min(len(t), 4*maxMessageBytes)]))
			}
		}
	}
	var text strings.Builder
	for text.Len() < 4*maxMessageBytes {
		plain, rest, tag := bytes.Cut(b, []byte("<"))
		text.Write(plain[:min(len(plain), 4*maxMessageBytes)])
		if !tag {
			break
		}
		b = afterTag(rest)
		text.WriteByte(' ')
	}
	return html.UnescapeString(text.String())
}

// afterTag skips a tag whose < has been read, and hidden content with it:
// scripts, styles and comments.
func afterTag(b []byte) []byte {
	for _, hidden := range [...][2]string{{"!--", "-->"}, {"script", "</script"}, {"style", "</style"}} {
		if len(b) >= len(hidden[0]) && strings.EqualFold(string(b[:len(hidden[0])]), hidden[0]) {
			_, rest, _ := cutFold(b, hidden[1])
			b = rest
			if hidden[0] == "!--" {
				return b
			}
			break
		}
	}
	_, rest, _ := bytes.Cut(b, []byte(">"))
	return rest
}

// cutFold cuts around the first sep, and ignores the case of its ASCII letters.
func cutFold(b []byte, sep string) (before, after []byte, found bool) {
	for i := 0; i+len(sep) <= len(b); i++ {
		if strings.EqualFold(string(b[i:i+len(sep)]), sep) {
			return b[:i], b[i+len(sep):], true
		}
	}
	return b, nil, false
}
