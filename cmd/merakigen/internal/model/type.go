// Package model turns the operations of an OpenAPI document into the messages
// that the contract wants for them: one flat request each, and one response
// message for each resource. It knows nothing of field numbers; what lies on
// disk already decides about those (package lock).
package model

import (
	"slices"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// Kind is what one value is on the protobuf side.
type Kind uint8

// The kinds. Object values are messages of our own.
const (
	String Kind = iota
	Int64
	Double
	Bool
	Timestamp
	Struct
	Value
	ListValue
	// Paths are the names of fields, in null_fields and empty_fields.
	Paths
	PageInfo
	Message
)

// Label says how many of them.
type Label uint8

// The labels. A map's keys are strings, as JSON's are.
const (
	One Label = iota
	Many
	Map
)

// A Type is what a field holds.
type Type struct {
	Label Label
	Kind  Kind
	// Object is set when Kind is Message.
	Object *Object
	// Resource is the top-level message that Object is; nil when the message is
	// nested where the field stands.
	Resource *Resource
}

// An Object is a message to be: properties without numbers.
type Object struct {
	Props []*Prop
	// Wrapper marks an inner list of a list of lists: the JSON array stands
	// where the message would.
	Wrapper bool
	// Closed: nothing but the properties can stand there, as in a query.
	Closed bool
}

// A Prop is a field to be.
type Prop struct {
	// Name is the name on the wire: the vendor's, exactly.
	Name     string
	Location apiv1.Location
	// Proto is the proto name where it does not follow from Name.
	Proto string
	// Number is set where a field of ours has the same number in every message.
	Number int32
	// Root marks a field that can take the whole document: the rows of a bare
	// list, a free-form answer, a body that is no object.
	Root bool
	// Bound says that the binding option has to name Location and Name.
	Bound bool
	Type  Type
	// Others are the types that another description of the same property gives.
	Others []Type
	// Also are the objects of further descriptions, whose type is the same.
	Also       []*Object
	Facts      Facts
	Deprecated bool
}

// Facts are what a comment can say about a field without quoting anybody.
type Facts struct {
	Required bool
	// Asked: required where the message stands in a request.
	Asked bool
	// Whole: it takes the whole document, and the fields beside it the same.
	Whole                               bool
	Enum                                []string
	Minimum, Maximum, MaxItems, Default string
	Stage                               string
}

// A Resource is a top-level response message, shared by the operations of one
// resource.
type Resource struct {
	Name   string
	Object *Object
	// Path of the operation that named it; it sorts the message in its file.
	Path string
	// Noun names the file in which a new message is placed.
	Noun string
}

func (o *Object) prop(name string, location apiv1.Location) *Prop {
	for _, p := range o.Props {
		if p.Name == name && p.Location == location {
			return p
		}
	}
	return nil
}

// Same reports whether two types can be one field without loss on either side.
func Same(a, b Type) bool { return same(a, b) }

func same(a, b Type) bool { return a.Label == b.Label && a.Kind == b.Kind && wrapped(a) == wrapped(b) }

func wrapped(t Type) bool { return t.Object != nil && t.Object.Wrapper }

// unite adds what another description says of the same object. Where the two
// disagree about a type both are kept: the lock decides, or else the first.
func unite(into, from *Object, clash func(name string, a, b Type)) {
	into.Closed = into.Closed && from.Closed
	for _, p := range from.Props {
		have := into.prop(p.Name, p.Location)
		if have == nil {
			into.Props = append(into.Props, p.copy())
			continue
		}
		have.add(p)
		if same(have.Type, p.Type) {
			have.Type.unite(p.Type, clash)
			continue
		}
		i := slices.IndexFunc(have.Others, func(t Type) bool { return same(t, p.Type) })
		if i >= 0 {
			have.Others[i].unite(p.Type, clash)
			continue
		}
		clash(p.Name, have.Type, p.Type)
		have.Others = append(have.Others, p.Type.copy())
	}
}

// add takes what another description says beside the type.
func (p *Prop) add(from *Prop) {
	p.Facts.unite(from.Facts)
	p.Deprecated = p.Deprecated && from.Deprecated
	p.Root = p.Root || from.Root
}

// Union is what several descriptions say of one message, without a change to any
// of them: the objects of the properties stay those of the first, and Also has
// the rest.
func Union(all []*Object) *Object {
	if len(all) == 1 {
		return all[0]
	}
	out := &Object{Closed: true}
	for _, o := range all {
		out.Closed = out.Closed && o.Closed
		out.Wrapper = out.Wrapper || o.Wrapper
		for _, p := range o.Props {
			have := out.prop(p.Name, p.Location)
			if have == nil {
				c := *p
				c.Others, c.Also = slices.Clone(p.Others), slices.Clone(p.Also)
				out.Props = append(out.Props, &c)
				continue
			}
			have.add(p)
			for _, t := range append([]Type{p.Type}, p.Others...) {
				if same(have.Type, t) {
					have.Also = append(have.Also, t.Object)
				} else {
					have.Others = append(have.Others, t)
				}
			}
			have.Also = append(have.Also, p.Also...)
		}
	}
	return out
}

func (t Type) unite(from Type, clash func(string, Type, Type)) {
	if t.Object != nil && from.Object != nil && t.Object != from.Object {
		unite(t.Object, from.Object, clash)
	}
}

func (f *Facts) unite(from Facts) {
	f.Required, f.Asked, f.Whole = f.Required || from.Required, f.Asked || from.Asked, f.Whole || from.Whole
	for _, v := range from.Enum {
		if len(f.Enum) > 0 && !slices.Contains(f.Enum, v) {
			f.Enum = append(slices.Clone(f.Enum), v)
		}
	}
	if len(f.Enum) == 0 {
		f.Enum = from.Enum
	}
	for to, v := range map[*string]string{
		&f.Minimum: from.Minimum, &f.Maximum: from.Maximum, &f.MaxItems: from.MaxItems,
		&f.Default: from.Default, &f.Stage: from.Stage,
	} {
		if *to == "" {
			*to = v
		}
	}
}

// copies, so that one description is never changed by uniting another with it.

func (o *Object) copy() *Object {
	if o == nil {
		return nil
	}
	c := &Object{Wrapper: o.Wrapper, Closed: o.Closed}
	for _, p := range o.Props {
		c.Props = append(c.Props, p.copy())
	}
	return c
}

func (p *Prop) copy() *Prop {
	c := *p
	c.Type = p.Type.copy()
	c.Others = nil
	for _, t := range p.Others {
		c.Others = append(c.Others, t.copy())
	}
	return &c
}

func (t Type) copy() Type {
	if t.Resource == nil {
		t.Object = t.Object.copy()
	}
	return t
}
