package model

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed faults.yaml
var faults string

// A Fault is where the document describes something else than the wire has.
type Fault struct {
	// Operations are the operationIds that it holds for.
	Operations []string `yaml:"operations"`
	// Reason is required: what the wire has, and where that is known from.
	Reason string `yaml:"reason"`
	// List: the answer is a list of what the document describes.
	List bool `yaml:"list"`
	// Types are what properties truly hold, and Fields are properties that the
	// document lacks, by their place: response.rules.value, request.name. A place
	// leads through lists and maps without a word of its own.
	Types  map[string]string `yaml:"types"`
	Fields map[string]string `yaml:"fields"`

	used map[string]bool
}

// kinds are the types that a fault can name. A property keeps its label: a list
// of integers becomes a list of numbers. The free ones have none.
var kinds = map[string]Kind{
	"string": String, "integer": Int64, "number": Double, "boolean": Bool, "time": Timestamp,
	"object": Struct, "value": Value, "list": ListValue,
}

// addFaults gives each operation the faults that are known of it.
func (all Overrides) addFaults() error {
	var list []*Fault
	d := yaml.NewDecoder(strings.NewReader(faults))
	d.KnownFields(true)
	if err := d.Decode(&list); err != nil {
		return fmt.Errorf("faults.yaml: %w", err)
	}
	for i, f := range list {
		f.used = make(map[string]bool)
		if f.Reason == "" || len(f.Operations) == 0 {
			return fmt.Errorf("faults.yaml: entry %d has no reason, or no operations", i+1)
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("faults.yaml: %s: %w", strings.Join(f.Operations, ", "), err)
		}
		for _, id := range f.Operations {
			o := all[id]
			o.faults = append(o.faults, f)
			all[id] = o
		}
	}
	return nil
}

func (f *Fault) check() error {
	if !f.List && len(f.Types)+len(f.Fields) == 0 {
		return errors.New("it corrects nothing")
	}
	for _, m := range []map[string]string{f.Types, f.Fields} {
		for at, typ := range m {
			direction, rest, _ := strings.Cut(at, ".")
			if rest == "" || direction != "request" && direction != "response" {
				return fmt.Errorf("%s is no place: it begins with \"request.\" or \"response.\"", at)
			}
			if _, ok := kinds[typ]; !ok {
				return fmt.Errorf("%s is of type %q", at, typ)
			}
		}
	}
	return nil
}

// correct applies what is known about one direction of an operation. A fault that
// applies to none of its operations is said: the document has been corrected, or
// the fault is wrong.
func (b *builder) correct(op *Operation, direction string, o *Object) {
	for _, f := range b.overrides[op.Option.Id].faults {
		for _, at := range slices.Sorted(maps.Keys(f.Types)) {
			if rest, ok := strings.CutPrefix(at, direction+"."); ok {
				path := strings.Split(rest, ".")
				if p := inside(o, path); p != nil {
					f.used[at] = true
					p.Type = free(p.Type.Label, kinds[f.Types[at]])
				}
			}
		}
		for _, at := range slices.Sorted(maps.Keys(f.Fields)) {
			rest, ok := strings.CutPrefix(at, direction+".")
			if !ok {
				continue
			}
			path := strings.Split(rest, ".")
			last := len(path) - 1
			parent := o
			if last > 0 {
				p := inside(o, path[:last])
				if p == nil || p.Type.Object == nil {
					continue
				}
				parent = p.Type.Object
			}
			if parent.prop(path[last], 0) == nil {
				f.used[at] = true
				parent.Props = append(parent.Props, &Prop{Name: path[last], Type: free(One, kinds[f.Fields[at]])})
			}
		}
	}
}

// free is a type of a kind, without the label where the kind has none.
func free(l Label, k Kind) Type {
	if k == Value || k == ListValue {
		l = One
	}
	return Type{Label: l, Kind: k}
}

// inside finds the property that a place names.
func inside(o *Object, path []string) *Prop {
	if o == nil {
		return nil
	}
	for _, p := range o.Props {
		switch {
		case p.Name == "[]":
			return inside(p.Type.Object, path)
		case p.Name != path[0]:
		case len(path) == 1:
			return p
		default:
			return inside(p.Type.Object, path[1:])
		}
	}
	return nil
}

// idle says which faults have led to nothing in a document that has their
// operations.
func (b *builder) idle() {
	b.where = ""
	ids := make(map[string]bool)
	for _, o := range b.document.Operations {
		ids[o.ID] = true
	}
	said := make(map[*Fault]bool)
	for _, id := range slices.Sorted(maps.Keys(b.overrides)) {
		for _, f := range b.overrides[id].faults {
			if said[f] || !slices.ContainsFunc(f.Operations, func(id string) bool { return ids[id] }) {
				continue
			}
			said[f] = true
			places := slices.Concat(slices.Sorted(maps.Keys(f.Types)), slices.Sorted(maps.Keys(f.Fields)))
			if f.List {
				places = append(places, "list")
			}
			for _, at := range places {
				if !f.used[at] {
					b.warn("the fault of %s at %s leads to nothing", strings.Join(f.Operations, ", "), at)
				}
			}
		}
	}
}

// listed reports whether an operation answers with a list of what is described.
func (b *builder) listed(op *Operation) bool {
	for _, f := range b.overrides[op.Option.Id].faults {
		if f.List {
			f.used["list"] = true
			return true
		}
	}
	return false
}
