package model

import (
	"fmt"
	"strings"
)

// Words are the sentences of a field's comment, ready to be wrapped.
func (f Facts) Words() []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, strings.Fields(fmt.Sprintf(format, args...))...) }
	switch {
	case f.Required:
		say("Required.")
	case f.Asked:
		say("Required in a request.")
	}
	if f.Whole {
		say("The whole document, for clients from before it was described: the fields beside it say the same.")
	}
	if len(f.Enum) > 0 {
		out = append(out, "Known", "values:")
		for i, v := range f.Enum {
			end := ","
			if i == len(f.Enum)-1 {
				end = "."
			}
			out = append(out, oneLine(v)+end)
		}
	}
	switch {
	case f.Minimum != "" && f.Maximum != "":
		say("From %s to %s.", f.Minimum, f.Maximum)
	case f.Minimum != "":
		say("At least %s.", f.Minimum)
	case f.Maximum != "":
		say("At most %s.", f.Maximum)
	}
	if f.MaxItems != "" {
		say("At most %s elements.", f.MaxItems)
	}
	if f.Default != "" && len(f.Default) <= 60 {
		out = append(out, "Default", oneLine(f.Default)+".")
	}
	if f.Stage != "" && f.Stage != "general_availability" && len(f.Stage) <= 40 {
		out = append(out, "Release", "stage:", oneLine(f.Stage)+".")
	}
	return out
}

// oneLine keeps a value that stands in the document from ending a comment.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
