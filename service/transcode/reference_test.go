package transcode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// The reference reads a document the plain way: encoding/json into a tree, the
// tree into a dynamic message. It shares no code with the reader that it judges.

// A node is one JSON value; objects keep the order of their keys and doubles.
type node struct {
	kind   byte   // { [ s 0 t f n
	text   string // of an object or list as it stands in the document
	keys   []string
	values []*node
}

func parseTree(doc []byte) (*node, error) {
	if !json.Valid(doc) {
		return nil, fmt.Errorf("not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	return parseNode(d, doc, 0)
}

func parseNode(d *json.Decoder, doc []byte, depth int) (*node, error) {
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
		start := d.InputOffset() - 1
		for d.More() {
			if v == '{' {
				key, err := d.Token()
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key.(string))
			}
			value, err := parseNode(d, doc, depth+1)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, value)
		}
		_, err := d.Token()
		n.text = strings.ToValidUTF8(string(doc[start:d.InputOffset()]), "\ufffd")
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

type reference struct {
	drifts []string
	quiet  bool // what is kept has been reported
	both   bool // a free field has the document as well
	// messages inside each other, as far as the reader counts them.
	level, freeLevel int
}

func (r *reference) drift(path string, d Drift) {
	if path == "" {
		path = "$"
	}
	if !r.quiet {
		r.drifts = append(r.drifts, path+" "+d.String())
	}
}

// refErrors is the reference's word for a list's answer that is errors.
type refErrors struct{ error }

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
	fields := m.Descriptor().Fields()
	root, items := fields.ByName(protoreflect.Name(c.op.GetResponseField())), fields.ByName("items")
	took := false
	r.both = refBoth(m.Descriptor(), root)
	switch {
	case n.kind == '{' && (root == nil || root.IsList() || r.both):
		r.object(m, n, "", false)
		if took = true; root != nil && !r.both {
			r.otherForm(m)
			if errors := n.value("errors"); errors != nil && n.value("items") == nil && len(errors.values) > 0 {
				return nil, refErrors{fmt.Errorf("errors for a list")}
			}
		}
	case root != nil && (n.kind != 'n' || refIs(root, "google.protobuf.Value")):
		took = r.field(m, root, n, "", false) == refTook
	case root == nil && n.kind == '[' && items != nil:
		if took = r.field(m, items, n, "", false) == refTook; took {
			r.otherForm(m)
		}
	default:
		r.drift("", LeftOut)
	}
	if took {
		r.beside(m, n)
		return m, nil
	}
	m = dynamicpb.NewMessage(c.method.Output())
	document := n
	if n.kind != '{' {
		n = &node{kind: '{', keys: []string{"_json"}, values: []*node{n}}
	}
	r.keep(m, n)
	r.beside(m, document)
	return m, nil
}

// beside fills a field that had the whole document before that was described.
func (r *reference) beside(m protoreflect.Message, n *node) {
	r.quiet = true
	if fd := m.Descriptor().Fields().ByName("value"); fd != nil && n.kind != 'n' && (n.kind == '{' || !refIs(fd, "google.protobuf.Struct")) {
		r.field(m, fd, n, "", false)
	}
	if fd := m.Descriptor().Fields().ByName("values"); fd != nil && fd.IsMap() && n.kind == '{' && r.field(m, fd, n, "", false) != refTook {
		m.Clear(fd)
	}
}

// value gives the last value under a key; nil when there is none.
func (n *node) value(key string) (value *node) {
	for i := range n.keys {
		if n.keys[i] == key {
			value = n.values[i]
		}
	}
	return value
}

// otherForm says that an object came for a list, or the reverse.
func (r *reference) otherForm(m protoreflect.Message) {
	if m.Has(m.Descriptor().Fields().ByName("items")) {
		r.drift("", Converted)
	} else {
		r.drift("", LeftOut)
	}
	if fd := refAdditional(m.Descriptor()); fd != nil {
		m.Mutable(fd)
	}
}

// keep puts the members of an object into additional_properties.
func (r *reference) keep(m protoreflect.Message, n *node) {
	fd := refAdditional(m.Descriptor())
	if fd == nil {
		return
	}
	quiet := r.quiet
	r.quiet = true
	free := r.freeLevel
	r.freeLevel -= 3
	r.freeObject(m.Mutable(fd).Message(), n, "")
	r.quiet, r.freeLevel = quiet, free
}

func refAdditional(d protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	return d.Fields().ByName("additional_properties")
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

// refOlder gives the retired fields of a property, the newest first.
func refOlder(d protoreflect.MessageDescriptor, key string) (older []protoreflect.FieldDescriptor) {
	for i := d.Fields().Len() - 1; i >= 0; i-- {
		fd := d.Fields().Get(i)
		loc, name := refBinding(fd)
		if options := fd.Options().(*descriptorpb.FieldOptions); name == key && loc == apiv1.Location_LOCATION_NONE && options.GetDeprecated() {
			older = append(older, fd)
		}
	}
	return older
}

func refJoin(prefix, name string) string {
	if prefix == "" || name == "" || strings.HasPrefix(name, "[") {
		return prefix + name
	}
	return prefix + "." + name
}

// object reads an object; inElement tells that it is, or is in, an element of a
// list or a value of a map.
func (r *reference) object(m protoreflect.Message, n *node, prefix string, inElement bool) {
	kept := &node{kind: '{'}
	seen := make(map[string]bool)
	for i, key := range n.keys {
		fd := refByKey(m.Descriptor(), key)
		if fd == nil {
			shown := key
			if len(shown) > 64 {
				shown = strings.ToValidUTF8(shown[:64]+"...", "\ufffd")
			}
			if !r.both {
				r.drift(refJoin(prefix, shown), UnknownField)
			}
			kept.keys, kept.values = append(kept.keys, key), append(kept.values, n.values[i])
			continue
		}
		if seen[key] {
			m.Clear(fd)
			for _, old := range refOlder(m.Descriptor(), key) {
				m.Clear(old)
			}
			if at := slices.Index(kept.keys, key); at >= 0 {
				kept.keys, kept.values = slices.Delete(kept.keys, at, at+1), slices.Delete(kept.values, at, at+1)
			}
			r.drift(refJoin(prefix, key), LeftOut)
		}
		seen[key] = true
		how := r.field(m, fd, n.values[i], prefix, inElement)
		if how != refTook {
			m.Clear(fd)
		}
		quiet := r.quiet
		r.quiet = true
		for _, old := range refOlder(m.Descriptor(), key) {
			m.Clear(old)
			if r.field(m, old, n.values[i], prefix, inElement) == refTook {
				how = refTook
			} else {
				m.Clear(old)
			}
		}
		r.quiet = quiet
		if how != refTook {
			kept.keys, kept.values = append(kept.keys, key), append(kept.values, n.values[i])
		}
	}
	if len(kept.keys) > 0 {
		r.keep(m, kept)
	}
}

// What comes of a value: the field took it, it does not fit, or it fits and the
// wire cannot tell it from nothing.
const (
	refTook = iota
	refMisplaced
	refUnsaid
)

func (r *reference) field(m protoreflect.Message, fd protoreflect.FieldDescriptor, n *node, prefix string, inElement bool) int {
	_, name := refBinding(fd)
	if name == "[]" {
		name = ""
	}
	path := refJoin(prefix, name)
	switch {
	case n.kind == 'n':
	case fd.IsList() && n.kind == '[':
		if inElement && len(n.values) == 0 {
			return refUnsaid
		}
		return r.list(m, fd, n, path)
	case fd.IsMap() && n.kind == '{':
		if inElement && len(n.values) == 0 {
			return refUnsaid
		}
		entries := m.Mutable(fd).Map()
		for i, key := range n.keys {
			v, ok := r.value(fd.MapValue(), n.values[i], entries.NewValue, path+".*", true)
			if !ok {
				return refMisplaced
			}
			entries.Set(protoreflect.ValueOfString(key).MapKey(), v)
		}
	case fd.IsList(), fd.IsMap():
		r.drift(path, LeftOut)
		return refMisplaced
	case refIs(fd, "google.protobuf.Timestamp") && n.kind == 's' && n.text == "":
	default:
		v, ok := r.value(fd, n, func() protoreflect.Value { return m.NewField(fd) }, path, inElement)
		if !ok {
			return refMisplaced
		}
		m.Set(fd, v)
	}
	return refTook
}

func (r *reference) list(m protoreflect.Message, fd protoreflect.FieldDescriptor, n *node, path string) int {
	list := m.Mutable(fd).List()
	for _, e := range n.values {
		v, ok := r.value(fd, e, list.NewElement, refJoin(path, "[]"), true)
		if !ok {
			return refMisplaced
		}
		list.Append(v)
	}
	return refTook
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

func (r *reference) value(fd protoreflect.FieldDescriptor, n *node, empty func() protoreflect.Value, path string, inElement bool) (protoreflect.Value, bool) {
	none := protoreflect.Value{}
	misplaced := func() (protoreflect.Value, bool) { r.drift(path, LeftOut); return none, false }
	switch {
	case refIs(fd, "google.protobuf.Value"):
		v := empty()
		r.free(v.Message(), n, path)
		return v, true
	case n.kind == 'n':
		return misplaced()
	case fd.Kind() == protoreflect.StringKind:
		switch n.kind {
		case '{', '[':
			return misplaced()
		case 's':
		default:
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfString(n.text), true
	case fd.Kind() == protoreflect.BoolKind:
		if n.kind == 's' && (n.text == "true" || n.text == "false") {
			r.drift(path, Converted)
		} else if n.kind != 't' && n.kind != 'f' {
			return misplaced()
		}
		return protoreflect.ValueOfBool(n.text == "true"), true
	case fd.Kind() == protoreflect.Int64Kind:
		v, ok, exact := refInt(n)
		if !ok || n.kind == 's' && strconv.FormatInt(v, 10) != n.text {
			return misplaced()
		}
		if !exact || n.kind == 's' {
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfInt64(v), true
	case fd.Kind() == protoreflect.DoubleKind:
		v, ok := refDouble(n)
		if !ok || n.kind == 's' && string(appendDouble(nil, v)) != n.text {
			return misplaced()
		}
		if n.kind == 's' {
			r.drift(path, Converted)
		}
		return protoreflect.ValueOfFloat64(v), true
	case refIs(fd, "google.protobuf.Timestamp"):
		at, ok := refTime(n.text)
		if n.kind != 's' || !ok {
			return misplaced()
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
			return misplaced()
		}
		v := empty()
		r.freeObject(v.Message(), n, path)
		return v, true
	case refIs(fd, "google.protobuf.ListValue"):
		if n.kind != '[' {
			return misplaced()
		}
		v := empty()
		r.freeList(v.Message(), n, path)
		return v, true
	case refBare(fd):
		if n.kind != '[' {
			return misplaced()
		}
		v := empty()
		r.level++
		how := r.list(v.Message(), fd.Message().Fields().Get(0), n, path)
		r.level--
		return v, how == refTook
	}
	if n.kind != '{' {
		return misplaced()
	}
	v := empty()
	r.level++
	r.object(v.Message(), n, path, inElement)
	r.level--
	return v, true
}
