package document

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// deepest is how far objects nest in a made-up answer. No documented answer goes
// as far.
const deepest = 12

// A Builder makes one document. The values come from a seed and the names of the
// fields, so that two operations which show the same thing agree about it.
type Builder struct {
	Inventory   *inventory.Inventory
	At          inventory.Entity
	APIDisabled bool // the organization has switched API access off

	Params []Param // of the path, shown again in fields of the same name
	Key    string  // the field that identifies the object, and its value
	ID     string

	Counted          bool // total and remaining below are known
	Total, Remaining int
}

// A Param is a path parameter of a request.
type Param struct{ Name, Value string }

// Object writes one made-up object.
func (m *Builder) Object(dst []byte, sh *Shape, seed uint64, w Subject, depth int) []byte {
	if sh.list != nil {
		return m.Field(dst, sh.list, seed, w, depth)
	}
	dst = append(dst, '{')
	if depth > deepest {
		return append(dst, '}')
	}
	for i := range sh.Fields {
		f := &sh.Fields[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, f.Key...)
		dst = m.Field(dst, f, Mix(seed^f.Hash), w, depth)
	}
	return append(dst, '}')
}

// Field writes the value of one field, h being its own seed.
func (m *Builder) Field(dst []byte, f *Field, h uint64, w Subject, depth int) []byte {
	if depth == 0 && !f.Repeated && !f.mapped {
		if v, ok := m.requested(f.Name); ok {
			if out, ok := appendAs(dst, f.Kind, v); ok {
				return out
			}
		}
	}
	if f.special != plain {
		if m.Counted && f.Kind == KindInt && !f.Repeated {
			switch f.special {
			case specialTotal:
				return strconv.AppendInt(dst, int64(m.Total), 10)
			case specialRemaining:
				return strconv.AppendInt(dst, int64(m.Remaining), 10)
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
			dst = m.Single(dst, f, Mix(h+i), depth)
		}
		return append(dst, '}')
	case f.Repeated:
		dst = append(dst, '[')
		for i := range 1 + h>>32%2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = m.Single(dst, f, Mix(h+i), depth)
		}
		return append(dst, ']')
	}
	return m.Single(dst, f, h, depth)
}

// requested gives the value of a field that the request's path has named.
func (m *Builder) requested(name string) (string, bool) {
	if m.Key == name && m.Key != "" {
		return m.ID, true
	}
	for i := range m.Params {
		if m.Params[i].Name == name {
			return m.Params[i].Value, true
		}
	}
	return "", false
}

// Single writes one value of a field's kind.
func (m *Builder) Single(dst []byte, f *Field, h uint64, depth int) []byte {
	switch f.Kind {
	case KindString:
		return appendString(dst, f.value(h))
	case KindInt:
		return strconv.AppendInt(dst, integer(f.Name, h), 10)
	case KindNumber:
		return strconv.AppendFloat(dst, number(f.Name, h), 'f', -1, 64)
	case KindBool:
		return strconv.AppendBool(dst, h>>20%3 != 0)
	case KindTime:
		return append(appendTime(append(dst, '"'), h), '"')
	case KindStruct:
		return append(strconv.AppendUint(append(dst, `{"detail":"value","count":`...), h%10, 10), '}')
	case KindAny:
		return append(dst, `"value"`...)
	case KindAnyList:
		return append(dst, `["value"]`...)
	}
	return m.Object(dst, f.Sub, h, f.subject, depth+1)
}

// appendAs writes a text as a value of the kind; false when it cannot be one.
func appendAs(dst []byte, k Kind, text string) ([]byte, bool) {
	switch k {
	case KindString:
		return appendString(dst, text), true
	case KindInt:
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return dst, false
		}
		return strconv.AppendInt(dst, v, 10), true
	case KindNumber:
		v, ok := inventory.ParseNumber(text)
		return strconv.AppendInt(dst, v, 10), ok
	case KindTime:
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
