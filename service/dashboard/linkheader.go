package dashboard

import "strings"

// Bounds on a Link header. The vendor sends up to four relations; its URLs carry
// the whole query of the request, so they are long.
const (
	maxLinkHeader = 64 << 10
	maxLinks      = 16
)

// linkHeader joins the lines of the header with commas: several lines of one name
// mean the same as one line with commas between (RFC 9110 section 5.3).
// A header above maxLinkHeader gives nothing.
func linkHeader(header []string) string {
	size := 0
	for _, line := range header {
		size += len(line) + 2
	}
	if size > maxLinkHeader {
		return ""
	}
	return strings.Join(header, ", ")
}

// links finds the URLs of the relations next and prev in a Link header (RFC
// 8288). The vendor documents rel without quotes and also sends it quoted; URLs
// may hold commas and semicolons. The first URL of each relation wins. A link
// that cannot be read is passed over: a page without a link is the last page.
func links(header []string) (next, prev string) {
	seen, size := 0, 0
	for _, line := range header {
		if size += len(line); size > maxLinkHeader {
			return next, prev
		}
		for line != "" {
			if seen++; seen > maxLinks {
				return next, prev
			}
			var url, rel string
			url, rel, line = oneLink(line)
			for r := range strings.FieldsSeq(rel) {
				switch {
				case next == "" && strings.EqualFold(r, "next"):
					next = url
				case prev == "" && (strings.EqualFold(r, "prev") || strings.EqualFold(r, "previous")):
					prev = url
				}
			}
		}
	}
	return next, prev
}

// oneLink reads one link from the front of s and returns the rest of s. Where the link
// cannot be read, nothing after it can.
func oneLink(s string) (url, rel, rest string) {
	s = strings.TrimLeft(s, " \t,")
	if s == "" || s[0] != '<' {
		return "", "", ""
	}
	end := strings.IndexByte(s, '>')
	if end < 0 {
		return "", "", ""
	}
	url, s = strings.TrimSpace(s[1:end]), s[end+1:]
	found := false
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" || s[0] == ',' {
			return url, rel, s
		}
		if s[0] != ';' {
			return "", "", ""
		}
		var name, value string
		name, value, s = oneParameter(s[1:])
		// The first rel counts, as the RFC says.
		if !found && strings.EqualFold(name, "rel") {
			rel, found = value, true
		}
	}
}

// oneParameter reads name=value or name="value" from the front of s and returns
// the rest of s.
func oneParameter(s string) (name, value, rest string) {
	end := strings.IndexAny(s, "=;,")
	if end < 0 {
		return strings.TrimSpace(s), "", ""
	}
	name = strings.TrimSpace(s[:end])
	if s[end] != '=' {
		return name, "", s[end:]
	}
	s = strings.TrimLeft(s[end+1:], " \t")
	if s == "" || s[0] != '"' {
		end = strings.IndexAny(s, ";,")
		if end < 0 {
			end = len(s)
		}
		return name, strings.TrimSpace(s[:end]), s[end:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return name, b.String(), s[i+1:]
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return name, b.String(), ""
}
