package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/service/setting"
)

// A Problem is one thing that is wrong, and where.
type Problem struct {
	// File and Line are where the key stands, or where it is missing; no file where a
	// flag has set it, or nobody has.
	File string
	Line int
	Key  string
	Text string
}

// String is one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	}
	text := strings.Join(strings.Fields(p.Text), " ")
	if p.Key != "" {
		text = p.Key + ": " + text
	}
	b.WriteString(misplaced.ReplaceAllString(text, "[redacted]"))
	return b.String()
}

// misplaced are secrets that stand where none belongs, and would be told with what is wrong
// there: a key or a token, which is 40 hexadecimal digits, and who logs in with which
// password, in front of a host.
var misplaced = regexp.MustCompile(`\b[0-9A-Fa-f]{40}\b|[^/@"'\s:]*:[^@"'\s][^@"']*@`)

// Problems are all that is wrong, by line.
type Problems []Problem

// Error gives each problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Explain says where in the file what is wrong stands. What the schema says of a key
// stands for what else is said of it. It gives Problems, or nil.
func (f *File) Explain(wrong ...error) error {
	var problems Problems
	said := make(map[string]bool)
	for _, err := range wrong {
		for _, e := range setting.All(err) {
			// What the file's shape makes wrong is not told again by those who read it.
			if said[e.Key+"\x00"+e.Text] || !slices.Contains(f.wrong, e) && f.shapeless(e.Key) {
				continue
			}
			said[e.Key+"\x00"+e.Text] = true
			problems = append(problems, f.place(e))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	slices.SortFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Text, b.Text))
	})
	return problems
}

// shapeless tells whether the schema has said something of a key, of one above it, or
// of one below.
func (f *File) shapeless(key string) bool {
	return slices.ContainsFunc(f.wrong, func(e *setting.Error) bool { return covers(e.Key, key) || covers(key, e.Key) })
}

// covers tells whether key is the one above, or stands below it.
func covers(above, key string) bool {
	rest, ok := strings.CutPrefix(key, above)
	return ok && above != "" && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// place finds out where an error stands.
func (f *File) place(e *setting.Error) Problem {
	p := Problem{Key: e.Key, Text: e.Text}
	if flag, ok := f.flags[e.Key]; ok {
		p.Key = flag
		return p
	}
	if p.File = f.Name; f.Name != "" && e.Key != "" {
		p.Line = line(&f.root, parts(e.Key))
	}
	return p
}

// parts takes a key apart: policy[0].name is policy, 0, name.
func parts(key string) []string {
	return strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// line is where a key stands; where it does not, that of the nearest one above it. 0
// when none is there.
func line(n *yaml.Node, path []string) int {
	here := 0
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, name := range path {
		for n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == name {
					here, next = n.Content[i].Line, n.Content[i+1]
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i < len(n.Content) {
				next = n.Content[i]
				here = next.Line
			}
		}
		if next == nil {
			return here
		}
		n = next
	}
	return here
}
