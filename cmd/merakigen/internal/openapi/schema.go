package openapi

import (
	"errors"
	"slices"
)

// most is how many schemas a document may hold once its references are
// resolved; the vendor's holds about 32 000.
const most = 500_000

// A Schema says what one JSON value looks like. The zero Schema says nothing.
type Schema struct {
	// Types are the JSON types that the value may have, null apart; empty when
	// the document does not say.
	Types      []string
	Format     string
	Properties []*Property
	Items      *Schema
	// Additional is the schema of properties beyond the named ones; nil when
	// none are documented or when they may be anything.
	Additional *Schema
	// Variants are the alternatives of oneOf and anyOf.
	Variants []*Schema
	// Enum holds the known values, printed as JSON.
	Enum []string
	// Minimum, Maximum, MaxItems and Default are printed as JSON, empty when
	// not documented.
	Minimum, Maximum, MaxItems, Default string
	// Stage is the release stage, when the document names one.
	Stage       string
	Description string
	Deprecated  bool
}

// A Property is one named member of an object.
type Property struct {
	Name     string
	Required bool
	Schema   *Schema
}

// Property finds a property by name; nil when there is none.
func (s *Schema) Property(name string) *Property {
	if s == nil {
		return nil
	}
	for _, p := range s.Properties {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Type is the one JSON type of the value; empty when there is none or several. A
// schema with properties is an object and one with items an array, also where the
// type is missing.
func (s *Schema) Type() string {
	switch {
	case s == nil:
		return ""
	case len(s.Types) == 1:
		return s.Types[0]
	case len(s.Types) == 2 && slices.Contains(s.Types, "integer") && slices.Contains(s.Types, "number"):
		return "number"
	case len(s.Types) > 1:
		return ""
	case len(s.Properties) > 0 || s.Additional != nil:
		return "object"
	case s.Items != nil:
		return "array"
	}
	return ""
}

// A resolver turns nodes into schemas.
type resolver struct {
	root  *node
	count int
	open  map[*node]bool // what is being resolved now: a reference back to it is a cycle
	err   error
}

// follow resolves a reference of any kind; what cannot be found is nil.
func (r *resolver) follow(n *node) *node {
	for range 32 {
		ref := n.get("$ref")
		if !ref.is(text) {
			return n
		}
		n = r.root.at(ref.text)
	}
	return nil
}

// schema reads a schema. A cycle ends in a schema that says nothing: a value of
// free form.
func (r *resolver) schema(n *node) *Schema {
	n = r.follow(n)
	if !n.is(object) || r.open[n] || r.err != nil {
		return new(Schema)
	}
	if r.count++; r.count > most {
		r.err = errors.New("more schemas than any real document has, once references are resolved")
		return new(Schema)
	}
	r.open[n] = true
	defer delete(r.open, n)

	s := &Schema{
		Format:      n.get("format").string(),
		Minimum:     limit(n, "minimum"),
		Maximum:     limit(n, "maximum"),
		MaxItems:    limit(n, "maxItems"),
		Default:     n.get("default").literal(),
		Stage:       n.get("x-release-stage").string(),
		Description: n.get("description").string(),
		Deprecated:  n.get("deprecated").bool(),
	}
	s.Types = types(n.get("type"))
	r.properties(s, n)
	if items := n.get("items"); items != nil {
		s.Items = r.schema(items)
	}
	if more := n.get("additionalProperties"); more.is(object) && len(more.keys) > 0 {
		s.Additional = r.schema(more)
	}
	for _, v := range n.get("enum").list() {
		if text := v.literal(); text != "" {
			s.Enum = append(s.Enum, text)
		}
	}
	for _, part := range n.get("allOf").list() {
		s.add(r.schema(part))
	}
	for _, key := range []string{"oneOf", "anyOf"} {
		for _, v := range n.get(key).list() {
			v = r.follow(v)
			if t := v.get("type"); t.is(text) && t.text == "null" {
				continue
			}
			s.Variants = append(s.Variants, r.schema(v))
		}
	}
	if len(s.Variants) == 1 {
		s.add(s.Variants[0])
		s.Variants = nil
	}
	return s
}

func (r *resolver) properties(s *Schema, n *node) {
	props := n.get("properties")
	required := n.get("required").strings()
	if !props.is(object) {
		return
	}
	for _, name := range props.keys {
		s.Properties = append(s.Properties, &Property{
			Name:     name,
			Required: slices.Contains(required, name),
			Schema:   r.schema(props.fields[name]),
		})
	}
}

// add is allOf: what the part says beyond what is known already.
func (s *Schema) add(part *Schema) {
	if len(s.Types) == 0 {
		s.Types = part.Types
	}
	for to, from := range map[*string]string{
		&s.Format: part.Format, &s.Minimum: part.Minimum, &s.Maximum: part.Maximum,
		&s.MaxItems: part.MaxItems, &s.Default: part.Default, &s.Description: part.Description,
	} {
		if *to == "" {
			*to = from
		}
	}
	for _, p := range part.Properties {
		if s.Property(p.Name) == nil {
			s.Properties = append(s.Properties, p)
		}
	}
	if s.Items == nil {
		s.Items = part.Items
	}
	if s.Additional == nil {
		s.Additional = part.Additional
	}
	if len(s.Enum) == 0 {
		s.Enum = part.Enum
	}
	if len(s.Variants) == 0 {
		s.Variants = part.Variants
	}
	s.Deprecated = s.Deprecated || part.Deprecated
}

// types reads "type": a word, or a list of words in OpenAPI 3.1.
func types(n *node) []string {
	all := n.strings()
	if n.is(text) {
		all = []string{n.text}
	}
	var out []string
	for _, t := range all {
		switch t {
		case "string", "integer", "number", "boolean", "object", "array":
			if !slices.Contains(out, t) {
				out = append(out, t)
			}
		}
	}
	return out
}

func limit(n *node, key string) string {
	if v := n.get(key); v.is(number) {
		return v.text
	}
	return ""
}

func (n *node) list() []*node {
	if n == nil {
		return nil
	}
	return n.items
}
