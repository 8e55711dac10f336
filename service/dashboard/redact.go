package dashboard

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A mask replaces one secret in text from outside. Servers, proxies and pages made
// for debugging give back the Authorization header that they were sent, and what
// they say goes on into statuses, logs, records and trailers. The nil mask, which is
// that of the zero Key, replaces nothing.
type mask struct {
	// forms are what the secret looks like in text, in lower case: a header may
	// come back in capitals, and so do escapes.
	forms []string
	// bare are the forms in which it would stand in JSON, as they are.
	bare [][]byte
	// long: parts of it that stand apart are not there by chance.
	long bool
}

// shortest is the length in bytes below which a secret is not looked for, because it
// stands in any text. The vendor's keys have 40; a short one is of a sandbox.
const shortest = 4

// longSecret is the length from which on a secret is looked for in text whose white
// space is left out, too.
const longSecret = 16

// newMask makes the forms of a secret: as it is, escaped for a URL, for JSON, HTML
// and Go's %q, in hexadecimal, and in base64, where it begins at any of three
// offsets: "Bearer key" and "user:key" are encoded as a whole.
func newMask(secret string) *mask {
	if len(secret) < shortest {
		return nil
	}
	m := &mask{long: len(secret) >= longSecret}
	add := func(form string) {
		if form = lower(form); !slices.Contains(m.forms, form) {
			m.forms = append(m.forms, form)
		}
	}
	quoted, _ := json.Marshal(secret) // of a string it cannot fail
	escaped := string(quoted[1 : len(quoted)-1])
	for _, form := range []string{
		secret, escaped, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
		strings.Trim(strconv.Quote(secret), `"`), hex.EncodeToString([]byte(secret)),
	} {
		add(form)
	}
	for offset := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, offset), secret...))
		// Only the digits that are made of the secret alone, 6 bits each.
		text = text[(8*offset+5)/6 : 8*(offset+len(secret))/6]
		add(text)
		add(strings.NewReplacer("+", "-", "/", "_").Replace(text))
	}
	for _, form := range slices.Compact([]string{secret, escaped}) {
		m.bare = append(m.bare, []byte(form))
	}
	return m
}

// lower is s with its ASCII letters in lower case, byte for byte.
func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// text is s without the secret, also where white space has broken it, or some of its
// characters are escaped as in a URL.
func (m *mask) text(s string) string {
	if m == nil {
		return s
	}
	if strings.Contains(s, "%") {
		if plain := unescaped(s); plain != s && m.in(plain) {
			return m.text(plain)
		}
	}
	if m.long && strings.ContainsAny(s, " \t\r\n") && !m.in(s) {
		if plain := strings.Join(strings.Fields(s), ""); m.in(plain) {
			return m.text(plain)
		}
	}
	low := lower(s)
	for _, form := range m.forms {
		at := strings.Index(low, form)
		if at < 0 {
			continue
		}
		var out strings.Builder
		for ; at >= 0; at = strings.Index(low, form) {
			out.WriteString(s[:at])
			out.WriteString(redacted)
			s, low = s[at+len(form):], low[at+len(form):]
		}
		out.WriteString(s)
		s = out.String()
		low = lower(s)
	}
	return s
}

// in tells whether the secret stands in s.
func (m *mask) in(s string) bool {
	low := lower(s)
	return slices.ContainsFunc(m.forms, func(form string) bool { return strings.Contains(low, form) })
}

// unescaped is s as whoever unescapes it up to three times reads it; what is no escape
// stays.
func unescaped(s string) string {
	for range 3 {
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			if c, err := strconv.ParseUint(s[min(i+1, len(s)):min(i+3, len(s))], 16, 8); s[i] == '%' && i+2 < len(s) && err == nil {
				b.WriteByte(byte(c))
				i += 2
			} else {
				b.WriteByte(s[i])
			}
		}
		if b.Len() == len(s) {
			break
		}
		s = b.String()
	}
	return s
}

// cut is text without the secret, of an s that has been cut off: the beginning of
// the secret may stand at its end.
func (m *mask) cut(s string) string {
	s = m.text(s)
	if m == nil {
		return s
	}
	low := lower(s)
	for _, form := range m.forms {
		for n := min(len(form)-1, len(low)); n >= shortest; n-- {
			if strings.HasSuffix(low, form[:n]) {
				return s[:len(s)-n] + redacted
			}
		}
	}
	return s
}

// answer is the body of a 2xx without the secret. Such a body may be large, and is
// JSON; it is searched for the forms that a value would have there.
func (m *mask) answer(body []byte) []byte {
	if m == nil {
		return body
	}
	for _, form := range m.bare {
		if bytes.Contains(body, form) {
			return []byte(m.text(string(body)))
		}
	}
	return body
}

// err is err, or its text without the secret: net/http quotes what it could not read.
func (m *mask) err(err error) error {
	if err == nil {
		return nil
	}
	if text := err.Error(); m.text(text) != text {
		return errors.New(m.text(text))
	}
	return err
}
