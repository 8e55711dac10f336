package lock

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
)

// Generated code reads and writes the field x by names that are made of it:
// has_x() in C++, HasX in C#, getXBytes() in Java. A field of such a name beside
// x does not compile there; or it does, and release_type() of C++ takes the type
// away where the property releaseType was meant.
var (
	accessorsOfOne  = []string{"has_", "clear_", "get_", "set_", "set_allocated_", "mutable_", "release_"}
	accessorsOfMany = []string{"clear_", "get_", "set_", "mutable_", "add_"}
	ofOne           = []string{"_bytes", "_builder", "_or_builder"}
	ofMany          = []string{"_size", "_count", "_list", "_map", "_bytes", "_builder", "_or_builder"}
)

// accessors are the names that are made of a field's.
func accessors(name string, label model.Label) []string {
	before, behind := accessorsOfOne, ofOne
	if label != model.One {
		before, behind = accessorsOfMany, ofMany
	}
	out := make([]string, 0, len(before)+len(behind))
	for _, s := range before {
		out = append(out, s+name)
	}
	for _, s := range behind {
		out = append(out, name+s)
	}
	return out
}

// made takes note of a field that has its name.
func (n *names) made(name string, label model.Label) {
	n.methods[name] = true
	for _, a := range accessors(name, label) {
		n.methods[a] = true
	}
}

// expect takes note of the fields that a message has and will have, so that of
// has_x and x it is has_x that gets another name, whichever comes first.
func (n *names) expect(old protoreflect.MessageDescriptor, places []*place) {
	add := func(name string, label model.Label) {
		for _, a := range accessors(name, label) {
			n.derived[a] = true
		}
	}
	if old != nil {
		for i := range old.Fields().Len() {
			d := old.Fields().Get(i)
			add(string(d.Name()), typeOf(d).Label)
			n.made(string(d.Name()), typeOf(d).Label)
		}
	}
	for _, p := range places {
		if p.field == nil {
			add(p.base(), p.typ.Label)
		}
	}
}

// mistaken reports whether a field of that name would be taken for an accessor of
// another one, or the other for one of its own.
func (n *names) mistaken(name string, label model.Label) bool {
	if n.derived[name] || n.methods[name] {
		return true
	}
	for _, a := range accessors(name, label) {
		if n.methods[a] {
			return true
		}
	}
	return false
}
