package transcode

import (
	"maps"
	"slices"
	"strconv"
)

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
