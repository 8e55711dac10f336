package transcode

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// A mask is what null_fields and empty_fields say about one place of the body.
// Proto3 can tell neither null nor an empty list from what is absent; naming
// the place does.
type mask struct {
	// path is a name of the caller's that leads here or through here, and from
	// the mask that holds it.
	path, from string
	// null, empty: this very place is sent as null, or as [] or {}.
	null, empty bool
	// parts are the places inside: by the index of a message's field, by the
	// index in a list, by the key of a map; "*" is every element or value.
	parts map[string]*mask
}

// masks reads the two masks of a request into one tree; nil when both are empty.
func (p *Plan) masks(w *writer, nulls, empties []byte) (*mask, bool) {
	root := &mask{}
	for _, one := range []struct {
		wire  []byte
		index int
	}{{nulls, p.nulls}, {empties, p.empties}} {
		for i := 0; i < len(one.wire); {
			f := &p.request.fields[one.index]
			name, paths := f.name, uint64(f.tag)
			if f.shape == single {
				paths = 1<<3 | wireBytes // of the FieldMask
			}
			tag, at := uvarint(one.wire, i)
			path, next := payload(one.wire, max(at, 0))
			if at < 0 || next < 0 || tag != paths {
				w.broken()
				return nil, w.in(name)
			}
			if !p.addMask(w, root, &mask{path: string(path), from: name, empty: one.index == p.empties}) {
				return nil, false
			}
			i = next
		}
	}
	if len(root.parts) == 0 {
		return nil, true
	}
	return root, true
}

// paths gives what a record of null_fields or empty_fields adds to its paths: the
// record itself, or what is in the FieldMask.
func (f *field) paths(record []byte) []byte {
	if f.shape == list {
		return record
	}
	_, at := uvarint(record, 0)
	content, _ := payload(record, at)
	return content
}

// addMask follows the path of named through the types and marks where it ends.
// A key of a map that has a dot in it cannot be named: the contract has none.
func (p *Plan) addMask(w *writer, root, named *mask) bool {
	at, m, f := root, p.request, (*field)(nil)
	inList := false
	for rest, more := named.path, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, ".")
		inList = f != nil && f.shape == list
		switch {
		case f == nil || f.shape == single && (f.kind == kindMessage || f.kind == kindBare):
			if f != nil {
				m = f.message
			}
			n := slices.IndexFunc(m.fields, func(f field) bool { return f.name == part && f.key != hiddenKey })
			if n < 0 {
				return named.fail(w, "names a field that does not exist (names as in the proto, dots between them)")
			}
			if f == nil && p.bindings[n].location != inBody {
				return named.fail(w, "names a field that is not part of the body")
			}
			f, part = &m.fields[n], strconv.Itoa(n)
		case f.shape == list:
			if number, err := strconv.ParseUint(part, 10, 31); part != "*" && (err != nil || part != strconv.FormatUint(number, 10)) {
				return named.fail(w, "needs an index or * to go through a list")
			}
			f = f.elem
		case f.shape == dict:
			f = f.elem
		default:
			return named.fail(w, "leads into a value that has no fields")
		}
		at = at.part(part, named)
	}
	switch {
	case inList:
		return named.fail(w, "names an element of a list, which always has a value")
	case named.empty && !f.canBeEmpty():
		return named.fail(w, "names a scalar, which cannot be an empty list or object")
	}
	at.null, at.empty = at.null || !named.empty, at.empty || named.empty
	return true
}

// canBeEmpty tells a list or an object.
func (f *field) canBeEmpty() bool {
	return f.shape != single || f.kind >= kindStruct && f.kind != kindValue
}

// of gives the mask of a message's field by its index; nil when there is none.
func (m *mask) of(field int) *mask {
	if m == nil {
		return nil
	}
	return m.parts[strconv.Itoa(field)]
}

// part gives the mask of a place inside, made when it is new.
func (m *mask) part(name string, named *mask) *mask {
	inner := m.parts[name]
	if inner == nil {
		inner = &mask{path: named.path, from: named.from}
		if m.parts == nil {
			m.parts = make(map[string]*mask)
		}
		m.parts[name] = inner
	}
	return inner
}

// fail refuses what the caller's mask says.
func (m *mask) fail(w *writer, why string) bool {
	w.fail("%q %s; nothing was sent", shown(m.path), why)
	w.err.Field, w.named = m.from, true
	return false
}

// join gives what two masks say together, for "*" and an index.
func (m *mask) join(other *mask) *mask {
	if m == nil {
		return other
	}
	if other == nil {
		return m
	}
	both := &mask{path: other.path, from: other.from, null: m.null || other.null, empty: m.empty || other.empty}
	both.parts = maps.Clone(m.parts)
	for name, part := range other.parts {
		if both.parts == nil {
			both.parts = make(map[string]*mask)
		}
		both.parts[name] = both.parts[name].join(part)
	}
	return both
}
