package rest

import "strings"

// rewriteLinks gives a Link header with each address turned into one of this
// face's, and every other byte as it came: clients read quoted and bare
// relations, spaces and the order of links each in a way of its own. below gives
// the path and query of an address of the Dashboard's, as they came; a link that
// leads anywhere else is left out, since a client would send its credential there.
func rewriteLinks(header, base string, below func(address string) (string, bool)) string {
	var out strings.Builder
	for header != "" {
		link, rest := cutLink(header)
		header = rest
		start := strings.IndexByte(link, '<')
		end := strings.IndexByte(link, '>')
		if start < 0 || end < start {
			continue
		}
		path, ok := below(link[start+1 : end])
		if !ok {
			continue
		}
		if out.Len() == 0 {
			link = strings.TrimLeft(link, ", \t")
			start, end = strings.IndexByte(link, '<'), strings.IndexByte(link, '>')
		}
		out.WriteString(link[:start+1])
		out.WriteString(base)
		out.WriteString(path)
		out.WriteString(link[end:])
	}
	return out.String()
}

// cutLink cuts the first link of a header, with what stands before it, up to the
// comma in front of the next. Commas inside of <> and of quotes belong to the link.
func cutLink(header string) (link, rest string) {
	address, quoted, found := false, false, false
	for i := 0; i < len(header); i++ {
		switch c := header[i]; {
		case quoted && c == '\\':
			i++
		case quoted:
			quoted = c != '"'
		case address:
			address = c != '>'
		case c == '"':
			quoted = true
		case c == '<':
			address, found = true, true
		case c == ',' && found:
			return header[:i], header[i:]
		}
	}
	return header, ""
}
