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

// mostMasks bounds the places that a request's masks name: each place is looked for in
// every element that a * stands for.
const mostMasks = 4096

// masks reads the two masks of a request into one tree; nil when both are empty.
func (p *Plan) masks(w *writer, nulls, empties []byte) (*mask, bool) {
	root, count := &mask{}, 0
	for _, one := range []struct {
		wire  []byte
		index int
	}{{nulls, p.nulls}, {empties, p.empties}} {
		for i := 0; i < len(one.wire); {
			name := p.request.fields[one.index].name
			_, at := uvarint(one.wire, i)
			path, next := payload(one.wire, at)
			if count++; count > mostMasks {
				w.fail("more than %d places are named here and in the other mask; * stands for every element of a list; nothing was sent", mostMasks)
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
			n := slices.IndexFunc(m.fields, func(f field) bool { return f.name == part && (f.key != hiddenKey || f.retired != nil) })
			if n < 0 {
				return named.fail(w, "names a field that does not exist (names as in the proto, dots between them)")
			}
			if old := m.fields[n].retired; old != nil {
				n = old.heir // null is null, whatever the type was
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

// masked writes query and body of a request whose masks name something. The
// wire is in order.
func (p *Plan) masked(w *writer, b []byte, root *mask) bool {
	records, ok := w.split(p.request, b)
	if !ok {
		return false
	}
	if p.whole < 0 {
		w.out = append(w.out, '{')
	}
	for n := range p.request.fields {
		f := &p.request.fields[n]
		var region []byte
		region, records = cutRecords(b, records, n)
		part := root.of(n)
		next := 0
		if old := f.retired; old != nil && len(region) > 0 {
			if old.replaced(b) {
				if w.superseded(p.request, f, b, region, 0) < 0 {
					return false
				}
				continue
			}
			if named := root.of(old.heir); named != nil {
				return named.fail(w, "names a field whose property has a value, in "+f.name)
			}
			f = &old.as
		}
		switch location := p.bindings[n].location; {
		case part != nil && n == p.whole:
			ok = w.maskedRecords(f, region, part)
		case part != nil:
			ok = w.maskedMember(f, region, part)
		case len(region) == 0:
		case location == unsent:
			return w.unsent(f)
		case location == inQuery:
			next = w.parameter(p.bindings[n].key, f, region, 0)
		case location == inBody && n == p.whole:
			next = w.wholeBody(f, region, 0)
		case location == inBody:
			next = w.member(f, region, 0)
		}
		if !ok || next < 0 {
			return false
		}
	}
	return p.finish(w, b, root)
}

// cutRecords gives the wire of one field, which stands together, and the
// records of those behind it.
func cutRecords(b []byte, records []record, field int) (region []byte, rest []record) {
	if len(records) == 0 || records[0].field != field {
		return nil, records
	}
	group := sameField(records)
	return b[group[0].start:group[len(group)-1].end], records[len(group):]
}

// maskedMember writes name, value and a comma.
func (w *writer) maskedMember(f *field, region []byte, part *mask) bool {
	w.out = append(w.out, f.key...)
	if !w.maskedRecords(f, region, part) {
		return w.in(f.name)
	}
	w.out = append(w.out, ',')
	return true
}

// maskedRecords writes the value of a field that a mask names, or names parts of.
func (w *writer) maskedRecords(f *field, region []byte, part *mask) bool {
	if part.null || part.empty {
		return w.maskedEnd(f, len(region) > 0, part)
	}
	switch f.shape {
	case list:
		return w.maskedList(f, region, part)
	case dict:
		return w.maskedDict(f, region, part)
	}
	var content []byte
	if len(region) > 0 {
		_, at := uvarint(region, 0)
		content, _ = payload(region, at)
	}
	return w.maskedValue(f, content, part)
}

// maskedEnd writes what a mask puts into a place that has no value.
func (w *writer) maskedEnd(f *field, hasValue bool, part *mask) bool {
	switch {
	case hasValue:
		return part.fail(w, "names a field that has a value, too")
	case part.null && part.empty || len(part.parts) > 0:
		return part.fail(w, "names what is to be null, empty, or so in parts: more than one of them")
	case part.null:
		w.out = append(w.out, "null"...)
	case f.shape == list || f.shape == single && (f.kind == kindList || f.kind == kindBare):
		w.out = append(w.out, "[]"...)
	default:
		w.out = append(w.out, "{}"...)
	}
	return true
}

// maskedValue writes a message or an inner list that a mask names parts of.
func (w *writer) maskedValue(f *field, content []byte, part *mask) bool {
	if !w.enter() {
		return false
	}
	b := w.inOrder(f.message, content)
	if b == nil {
		return false
	}
	records, ok := w.split(f.message, b)
	if !ok {
		return false
	}
	defer func() { w.depth-- }()
	if f.kind == kindBare {
		return w.maskedRecords(&f.message.fields[0], b, part.parts["0"])
	}
	start := len(w.out)
	w.out = append(w.out, '{')
	for n := range f.message.fields {
		member := &f.message.fields[n]
		var region []byte
		region, records = cutRecords(b, records, n)
		next := 0
		if inner := part.of(n); inner != nil {
			ok = w.maskedMember(member, region, inner)
		} else if len(region) > 0 && member.key == hiddenKey {
			next = w.hidden(f.message, member, b, region, 0, part)
		} else if len(region) > 0 {
			next = w.member(member, region, 0)
		}
		if !ok || next < 0 {
			return false
		}
	}
	w.closeObject(start)
	return true
}

// maskedList writes a list of messages or inner lists.
func (w *writer) maskedList(f *field, region []byte, part *mask) bool {
	w.out = append(w.out, '[')
	count := 0
	for i := 0; i < len(region); count++ {
		tag, at := uvarint(region, i)
		content, next := payload(region, at)
		if next < 0 || tag&7 != wireBytes {
			return w.broken()
		}
		i = next
		ok := true
		if inner := part.parts["*"].join(part.parts[strconv.Itoa(count)]); inner != nil {
			ok = w.maskedValue(f.elem, content, inner)
		} else {
			ok = w.bytes(f.elem, content)
		}
		if !ok {
			return w.at(count)
		}
		w.out = append(w.out, ',')
	}
	for name, inner := range part.parts {
		if index, err := strconv.Atoi(name); err == nil && index >= count || count == 0 {
			return inner.fail(w, "names an element that the list does not have")
		}
	}
	w.out[len(w.out)-1] = ']'
	return true
}

// maskedDict writes a map; keys that only a mask names are added.
func (w *writer) maskedDict(f *field, region []byte, part *mask) bool {
	entries, next := w.entries(uint64(f.number), f.kind, region, 0, nil)
	if next < 0 {
		return false
	}
	start := len(w.out)
	w.out = append(w.out, '{')
	every, known := part.parts["*"], make(map[string]bool)
	for i := range entries {
		e := &entries[i]
		known[string(e.key)] = true
		inner := every.join(part.parts[string(e.key)])
		if inner == nil {
			if !w.entry(f, e) {
				return w.in("[" + string(e.key) + "]")
			}
			continue
		}
		content, _ := payload(e.value, 0)
		if !w.maskedEntry(f, string(e.key), content, true, inner) {
			return w.in("[" + string(e.key) + "]")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(part.parts)) {
		if known[key] {
			continue
		}
		if key == "*" {
			if len(entries) == 0 {
				return every.fail(w, "names the values of a map that has none")
			}
			continue
		}
		if !w.maskedEntry(f, key, nil, false, part.parts[key]) {
			return w.in("[" + key + "]")
		}
	}
	w.closeObject(start)
	return true
}

func (w *writer) maskedEntry(f *field, key string, content []byte, hasValue bool, part *mask) bool {
	if !w.string([]byte(key)) {
		return false
	}
	w.out = append(w.out, ':')
	ok := true
	if part.null || part.empty {
		ok = w.maskedEnd(f.elem, hasValue, part)
	} else {
		ok = w.maskedValue(f.elem, content, part)
	}
	w.out = append(w.out, ',')
	return ok
}
