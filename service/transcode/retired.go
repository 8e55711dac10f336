package transcode

import (
	"bytes"
	"encoding/json"
	"reflect"
	"regexp"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A field whose property has become one of another type is retired: deprecated,
// bound to nothing, and a field with a version in its name has the property
// now. Clients that were built before know the retired field alone. So in an
// answer it gets the value, too, where the value fits; in a request it is sent
// when the newer field is absent. Both may stand in a request that was copied
// from an answer; where they say different things, nobody knows which one is
// meant, and the request is refused.
type retirement struct {
	// as is the field with the property's key.
	as field
	// heir is the index of the field that has the property now, and newer are the
	// numbers of all fields that go before this one.
	heir  int
	newer []int32
}

// isRetired tells a field that has given its property to another one.
func isRetired(fd protoreflect.FieldDescriptor) bool {
	options, _ := fd.Options().(*descriptorpb.FieldOptions)
	binding, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
	return options.GetDeprecated() && binding.GetLocation() == apiv1.Location_LOCATION_NONE && !isAdditional(fd) && !isMask(fd)
}

// version is what the name of a field ends in when an older one has the plain name.
var version = regexp.MustCompile(`_v\d+$`)

// retire links the retired fields of a message with those that have their
// properties now.
func (m *message) retire(d protoreflect.MessageDescriptor) {
	for i := len(m.fields) - 1; i >= 0; i-- { // the newest first
		f := &m.fields[i]
		fd := d.Fields().ByNumber(protoreflect.FieldNumber(f.number))
		if !isRetired(fd) {
			continue
		}
		_, name := bindingOf(fd)
		heir := m.heir(`"`+name+`":`, version.ReplaceAllString(f.name, ""))
		if heir < 0 {
			continue
		}
		live := &m.fields[heir]
		r := &retirement{as: *f, heir: heir, newer: []int32{live.number}}
		for _, other := range live.older {
			r.newer = append(r.newer, other.number)
		}
		r.as.key = live.key
		f.retired = r
		live.older = append(live.older, &r.as)
	}
}

// heir finds the field that has a property now; where path, query and body have
// one of the same name each, the one that is called alike.
func (m *message) heir(key, plain string) int {
	found := -1
	for i := range m.fields {
		f := &m.fields[i]
		if f.key == key && (found < 0 || version.ReplaceAllString(f.name, "") == plain) {
			found = i
		}
	}
	return found
}

// replaced tells whether a message has the property in a newer field.
func (r *retirement) replaced(wire []byte) bool {
	return slices.ContainsFunc(r.newer, func(number int32) bool { return hasField(wire, number) })
}

// older reads the value at i into the retired fields of its property as well.
// next is what came of the newest one.
func (r *reader) older(f *field, i, next, start, depth int) int {
	if next == broken {
		return broken
	}
	if next < broken {
		r.dst, r.depth = r.dst[:start], depth
	}
	drift := r.drift
	r.drift = nil // said of the newest one
	for _, old := range f.older {
		from := len(r.dst)
		if end := r.value(old, i); end >= 0 {
			next = end
		} else {
			r.dst, r.depth = r.dst[:from], depth
		}
	}
	r.drift = drift
	return next
}

// retiredMember writes a retired field as its property. part is what the
// request's masks say about the object.
func (w *writer) retiredMember(r *retirement, wire []byte, i int, part *mask) (next int) {
	if named := part.of(r.heir); named != nil {
		named.fail(w, "names a field whose property has a value, in "+r.as.name)
		return -1
	}
	return w.member(&r.as, wire, i)
}

// superseded passes over the records of a retired field from i of wire on, whose
// message b has the property in a newer field, too; -1 when the two differ.
func (w *writer) superseded(m *message, f *field, b, wire []byte, i int) (next int) {
	was := writer{depth: w.depth, bound: w.bound}
	next, some := was.records(&f.retired.as, wire, i)
	if next < 0 {
		w.err, w.named = was.err, was.named
		w.in(f.name)
		return -1
	}
	newer, region := f.retired.newest(w, m, b)
	if newer == nil || !some {
		return next // broken wire is told by its own field
	}
	is := writer{depth: w.depth, bound: w.bound}
	if end, some := is.records(newer, region, 0); end < 0 || some && (reads(is.out, &f.retired.as, was.out) || reads(was.out, newer, is.out)) {
		return next
	}
	w.fail("it and %s are one property and have different values; use %s and leave this one out; nothing was sent", newer.name, newer.name)
	w.in(f.name)
	return -1
}

// newest gives the newest field of a message that has the property, and its records.
func (r *retirement) newest(w *writer, m *message, b []byte) (f *field, region []byte) {
	if b = w.inOrder(m, b); b == nil {
		return nil, nil
	}
	records, _ := w.split(m, b)
	for _, number := range r.newer {
		at := m.byNumber(uint64(number), 0)
		n := slices.IndexFunc(records, func(one record) bool { return one.field == at })
		if n < 0 {
			continue
		}
		region, _ = cutRecords(b, records[n:], at)
		if f = &m.fields[at]; f.retired != nil {
			f = &f.retired.as
		}
		return f, region
	}
	return nil, nil
}

// reads tells whether a JSON value that is read into a field is another JSON
// value of that field.
func reads(doc []byte, into *field, want []byte) bool {
	r := reader{src: doc}
	if r.value(into, 0) != len(doc) {
		return false
	}
	var w writer
	if next, some := w.records(into, r.dst, 0); next < 0 || !some {
		return false
	}
	return reflect.DeepEqual(tree(w.out), tree(want))
}

// tree is a JSON value of the writer's, with its numbers as text.
func tree(doc []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	_ = d.Decode(&v)
	return v
}

// unsent refuses a retired field that nothing can be sent for.
func (w *writer) unsent(f *field) bool {
	w.fail("the operation has no place for it any more: leave it out; nothing was sent")
	return w.in(f.name)
}
