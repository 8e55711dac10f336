package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// The reference reads a document the plain way: encoding/json into a tree, the
// tree into a dynamic message. It shares no code with the reader that it judges.

// A node is one JSON value; objects keep the order of their keys and doubles.
type node struct {
	kind   byte // { [ s 0 t f n
	text   string
	keys   []string
	values []*node
}

func parseTree(doc []byte) (*node, error) {
	if !json.Valid(doc) {
		return nil, fmt.Errorf("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return parseNode(d, 0)
}

func parseNode(d *json.Decoder, depth int) (*node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if depth == maxDepth {
			return nil, fmt.Errorf("too deep")
		}
		n := &node{kind: byte(v)}
		for d.More() {
			if v == '{' {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			value, err := parseNode(d, depth+1)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, value)
		}
		_, err := d.Token()
		return n, err
	case string:
		return &node{kind: 's', text: v}, nil
	case json.Number:
		return &node{kind: '0', text: v.String()}, nil
	case bool:
		if v {
			return &node{kind: 't', text: "true"}, nil
		}
		return &node{kind: 'f', text: "false"}, nil
	}
	return &node{kind: 'n'}, nil
}

type reference struct{ drifts []string }

func (r *reference) drift(path string, d Drift) {
	if path == "" {
		path = "$"
	}
	r.drifts = append(r.drifts, path+" "+d.String())
}

// response is what the plan's Response ought to mean.
func (r *reference) response(c *corner, doc []byte) (proto.Message, error) {
	m := dynamicpb.NewMessage(c.method.Output())
	if strings.Trim(string(doc), " \t\r\n") == "" {
		return m, nil
	}
	n, err := parseTree(doc)
	if err != nil {
		return nil, err
	}
	if name := c.op.GetResponseField(); name != "" {
		r.field(m, m.Descriptor().Fields().ByName(protoreflect.Name(name)), n, "")
		return m, nil
	}
	items := m.Descriptor().Fields().ByName("items")
	switch {
	case n.kind == '{':
		r.object(m, n, "")
	case n.kind == 'n':
	case n.kind == '[' && items != nil:
		r.drift("items", Converted)
		r.field(m, items, n, "")
	default:
		r.drift("", LeftOut)
	}
	return m, nil
}

func refBinding(fd protoreflect.FieldDescriptor) (apiv1.Location, string) {
	b, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
	if b.GetName() == "" {
		return b.GetLocation(), fd.JSONName()
	}
	return b.GetLocation(), b.GetName()
}

func refByKey(d protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		if loc, name := refBinding(fd); name == key && loc != apiv1.Location_LOCATION_NONE {
			return fd
		}
	}
	return nil
}

func refJoin(prefix, name string) string {
	if prefix == "" || name == "" || strings.HasPrefix(name, "[") {
		return prefix + name
	}
	return prefix + "." + name
}

func (r *reference) object(m protoreflect.Message, n *node, prefix string) {
	seen := make(map[string]bool)
	for i, key := range n.keys {
		fd := refByKey(m.Descriptor(), key)
		if fd == nil {
			shown := key
			if len(shown) > 64 {
				shown = strings.ToValidUTF8(shown[:64]+"...", "\ufffd")
			}
			r.drift(refJoin(prefix, shown), UnknownField)
			continue
		}
		if seen[key] {
			m.Clear(fd)
			r.drift(refJoin(prefix, key), LeftOut)
		}
		seen[key] = true
		r.field(m, fd, n.values[i], prefix)
	}
}

func (r *reference) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, n *node, prefix string) {
	_, name := refBinding(fd)
	if name == "[]" {
		name = ""
	}
	path := refJoin(prefix, name)
	switch {
	case n.kind == 'n':
	case fd.IsList():
		elements, path1 := n.values, path
		if n.kind != '[' {
			if !refAccepts(fd, n) {
				r.drift(path, LeftOut)
				return
			}
			r.drift(path, Converted)
			elements = []*node{n}
		}
		list := m.Mutable(fd).List()
		for _, e := range elements {
			if v, ok := r.value(fd, e, list.NewElement, refJoin(path1, "[]")); ok {
				list.Append(v)
			}
		}
		if list.Len() == 0 {
			m.Clear(fd)
		}
	case fd.IsMap():
		if n.kind != '{' {
			r.drift(path, LeftOut)
			return
		}
		entries := m.Mutable(fd).Map()
		for i, key := range n.keys {
			value := fd.MapValue()
			if n.values[i].kind == 'n' && !refIs(value, "google.protobuf.Value") {
				continue
			}
			if v, ok := r.value(value, n.values[i], entries.NewValue, path+".*"); ok {
				entries.Set(protoreflect.ValueOfString(key).MapKey(), v)
			}
		}
	default:
		if v, ok := r.value(fd, n, func() protoreflect.Value { return m.NewField(fd) }, path); ok {
			m.Set(fd, v)
		}
	}
}

func refIs(fd protoreflect.FieldDescriptor, name protoreflect.FullName) bool {
	return fd.Message() != nil && fd.Message().FullName() == name
}

func refBare(fd protoreflect.FieldDescriptor) bool {
	if fd.Message() == nil || fd.Message().Fields().Len() != 1 {
		return false
	}
	_, name := refBinding(fd.Message().Fields().Get(0))
	return name == "[]"
}

// refAccepts: may n stand for one element?
func refAccepts(fd protoreflect.FieldDescriptor, n *node) bool {
	switch {
	case refIs(fd, "google.protobuf.Value"), refIs(fd, "google.protobuf.ListValue"):
		return true
	case refBare(fd):
		return n.kind == '[' || refAccepts(fd.Message().Fields().Get(0), n)
	case refIs(fd, "google.protobuf.Timestamp"), fd.Message() == nil:
		return n.kind != '{' && n.kind != '['
	}
	return n.kind == '{'
}

func (r *reference) value(fd protoreflect.FieldDescriptor, n *node, empty func() protoreflect.Value, path string) (protoreflect.Value, bool) {
	none := protoreflect.Value{}
	left := func() (protoreflect.Value, bool) { r.drift(path, LeftOut); return none, false }
	switch {
	case refIs(fd, "google.protobuf.Value"):
		v := empty()
		r.free(v.Message(), n, path)
		return v, true
	case n.kind == 'n':
		return left()
	case fd.Kind() == protoreflect.StringKind:
		switch n.kind {
		case '{', '[':
			return left()
		case 's':
		default:
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfString(n.text), true
	case fd.Kind() == protoreflect.BoolKind:
		if n.kind == 's' && (n.text == "true" || n.text == "false") {
			r.drift(path, Converted)
		} else if n.kind != 't' && n.kind != 'f' {
			return left()
		}
		return protoreflect.ValueOfBool(n.text == "true"), true
	case fd.Kind() == protoreflect.Int64Kind:
		v, ok, exact := refInt(n)
		if !ok {
			return left()
		}
		if !exact || n.kind == 's' {
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfInt64(v), true
	case fd.Kind() == protoreflect.DoubleKind:
		v, ok := refDouble(n)
		if !ok {
			return left()
		}
		if n.kind == 's' {
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfFloat64(v), true
	case refIs(fd, "google.protobuf.Timestamp"):
		if n.kind != 's' {
			return left()
		}
		at, ok, exact := refTime(n.text)
		if !ok {
			return left()
		}
		if !exact {
			r.drift(path, Converted)
		}
		v := empty()
		fields := v.Message().Descriptor().Fields()
		if s := at.Unix(); s != 0 {
			v.Message().Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(s))
		}
		if ns := at.Nanosecond(); ns != 0 {
			v.Message().Set(fields.ByName("nanos"), protoreflect.ValueOfInt32(int32(ns)))
		}
		return v, true
	case refIs(fd, "google.protobuf.Struct"):
		if n.kind != '{' {
			return left()
		}
		v := empty()
		r.freeObject(v.Message(), n, path)
		return v, true
	case refIs(fd, "google.protobuf.ListValue"):
		v := empty()
		if n.kind != '[' {
			r.drift(path, Converted)
			n = &node{kind: '[', values: []*node{n}}
		}
		r.freeList(v.Message(), n, path)
		return v, true
	case refBare(fd):
		if !refAccepts(fd, n) {
			return left()
		}
		v := empty()
		r.field(v.Message(), fd.Message().Fields().Get(0), n, path)
		return v, true
	}
	if n.kind != '{' {
		return left()
	}
	v := empty()
	r.object(v.Message(), n, path)
	return v, true
}

func (r *reference) free(m protoreflect.Message, n *node, path string) {
	fields := m.Descriptor().Fields()
	set := func(name protoreflect.Name, v protoreflect.Value) { m.Set(fields.ByName(name), v) }
	switch n.kind {
	case 'n':
		set("null_value", protoreflect.ValueOfEnum(0))
	case 't', 'f':
		set("bool_value", protoreflect.ValueOfBool(n.kind == 't'))
	case 's':
		set("string_value", protoreflect.ValueOfString(n.text))
	case '0':
		if v, ok := refDouble(n); ok {
			set("number_value", protoreflect.ValueOfFloat64(v))
		} else {
			r.drift(path, Converted)
			set("string_value", protoreflect.ValueOfString(n.text))
		}
	case '{':
		r.freeObject(m.Mutable(fields.ByName("struct_value")).Message(), n, path)
	default:
		r.freeList(m.Mutable(fields.ByName("list_value")).Message(), n, path)
	}
}

func (r *reference) freeObject(m protoreflect.Message, n *node, path string) {
	entries := m.Mutable(m.Descriptor().Fields().ByName("fields")).Map()
	for i, key := range n.keys {
		v := entries.NewValue()
		r.free(v.Message(), n.values[i], path)
		entries.Set(protoreflect.ValueOfString(key).MapKey(), v)
	}
}

func (r *reference) freeList(m protoreflect.Message, n *node, path string) {
	list := m.Mutable(m.Descriptor().Fields().ByName("values")).List()
	for _, e := range n.values {
		v := list.NewElement()
		r.free(v.Message(), e, path)
		list.Append(v)
	}
}

var refNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// refInt reads a number, or a string that is one. Numbers whose exponent would
// fill the memory of big.Rat are decided by their digits.
func refInt(n *node) (v int64, ok, exact bool) {
	if n.kind != '0' && n.kind != 's' || !refNumber.MatchString(n.text) {
		return 0, false, false
	}
	exact = !strings.ContainsAny(n.text, ".eE")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(n.text), "e")
	if strings.Trim(mantissa, "-0.") == "" {
		return 0, true, exact
	}
	if e, err := strconv.Atoi(exponent); exponent != "" && (err != nil || e > 10000 || e < -10000) {
		return 0, false, false
	}
	rat, ok := new(big.Rat).SetString(n.text)
	if !ok || !rat.IsInt() || !rat.Num().IsInt64() {
		return 0, false, false
	}
	return rat.Num().Int64(), true, exact
}

func refDouble(n *node) (float64, bool) {
	if n.kind != '0' && n.kind != 's' || !refNumber.MatchString(n.text) || len(n.text) > 2048 {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil {
		return 0, false
	}
	if !strings.ContainsAny(n.text, ".eE") {
		whole, _ := new(big.Int).SetString(n.text, 10)
		if back, _ := new(big.Float).SetFloat64(v).Int(nil); back.Cmp(whole) != 0 {
			return 0, false
		}
	}
	return v, true
}

var refInstant = regexp.MustCompile(`^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?: ?(Z|z|UTC|[+-]\d\d:?\d\d))?$`)

func refTime(s string) (at time.Time, ok, exact bool) {
	parts := refInstant.FindStringSubmatch(s)
	if parts == nil {
		return at, false, false
	}
	fraction := (parts[3] + "000000000")[:9]
	exact = len(parts[3]) <= 9 || strings.Trim(parts[3][9:], "0") == ""
	zone := parts[4]
	switch {
	case zone == "", zone == "z", zone == "UTC":
		zone = "Z"
	case len(zone) == 5:
		zone = zone[:3] + ":" + zone[3:]
	}
	if len(zone) == 6 && (zone[1:3] > "23" || zone[4:] > "59") {
		return at, false, false
	}
	at, err := time.Parse(time.RFC3339Nano, parts[1]+"T"+parts[2]+"."+fraction+zone)
	if at = at.UTC(); err != nil || at.Year() < 1 || at.Year() > 9999 {
		return at, false, false
	}
	return at, true, exact
}
