// Package protofile is proto source to be: files, messages, fields and services
// with their names and numbers settled, and the writer that prints them. The
// same value always prints as the same bytes.
package protofile

import (
	"slices"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// Root is where the proto packages hang.
const Root = "meraki"

// GoRoot is the import path of the generated Go packages.
const GoRoot = "github.com/merakibroker/merakibroker/gen/meraki"

// A File is one .proto file.
type File struct {
	// Path is relative to the root of the proto files.
	Path    string
	Section string
	// Title is the comment above the syntax line.
	Title    []string
	Service  *Service
	Messages []*Message
	// Imports are computed by Seal.
	Imports []string
}

// A Service is the one service of a section.
type Service struct {
	Name    string
	Comment []string
	RPCs    []*RPC
}

// An RPC performs one operation.
type RPC struct {
	Name    string
	Comment []string
	// Request and Response are message names of the package, or full names that
	// begin with "google.".
	Request, Response string
	Streaming         bool
	Deprecated        bool
	Operation         *apiv1.Operation
}

// A Message is one message with its nested ones.
type Message struct {
	Name          string
	Comment       []string
	Fields        []*Field
	Nested        []*Message
	Reserved      []Range
	ReservedNames []string
}

// A Range is reserved numbers, both ends included.
type Range struct{ First, Last int32 }

// A Field has its type as it stands in source: "optional string",
// "repeated Rules", "map<string, int64>".
type Field struct {
	Name    string
	Number  int32
	Type    string
	Comment []string
	// JSON is the JSON name; it is printed when it differs from the default.
	JSON       string
	Deprecated bool
	Binding    *apiv1.Binding
}

// Package is the proto package of a section.
func Package(section string) string { return Root + "." + section + ".v1" }

// ServiceName is the service of a section, given its words.
func ServiceName(pascal string) string { return pascal + "Service" }

// JSONName is what protoc makes of a field name when nothing else is said.
func JSONName(name string) string {
	var out []byte
	up := false
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_':
			up = true
		case up && 'a' <= c && c <= 'z':
			out = append(out, c-'a'+'A')
			up = false
		default:
			out = append(out, c)
			up = false
		}
	}
	return string(out)
}

// Reserve adds numbers; the ranges stay sorted and joined.
func (m *Message) Reserve(ranges ...Range) {
	all := append(m.Reserved, ranges...)
	slices.SortFunc(all, func(a, b Range) int { return int(a.First) - int(b.First) })
	var out []Range
	for _, r := range all {
		if n := len(out); n > 0 && int64(r.First) <= int64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	m.Reserved = out
}

// ReserveName adds a field name.
func (m *Message) ReserveName(names ...string) {
	all := append(slices.Clone(m.ReservedNames), names...)
	slices.Sort(all)
	m.ReservedNames = slices.Compact(all)
}
