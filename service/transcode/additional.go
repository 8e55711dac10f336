package transcode

import "slices"

// additionalName and additionalNumber are those of the field that holds what the
// contract has no field for, in every message that stands for a JSON object.
const (
	additionalName   = "additional_properties"
	additionalNumber = 2047
)

// A property is one that is kept as it came, until its object ends.
type property struct {
	// key is where its name begins in the document, at the quote.
	key int
	// field has this name; nil when the contract does not know the name.
	field *field
}

// properties are the kept ones of all objects that are open, the innermost
// object's last. The first ones take no memory of their own.
type properties struct {
	few   [8]property
	many  []property
	count int
}

func (p *properties) push(one property) {
	if p.count < len(p.few) {
		p.few[p.count] = one
	} else {
		p.many = append(p.many[:p.count-len(p.few)], one)
	}
	p.count++
}

func (p *properties) at(i int) *property {
	if i < len(p.few) {
		return &p.few[i]
	}
	return &p.many[i-len(p.few)]
}

// drop removes the property of a field, looking from the index base on.
func (p *properties) drop(f *field, base int) {
	left := base
	for i := base; i < p.count; i++ {
		if one := *p.at(i); one.field != f {
			*p.at(left) = one
			left++
		}
	}
	p.count = left
}

// additional appends the object's additional_properties: the kept ones from the
// index base on, as one google.protobuf.Struct. They have been reported already.
func (r *reader) additional(m *message, base int) {
	drift := r.drift
	r.drift = nil
	r.dst = openSlot(r.dst, m.additional, 1)
	from := len(r.dst)
	for i := base; i < r.kept.count; i++ {
		r.freeEntry(nil, r.kept.at(i).key)
	}
	r.dst, _ = closeSlot(r.dst, from, 1)
	r.drift, r.kept.count = drift, base
}

// properties writes additional_properties into the object that is open. taken says
// why a name cannot stand there; "" when it can.
func (w *writer) properties(p []byte, taken func(key []byte) string) bool {
	entries, ok := w.structEntries(p, nil)
	if !ok {
		return false
	}
	for k := range entries {
		e := &entries[k]
		if why := taken(e.key); why != "" {
			w.fail("%s; nothing was sent", why)
			return w.in("[" + string(e.key) + "]")
		}
		if !w.structEntry(e) {
			return false
		}
	}
	return true
}

// hidden writes what a field without a property of its own stands for in the
// object whose message is b: the members that additional_properties hold, or the
// property that a retired field had. Its records begin at i of wire, which is b
// or a part of it; part is what the request's masks say about the object.
func (w *writer) hidden(m *message, f *field, b, wire []byte, i int, part *mask) (next int) {
	tag, at := uvarint(wire, i)
	if next = skipValue(wire, at, tag); next < 0 {
		w.broken()
		return -1
	}
	switch {
	case f.retired != nil && f.retired.replaced(b):
		return w.superseded(m, f, b, wire, i)
	case f.retired != nil:
		return w.retiredMember(f.retired, wire, i, part)
	case f.tag != m.additional:
		return next
	case uint32(tag) != f.tag:
		w.wrongType(tag)
		w.in(f.name)
		return -1
	}
	p, _ := payload(wire, at)
	if !w.properties(p, func(key []byte) string { return m.holds(key, b, part) }) || w.bound > 0 && len(w.out) > w.bound && !w.tooLong() {
		w.in(f.name)
		return -1
	}
	return next
}

// holds says what else in a message gives a property its value: "" when nothing does.
func (m *message) holds(key, b []byte, part *mask) string {
	at := m.byKey(key)
	if at < 0 {
		return ""
	}
	f := &m.fields[at]
	for _, old := range f.older {
		if hasField(b, old.number) {
			f = old
		}
	}
	switch {
	case hasField(b, f.number):
		return "the field " + f.name + " has a value for this property, too"
	case part.of(at) != nil:
		return part.of(at).from + " names this property, too"
	}
	return ""
}

// extend writes the request's additional properties at the end of the body.
func (p *Plan) extend(w *writer, b []byte, root *mask) bool {
	filled := len(w.out) > 1
	whole, ok := w.wholeOf(w.extra)
	if p.whole < 0 && p.request.byKey([]byte(wholeKey)) >= 0 {
		whole = nil // a property among others
	}
	switch {
	case !ok:
		return false
	case whole != nil && !filled:
		w.out = w.out[:0]
		return w.free(whole) || w.in("["+wholeKey+"]")
	case whole != nil:
		w.fail("it stands for the whole body, and other fields have values, too; nothing was sent")
		return w.in("[" + wholeKey + "]")
	case p.whole >= 0 && filled:
		return w.fail("the field %s is the whole body, and has a value; nothing was sent", p.request.fields[p.whole].name)
	case p.whole >= 0:
		w.out = append(w.out, '{')
	}
	if !w.properties(w.extra, func(key []byte) string {
		if slices.Contains(p.names, string(key)) && p.request.byKey(key) < 0 {
			return "it is a parameter of the path"
		}
		return p.request.holds(key, b, root)
	}) {
		return false
	}
	w.closeObject(0)
	return true
}

// wholeOf gives the value under _json when it is all that additional_properties
// hold and no object: it is the whole document then. nil when it is not.
func (w *writer) wholeOf(p []byte) (value []byte, ok bool) {
	if len(p) == 0 {
		return nil, true
	}
	entries, ok := w.structEntries(p, nil)
	if !ok || len(entries) != 1 || string(entries[0].key) != wholeKey || entries[0].tag == 0 {
		return nil, ok
	}
	value, _ = payload(entries[0].value, 0)
	for i := 0; i < len(value); {
		tag, next := uvarint(value, i)
		if tag == tagStruct || next < 0 {
			return nil, true
		}
		if i = skipValue(value, next, tag); i < 0 {
			return nil, w.broken()
		}
	}
	return value, true
}
