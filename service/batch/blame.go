package batch

import (
	"strings"
)

// blame gives the actions of a failed batch that an error text can be about. The one
// known form is "Error occurred while executing OPERATION RESOURCE with BODY: REASON",
// with no number of the action: the resource tells the action, and where several have
// it, the operation and the body do. None when the text names none.
func blame(text string, actions []Action) []int {
	about := func(match func(*Action) bool, among []int) (found []int) {
		for _, i := range among {
			if match(&actions[i]) {
				found = append(found, i)
			}
		}
		return found
	}
	all := make([]int, len(actions))
	for i := range all {
		all[i] = i
	}
	found := about(func(a *Action) bool { return names(text, a.Resource) }, all)
	if len(found) < 2 {
		return found
	}
	for _, match := range []func(*Action) bool{
		func(a *Action) bool { return strings.Contains(text, " "+a.Operation+" ") },
		func(a *Action) bool { return strings.Contains(text, string(a.Body)) || within(text, a.Body) },
	} {
		if fewer := about(match, found); len(fewer) > 0 {
			found = fewer
		}
	}
	return found
}

// names tells whether a text has a path as a whole: /vlans/1 is not in /vlans/10, nor
// in /vlans/1/x.
func names(text, path string) bool {
	path = strings.Trim(path, "/")
	for {
		at := strings.Index(text, path)
		if at < 0 || path == "" {
			return false
		}
		before, after := text[:at], text[at+len(path):]
		if !ends(before, true) && !ends(after, false) {
			return true
		}
		text = after
	}
}

// ends tells whether a text goes on with a path where it is cut: before it, where
// only a leading slash may stand, or behind it.
func ends(text string, before bool) bool {
	if before {
		text = strings.TrimSuffix(text, "/")
	}
	if text == "" {
		return false
	}
	c := text[0]
	if before {
		c = text[len(text)-1]
	}
	return c == '/' || c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// within tells whether a text has a JSON object with the values of a body.
func within(text string, body []byte) bool {
	if len(body) == 0 {
		return false
	}
	for {
		at := strings.IndexByte(text, '{')
		if at < 0 {
			return false
		}
		text = text[at:]
		if object := leading(text); object != nil && same(object, body) {
			return true
		}
		text = text[1:]
	}
}
