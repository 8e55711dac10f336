package dashboard

import (
	"bytes"
	"html"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes text fit to show: white space in a row is one space, control
// characters and those that turn the direction of a line are gone, bytes that
// are no UTF-8 are replaced, and so is the secret of m; it ends between two
// characters within the bound.
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

// turns tells the characters that change the direction of text around them, with
// which a message could show something else than it says.
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

// htmlText is what a page of HTML says in short: its title, or the first words
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
	for len(b) > 0 && text.Len() < 4*maxMessageBytes {
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

// afterTag skips a tag whose < has been read, and what it hides: the content of
// scripts and styles, and comments.
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

// cutFold cuts around the first sep, in whatever case its ASCII letters are.
func cutFold(b []byte, sep string) (before, after []byte, found bool) {
	for i := 0; i+len(sep) <= len(b); i++ {
		if strings.EqualFold(string(b[i:i+len(sep)]), sep) {
			return b[:i], b[i+len(sep):], true
		}
	}
	return b, nil, false
}
