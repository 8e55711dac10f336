package protofile

import (
	"slices"
	"strings"
)

// imports lists what the file names, sorted.
func (f *File) imports() []string {
	need := make(map[string]bool)
	for _, p := range f.Imports {
		need[p] = true
	}
	delete(need, f.Path)
	if f.Service != nil {
		need["meraki/api/v1/operation.proto"] = true
		for _, r := range f.Service.RPCs {
			need[home(r.Request)], need[home(r.Response)] = true, true
		}
	}
	for _, m := range f.Messages {
		m.imports(need)
	}
	delete(need, "")
	var out []string
	for p := range need {
		out = append(out, p)
	}
	slices.Sort(out)
	return out
}

func (m *Message) imports(need map[string]bool) {
	for _, f := range m.Fields {
		typ := strings.TrimPrefix(strings.TrimPrefix(f.Type, "repeated "), "map<string, ")
		need[home(strings.TrimSuffix(typ, ">"))] = true
		if f.Binding != nil {
			need["meraki/api/v1/operation.proto"] = true
		}
	}
	for _, n := range m.Nested {
		n.imports(need)
	}
}

// home is the file of a type that is not ours; empty for any other.
func home(typ string) string {
	switch typ {
	case "google.protobuf.Timestamp":
		return "google/protobuf/timestamp.proto"
	case "google.protobuf.Struct", "google.protobuf.Value", "google.protobuf.ListValue":
		return "google/protobuf/struct.proto"
	case "meraki.api.v1.PageInfo":
		return "meraki/api/v1/page.proto"
	}
	return ""
}
