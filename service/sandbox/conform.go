package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"
)

// decode reads one JSON value with nothing after it; numbers keep their digits.
func decode(body []byte) (any, error) {
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

// decodeObject reads an object; nil when it is something else.
func decodeObject(body []byte) map[string]any {
	v, err := decode(body)
	if err != nil {
		return nil
	}
	o, _ := v.(map[string]any)
	return o
}

// encode writes JSON; map keys come out sorted, so the same state is the same bytes.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return []byte("null") // only values that came from JSON get here
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// merge lays a written object over the stored one: objects into each other,
// everything else replaced, null deletes.
func merge(old, patch map[string]any) map[string]any {
	if old == nil {
		old = map[string]any{}
	}
	for k, v := range patch {
		switch v := v.(type) {
		case nil:
			delete(old, k)
		case map[string]any:
			was, _ := old[k].(map[string]any)
			old[k] = merge(was, v)
		default:
			old[k] = v
		}
	}
	return old
}

// conform keeps of a value what the shape can show, and says whether anything is
// left: a write may carry what no answer shows (passwords, other types).
func (s *shape) conform(v any) (any, bool) {
	if s.list != nil {
		return s.list.conform(v)
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, false
	}
	out := make(map[string]any, len(o))
	for k, v := range o {
		f := s.find(k)
		if f == nil {
			continue
		}
		if v, ok := f.conform(v); ok {
			out[k] = v
		}
	}
	return out, true
}

func (f *field) conform(v any) (any, bool) {
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
	case f.repeated:
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

func (f *field) conformSingle(v any) (any, bool) {
	switch f.kind {
	case kindObject:
		return f.sub.conform(v)
	case kindStruct:
		_, ok := v.(map[string]any)
		return v, ok
	case kindAnyList:
		_, ok := v.([]any)
		return v, ok
	case kindAny:
		return v, true
	case kindBool:
		_, ok := v.(bool)
		return v, ok
	case kindString:
		_, ok := v.(string)
		return v, ok
	case kindTime:
		t, ok := v.(string)
		if !ok {
			return nil, false
		}
		_, err := time.Parse(time.RFC3339, t)
		return v, err == nil
	case kindInt:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		_, err := strconv.ParseInt(n.String(), 10, 64)
		return v, err == nil
	case kindNumber:
		n, ok := v.(json.Number)
		if !ok {
			return nil, false
		}
		_, err := n.Float64()
		return v, err == nil
	}
	return nil, false
}

// overlay lays a stored resource, written in one shape, over a document that was
// made in another: what the stored one could show, it alone decides.
func overlay(made, stored map[string]any, storedShape, shown *shape) map[string]any {
	for k := range made {
		if storedShape.find(k) != nil {
			delete(made, k)
		}
	}
	for k, v := range stored {
		if f := shown.find(k); f != nil {
			if v, ok := f.conform(v); ok {
				made[k] = v
			}
		}
	}
	return made
}

// text gives a string or number property as text.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// number64 is a whole number as decoded JSON has it.
func number64(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// textAt follows a path of properties.
func textAt(o map[string]any, path string) string {
	for {
		name, rest, more := strings.Cut(path, ".")
		if !more {
			return text(o[name])
		}
		next, ok := o[name].(map[string]any)
		if !ok {
			return ""
		}
		o, path = next, rest
	}
}

// texts gives a list of strings.
func texts(v any) []string {
	l, _ := v.([]any)
	out := make([]string, 0, len(l))
	for _, v := range l {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}
