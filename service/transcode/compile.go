package transcode

import (
	"fmt"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// maxFields bounds the fields of one message, because the reader keeps one bit
// for each on its stack to notice a key that comes twice.
const maxFields = 64 * seenWords

// A Compiler makes plans that share what they know about message types: the
// resource messages of the contract serve several operations each. It may be
// used from several goroutines.
type Compiler struct {
	mu       sync.Mutex
	messages map[protoreflect.FullName]*message
}

// NewCompiler makes a Compiler that knows no message type yet.
func NewCompiler() *Compiler {
	return &Compiler{messages: make(map[protoreflect.FullName]*message)}
}

// Compile makes the plan of one method alone. A Compiler is better for many.
func Compile(m protoreflect.MethodDescriptor, op *apiv1.Operation) (*Plan, error) {
	return NewCompiler().Compile(m, op)
}

// Compile makes the plan of one method. An error is a fault of the contract,
// never of a request: the field that cannot be mapped is named.
func (c *Compiler) Compile(m protoreflect.MethodDescriptor, op *apiv1.Operation) (*Plan, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &build{known: c.messages, fresh: make(map[protoreflect.FullName]*message)}
	p := &Plan{operation: op.GetId(), whole: -1, nulls: -1, empties: -1}
	if err := b.request(p, m.Input(), op); err != nil {
		return nil, fmt.Errorf("transcode: %s: %w", op.GetId(), err)
	}
	if err := b.response(p, m.Output(), op); err != nil {
		return nil, fmt.Errorf("transcode: %s: %w", op.GetId(), err)
	}
	for name, fresh := range b.fresh {
		c.messages[name] = fresh
	}
	return p, nil
}

// A build is one Compile: what it makes is shared only when all of it is sound.
type build struct {
	known, fresh map[protoreflect.FullName]*message
}

func (b *build) response(p *Plan, d protoreflect.MessageDescriptor, op *apiv1.Operation) error {
	m, err := b.message(d)
	if err != nil {
		return err
	}
	p.response = m
	for i := range m.fields {
		f := &m.fields[i]
		fd := d.Fields().ByNumber(protoreflect.FieldNumber(f.number))
		if f.kind == kindMessage && f.shape == single && fd.Message().FullName() == "meraki.api.v1.PageInfo" {
			p.page = f.tag
		}
		if string(fd.Name()) == op.GetResponseField() {
			p.root = f
		}
		if f.json() == "items" && f.shape == list {
			p.rows = f
		}
		if f.wholeBeside(m) && string(fd.Name()) != op.GetResponseField() {
			p.beside = append(p.beside, f)
		}
	}
	if p.root != nil && p.root.shape == list { // the rows, by whatever name an object has them
		p.rows = p.root
	}
	p.collects = p.root == nil && p.rows != nil && p.page != 0 && op.GetVerb() == apiv1.Verb_VERB_GET && m.byKey([]byte("errors")) < 0
	p.both = p.root != nil && p.root.key == hiddenKey && p.root.shape == single && (p.root.kind == kindStruct || p.root.kind == kindValue) &&
		slices.ContainsFunc(m.fields, func(f field) bool { return f.key != hiddenKey })
	p.properties = p.root == nil || p.root.shape == list || p.both
	if op.GetResponseField() != "" && p.root == nil {
		return fmt.Errorf("%s has no field %q to take the document", d.FullName(), op.GetResponseField())
	}
	return nil
}

// wholeBeside tells a field that took the whole document when that was one value,
// mostly of any form. The document has been described since, and clients from
// before know no other field.
func (f *field) wholeBeside(m *message) bool {
	return f.key == hiddenKey && f.shape != list && f.kind < kindMessage && f.tag != m.additional && f.retired == nil
}

// message describes a message type, from the cache where it is known.
func (b *build) message(d protoreflect.MessageDescriptor) (*message, error) {
	if m := b.known[d.FullName()]; m != nil {
		return m, nil
	}
	if m := b.fresh[d.FullName()]; m != nil {
		return m, nil
	}
	m := new(message)
	b.fresh[d.FullName()] = m // before its fields: a type may contain itself
	if err := b.fill(m, d); err != nil {
		return nil, err
	}
	m.bare = isBare(d)
	if m.bare {
		// The JSON array has no name of its own in a drift path.
		m.fields[0].key, m.fields[0].elem.key = `"":`, `"[]":`
		return m, nil
	}
	seen := make(map[string]bool, len(m.fields))
	for i := range m.fields {
		key := m.fields[i].key
		if seen[key] && key != hiddenKey {
			return nil, fmt.Errorf("%s: two fields are %s", d.FullName(), key)
		}
		seen[key] = true
	}
	m.index(func(int) bool { return true })
	m.retire(d)
	return m, nil
}

// fill describes the fields, ordered by number.
func (b *build) fill(m *message, d protoreflect.MessageDescriptor) error {
	fds := d.Fields()
	if fds.Len() > maxFields {
		return fmt.Errorf("%s has %d fields, more than %d", d.FullName(), fds.Len(), maxFields)
	}
	m.fields = make([]field, fds.Len())
	for i, fd := range ordered(fds) {
		if err := b.field(&m.fields[i], fd); err != nil {
			return fmt.Errorf("%s: %w", fd.FullName(), err)
		}
		if isAdditional(fd) {
			m.additional = m.fields[i].tag
		}
	}
	return nil
}

func (b *build) field(f *field, fd protoreflect.FieldDescriptor) error {
	location, name := bindingOf(fd)
	if !plainName(name) {
		return fmt.Errorf("the JSON name %q needs escapes", name)
	}
	f.name = string(fd.Name())
	f.number = int32(fd.Number())
	f.key = hiddenKey
	if isAdditional(fd) {
		location = apiv1.Location_LOCATION_NONE
	}
	if location != apiv1.Location_LOCATION_NONE {
		f.key = `"` + name + `":`
	}
	value := fd
	if fd.IsMap() {
		if fd.MapKey().Kind() != protoreflect.StringKind {
			return fmt.Errorf("the keys of a map are strings, not %v", fd.MapKey().Kind())
		}
		value = fd.MapValue()
	}
	var err error
	if f.kind, err = kindOf(value); err != nil {
		return err
	}
	if f.kind == kindMessage || f.kind == kindBare {
		if f.message, err = b.message(value.Message()); err != nil {
			return err
		}
	}
	f.tag = uint32(f.number)<<3 | f.kind.wire()
	switch {
	case fd.IsMap():
		elem := *f
		elem.key, elem.tag = `"`+name+`.*":`, 2<<3|f.kind.wire()
		f.shape, f.elem, f.tag = dict, &elem, uint32(f.number)<<3|wireBytes
	case fd.IsList():
		elem := *f
		elem.key = `"` + name + `[]":`
		f.shape, f.elem, f.tag = list, &elem, uint32(f.number)<<3|wireBytes
	case f.kind == kindBare && !isBare(fd.ContainingMessage()):
		// Legal, and the same as a list field; the contract has no reason to write it.
		return fmt.Errorf("%s stands outside of a list or map", value.Message().FullName())
	}
	return nil
}

// kindOf maps a field's type; the contract knows few.
func kindOf(fd protoreflect.FieldDescriptor) (kind, error) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return kindString, nil
	case protoreflect.BoolKind:
		return kindBool, nil
	case protoreflect.Int64Kind:
		return kindInt, nil
	case protoreflect.DoubleKind:
		return kindDouble, nil
	case protoreflect.MessageKind:
		switch fd.Message().FullName() {
		case "google.protobuf.Timestamp":
			return kindTime, nil
		case "google.protobuf.Struct":
			return kindStruct, nil
		case "google.protobuf.Value":
			return kindValue, nil
		case "google.protobuf.ListValue":
			return kindList, nil
		}
		if isBare(fd.Message()) {
			return kindBare, nil
		}
		return kindMessage, nil
	}
	return 0, fmt.Errorf("type %v is not part of the contract", fd.Kind())
}

// isAdditional tells the field that holds what the contract has no field for.
func isAdditional(fd protoreflect.FieldDescriptor) bool {
	return fd.Name() == "additional_properties" && fd.Kind() == protoreflect.MessageKind && !fd.IsList() && !fd.IsMap() &&
		fd.Message().FullName() == "google.protobuf.Struct"
}

// isBare tells a message whose JSON array stands where the message would: its
// only field is a list bound to the name "[]".
func isBare(d protoreflect.MessageDescriptor) bool {
	if d.Fields().Len() != 1 || !d.Fields().Get(0).IsList() {
		return false
	}
	_, name := bindingOf(d.Fields().Get(0))
	return name == "[]"
}

// bindingOf gives a field's location, when an option says one, and its name in
// JSON or in the query.
func bindingOf(fd protoreflect.FieldDescriptor) (apiv1.Location, string) {
	binding, _ := proto.GetExtension(fd.Options(), apiv1.E_Binding).(*apiv1.Binding)
	if name := binding.GetName(); name != "" {
		return binding.GetLocation(), name
	}
	return binding.GetLocation(), fd.JSONName()
}

// ordered lists fields by number.
func ordered(fds protoreflect.FieldDescriptors) []protoreflect.FieldDescriptor {
	all := make([]protoreflect.FieldDescriptor, fds.Len())
	for i := range all {
		all[i] = fds.Get(i)
	}
	sortByNumber(all)
	return all
}
