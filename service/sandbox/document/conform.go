package document

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// Decode reads one JSON value with nothing after it; numbers keep their digits.
func Decode(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, &json.SyntaxError{}
	}
	return v, nil
}

// DecodeObject reads an object; nil when it is something else.
func DecodeObject(body []byte) map[string]any {
	v, err := Decode(body)
	if err != nil {
		return nil
	}
	o, _ := v.(map[string]any)
	return o
}

// Encode writes JSON; map keys come out sorted, so the same state is the same bytes.
func Encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null") // only values that came from JSON get here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Merge lays a written object over the stored one: objects are merged, everything
// else is replaced, null deletes.
func Merge(old, patch map[string]any) map[string]any {
	if old == nil {
		old = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(old, k)
		case map[string]any:
			was, _ := old[k].(map[string]any)
			old[k] = Merge(was, v)
		default:
			old[k] = v
		}
	}
	return old
}

// Conform keeps of a value what the shape can show, and says whether anything is
// left: a write may carry what no answer shows (passwords, other types).
func (s *Shape) Conform(v any) (any, bool) {
	if s.list != nil {
		return s.list.Conform(v)
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]any, len(o))
	for k, v := range o {
		f := s.Find(k)
		if f == nil {
			continue
		}
		if v, ok := f.Conform(v); ok {
			out[k] = v
		}
	}
	return out, true
}

// Conform is the same for one field.
func (f *Field) Conform(v any) (any, bool) {
	switch {
	case v == nil:
		return nil, true
	case f.mapped:
		o, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		out := make(map[string]any, len(o))
		for k, v := range o {
			if v, ok := f.conformSingle(v); ok {
				out[k] = v
			}
		}
		return out, true
	case f.Repeated:
		l, ok := v.([]any)
		if !ok {
			return nil, false
		}
		out := make([]any, 0, len(l))
		for _, v := range l {
			if v, ok := f.conformSingle(v); ok {
				out = append(out, v)
			}
		}
		return out, true
	}
	return f.conformSingle(v)
}

func (f *Field) conformSingle(v any) (any, bool) {
	switch f.Kind {
	case KindObject:
		return f.Sub.Conform(v)
	case KindStruct:
		_, ok := v.(map[string]any)
		return v, ok
	case KindAnyList:
		_, ok := v.([]any)
		return v, ok
	case KindAny:
		return v, true
	case KindBool:
		_, ok := v.(bool)
		return v, ok
	case KindString:
		_, ok := v.(string)
		if f.Name == "value" { // of a rule: text, object or list, by the rule's type
			ok = v != nil
		}
		return v, ok
	case KindTime:
		t, ok := v.(string)
		if !ok {
			return nil, false
		}
		_, err := time.Parse(time.RFC3339, t)
		return v, err == nil
	case KindInt:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		_, err := strconv.ParseInt(n.String(), 10, 64)
		return v, err == nil
	case KindNumber:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		_, err := n.Float64()
		return v, err == nil
	}
	return nil, false
}

// Overlay lays a stored resource, written in one shape, over a document that was
// made in another. What the stored shape has comes from the stored resource alone.
func Overlay(made, stored map[string]any, storedShape, shown *Shape) map[string]any {
	for k := range made {
		if storedShape.Find(k) != nil {
			delete(made, k)
		}
	}
	for k, v := range stored {
		if f := shown.Find(k); f != nil {
			if v, ok := f.Conform(v); ok {
				made[k] = v
			}
		}
	}
	return made
}

// Text gives a string or number property as text.
func Text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// Number is a whole number as decoded JSON has it.
func Number(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// TextAt follows a path of properties.
func TextAt(o map[string]any, path string) string {
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			return Text(o[name])
		}
		next, ok := o[name].(map[string]any)
		if !ok {
			return ""
		}
		o, path = next, rest
	}
}

// Texts gives a list of strings.
func Texts(v any) []string {
	l, _ := v.([]any)
	out := make([]string, 0, len(l))
	for _, v := range l {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// Object gives a value as an object; nil when it is something else.
func Object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}
