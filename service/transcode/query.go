package transcode

import "strings"

// Brackets in the name of a parameter, escaped: [] behind a name that takes
// several values, [key] behind one that takes an object.
const (
	listKey  = "%5B%5D"
	openKey  = "%5B"
	closeKey = "%5D"
)

// queryKey is a parameter's name as it stands in a query.
func queryKey(name string) string {
	var b strings.Builder
	writeEscaped(&b, []byte(name))
	return b.String()
}

// parameter appends what the records of a field from i on say to the query, and
// gives the position behind them:
//
//	name=value               a scalar
//	name[]=a&name[]=b        a list
//	name[key]=value          an object
//	name[]k=v&name[]l=w      a list of objects
//
// key is the name, with "[]" behind it when the field is a list.
func (w *writer) parameter(key string, f *field, b []byte, i int) (next int) {
	if f.shape == single {
		tag, at := uvarint(b, i)
		if next = w.pair(key, f, b, at, tag); next < 0 {
			w.in(f.name)
		}
		return next
	}
	for count := 0; i < len(b); {
		tag, at := uvarint(b, i)
		if at < 0 {
			w.broken()
			return -1
		}
		if tag>>3 != uint64(f.number) {
			break
		}
		values, wire := b[at:], tag
		i = skipValue(b, at, tag)
		if i >= 0 && tag&7 == wireBytes && f.kind.packed() {
			values, _ = payload(b, at)
			wire = uint64(f.kind.wire())
		} else if i >= 0 {
			values = b[at:i]
		}
		for k := 0; k < len(values); count++ {
			if i >= 0 {
				k = w.pair(key, f.elem, values, k, wire)
			} else {
				w.broken()
			}
			if i < 0 || k < 0 {
				w.at(count)
				w.in(f.name)
				return -1
			}
		}
	}
	return i
}

// pair appends one value, whose record has this tag.
func (w *writer) pair(key string, f *field, b []byte, i int, tag uint64) (next int) {
	if f.kind == kindString && tag&7 == wireBytes { // most of them
		p, next := payload(b, i)
		if next < 0 {
			w.broken()
			return -1
		}
		w.key(key)
		if !w.text(p) {
			return -1
		}
		return next
	}
	if next = skipValue(b, i, tag); next < 0 {
		w.broken()
		return -1
	}
	if f.kind == kindMessage {
		p, _ := payload(b, i)
		if tag&7 != wireBytes {
			w.broken()
			return -1
		}
		if !w.members(key, f, p) {
			return -1
		}
		return next
	}
	w.key(key)
	if !w.scalar(f, b[i:next], tag) {
		return -1
	}
	return next
}

// key begins a parameter.
func (w *writer) key(key string) {
	if w.url.Len() > w.query {
		w.url.WriteByte('&')
	}
	w.url.WriteString(key)
	w.url.WriteByte('=')
}

// members appends the fields of an object in a query.
func (w *writer) members(key string, f *field, p []byte) bool {
	if !w.enter() {
		return false
	}
	m := f.message
	if p = w.inOrder(m, p); p == nil {
		return false
	}
	done := -1
	for i := 0; i < len(p); {
		tag, _ := uvarint(p, i)
		done = m.byNumber(tag>>3, done+1)
		member := &m.fields[done]
		if member.key == hiddenKey {
			return w.declaredOnly()
		}
		name := queryKey(member.json())
		if len(key) < len(listKey) || key[len(key)-len(listKey):] != listKey {
			name = openKey + name + closeKey
		}
		if member.shape == list {
			name += listKey
		}
		if i = w.parameter(key+name, member, p, i); i < 0 {
			return false
		}
	}
	w.depth--
	return true
}
