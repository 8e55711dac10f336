package sandbox

import (
	"encoding/json"
	"strconv"
	"time"
)

// deepest is how far objects nest in an answer that is made up; no documented
// one goes as far.
const deepest = 12

// A builder makes one document: the values come from the seed and the names of
// the fields, so that two operations that show the same thing agree on it.
type builder struct {
	inventory *inventory
	at        entity
	disabled  bool // the organization has switched API access off

	params []param // of the path, shown again in fields of the same name
	key    string  // the field that identifies the object, and its value
	id     string

	counted          bool // total and remaining below are known
	total, remaining int
}

// A param is a path parameter of a request.
type param struct{ name, value string }

// object writes one made-up object.
func (m *builder) object(dst []byte, sh *shape, seed uint64, w subject, depth int) []byte {
	if sh.list != nil {
		return m.field(dst, sh.list, seed, w, depth)
	}
	dst = append(dst, '{')
	if depth > deepest {
		return append(dst, '}')
	}
	for i := range sh.fields {
		f := &sh.fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.key...)
		dst = m.field(dst, f, mix(seed^f.hash), w, depth)
	}
	return append(dst, '}')
}

// field writes the value of one field, h being its own seed.
func (m *builder) field(dst []byte, f *field, h uint64, w subject, depth int) []byte {
	if depth == 0 && !f.repeated && !f.mapped {
		if v, ok := m.requested(f.name); ok {
			if out, ok := appendAs(dst, f.kind, v); ok {
				return out
			}
		}
	}
	if f.special != plain {
		if m.counted && f.kind == kindInt && !f.repeated {
			switch f.special {
			case specialTotal:
				return strconv.AppendInt(dst, int64(m.total), 10)
			case specialRemaining:
				return strconv.AppendInt(dst, int64(m.remaining), 10)
			}
		}
		if out, ok := m.known(dst, f, w); ok {
			return out
		}
	}
	switch {
	case f.mapped:
		dst = append(dst, '{')
		for i := range uint64(2) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(strconv.AppendUint(append(dst, '"'), i+1, 10), '"', ':')
			dst = m.single(dst, f, mix(h+i), depth)
		}
		return append(dst, '}')
	case f.repeated:
		dst = append(dst, '[')
		for i := range 1 + h>>32%2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = m.single(dst, f, mix(h+i), depth)
		}
		return append(dst, ']')
	}
	return m.single(dst, f, h, depth)
}

// requested gives the value that an object shows because the request named it.
func (m *builder) requested(name string) (string, bool) {
	if m.key == name && m.key != "" {
		return m.id, true
	}
	for i := range m.params {
		if m.params[i].name == name {
			return m.params[i].value, true
		}
	}
	return "", false
}

// single writes one value of a field's kind.
func (m *builder) single(dst []byte, f *field, h uint64, depth int) []byte {
	switch f.kind {
	case kindString:
		return appendString(dst, f.value(h))
	case kindInt:
		return strconv.AppendInt(dst, integer(f.name, h), 10)
	case kindNumber:
		return strconv.AppendFloat(dst, number(f.name, h), 'f', -1, 64)
	case kindBool:
		return strconv.AppendBool(dst, h>>20%3 != 0)
	case kindTime:
		return append(appendTime(append(dst, '"'), h), '"')
	case kindStruct:
		return append(strconv.AppendUint(append(dst, `{"detail":"value","count":`...), h%10, 10), '}')
	case kindAny:
		return append(dst, `"value"`...)
	case kindAnyList:
		return append(dst, `["value"]`...)
	}
	return m.object(dst, f.sub, h, f.subject, depth+1)
}

// appendAs writes a text as a value of the kind; false when it cannot be one.
func appendAs(dst []byte, k kind, text string) ([]byte, bool) {
	switch k {
	case kindString:
		return appendString(dst, text), true
	case kindInt:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return dst, false
		}
		return strconv.AppendInt(dst, v, 10), true
	case kindNumber:
		v, ok := digits(text)
		return strconv.AppendInt(dst, v, 10), ok
	case kindTime:
		if _, err := time.Parse(time.RFC3339, text); err != nil {
			return dst, false
		}
		return appendString(dst, text), true
	}
	return dst, false
}

// appendString writes a JSON string.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, _ := json.Marshal(s) // of a string: cannot fail
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
