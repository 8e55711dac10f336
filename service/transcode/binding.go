package transcode

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

func sortByNumber(all []protoreflect.FieldDescriptor) {
	slices.SortFunc(all, func(a, b protoreflect.FieldDescriptor) int { return cmp.Compare(a.Number(), b.Number()) })
}

// request describes the flat request message: which field is a parameter of
// the path, which one goes into the query, which one into the body.
func (b *build) request(p *Plan, d protoreflect.MessageDescriptor, op *apiv1.Operation) error {
	// Not from the cache: a request belongs to one operation (and its twin), and
	// names may repeat across path and body.
	m := new(message)
	if err := b.fill(m, d); err != nil {
		return err
	}
	p.request = m
	p.bindings = make([]binding, len(m.fields))
	if err := p.cut(op.GetPath()); err != nil {
		return err
	}
	names := p.names
	inside := make(map[string]bool)
	for i := range m.fields {
		f := &m.fields[i]
		fd := d.Fields().ByNumber(protoreflect.FieldNumber(f.number))
		if isMask(fd) {
			f.key = hiddenKey
			if p.body = true; f.name == "null_fields" {
				p.nulls = i
			} else {
				p.empties = i
			}
			continue
		}
		if isAdditional(fd) {
			p.extends = op.GetVerb() == apiv1.Verb_VERB_PUT || op.GetVerb() == apiv1.Verb_VERB_POST
			p.body = p.body || p.extends
			continue
		}
		loc, name := bindingOf(fd)
		where, err := locate(loc, name, names, op.GetVerb())
		if err != nil {
			return fmt.Errorf("%s: %w", fd.FullName(), err)
		}
		switch where {
		case inPath:
			if err := p.bindPath(i, name, names); err != nil {
				return fmt.Errorf("%s: %w", fd.FullName(), err)
			}
		case inQuery:
			if err := queryable(f, 0); err != nil {
				return fmt.Errorf("%s: %w", fd.FullName(), err)
			}
			p.bindings[i].key = queryKey(name)
			if f.shape == list {
				p.bindings[i].key += listKey
			}
		case inBody:
			p.body = true
			if inside[name] {
				return fmt.Errorf("%s: two fields of the body are named %q", fd.FullName(), name)
			}
			inside[name] = true
			if f.name == op.GetRequestField() {
				p.whole = i
			}
			if op.GetVerb() == apiv1.Verb_VERB_PUT && f.shape == list && endsIn(op.GetPath(), name) {
				p.list = f.name
			}
		}
		p.bindings[i].location = where
	}
	for i, name := range names {
		if p.template[i].field < 0 {
			return fmt.Errorf("%s has no field for {%s} of the path", d.FullName(), name)
		}
	}
	if p.whole < 0 && len(inside) == 1 && inside[wholeKey] {
		// The vendor's own name for a body that is no object.
		p.whole = slices.IndexFunc(m.fields, func(f field) bool { return f.json() == wholeKey })
	}
	if op.GetRequestField() != "" && (p.whole < 0 || len(inside) != 1) {
		return fmt.Errorf("%s: %q has to be the only field of the body", d.FullName(), op.GetRequestField())
	}
	m.index(func(i int) bool { return p.bindings[i].location == inBody })
	m.retire(d)
	p.bindRetired(d)
	for _, path := range op.GetRequiredLists() {
		if err := p.require(path); err != nil {
			return fmt.Errorf("%s: %w", d.FullName(), err)
		}
	}
	return nil
}

// bindRetired gives retired fields the places of their properties.
func (p *Plan) bindRetired(d protoreflect.MessageDescriptor) {
	for i := range p.request.fields {
		f, bound := &p.request.fields[i], &p.bindings[i]
		switch old := f.retired; {
		case old != nil && p.bindings[old.heir].location == inPath: // which is there, or the request is refused
		case old != nil:
			bound.location = p.bindings[old.heir].location
			bound.key = queryKey(old.as.json())
			if old.as.shape == list {
				bound.key += listKey
			}
		case isRetired(d.Fields().ByNumber(protoreflect.FieldNumber(f.number))):
			bound.location = unsent
		}
	}
}

// endsIn tells whether a path is called after a list: l3FirewallRules after rules.
func endsIn(path, list string) bool {
	return strings.HasSuffix(strings.ToLower(path), strings.ToLower(list))
}

// locate says where a field goes: what its option says; else a name in braces
// of the path goes there; else the verb decides.
func locate(loc apiv1.Location, name string, params []string, verb apiv1.Verb) (location, error) {
	switch loc {
	case apiv1.Location_LOCATION_PATH:
		return inPath, nil
	case apiv1.Location_LOCATION_QUERY:
		return inQuery, nil
	case apiv1.Location_LOCATION_BODY:
		return inBody, nil
	case apiv1.Location_LOCATION_NONE:
		return nowhere, nil
	}
	if slices.Contains(params, name) {
		return inPath, nil
	}
	switch verb {
	case apiv1.Verb_VERB_GET, apiv1.Verb_VERB_DELETE:
		return inQuery, nil
	case apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_POST:
		return inBody, nil
	}
	return nowhere, fmt.Errorf("verb %v is not part of the contract", verb)
}

// cut splits a template such as /networks/{networkId}/vlans/{vlanId} at the
// names in braces.
func (p *Plan) cut(template string) error {
	if !strings.HasPrefix(template, "/") {
		return fmt.Errorf("the path %q does not begin with a slash", template)
	}
	rest := template
	for {
		before, after, found := strings.Cut(rest, "{")
		p.template = append(p.template, piece{text: before, field: -1})
		if !found {
			return nil
		}
		name, end, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.ContainsAny(name, "{/") || slices.Contains(p.names, name) {
			return fmt.Errorf("the path %q is not a template", template)
		}
		p.names = append(p.names, name)
		rest = end
	}
}

func (p *Plan) bindPath(i int, name string, names []string) error {
	at := slices.Index(names, name)
	if at < 0 {
		return fmt.Errorf("the path has no {%s}", name)
	}
	if f := &p.request.fields[i]; f.shape != single || f.kind > kindInt {
		return fmt.Errorf("a parameter of the path is a string, an integer or a boolean")
	}
	if p.template[at].field >= 0 {
		return fmt.Errorf("{%s} has two fields", name)
	}
	p.template[at].field = i
	p.bindings[i].param = at
	return nil
}

// isMask tells null_fields and empty_fields.
func isMask(fd protoreflect.FieldDescriptor) bool {
	if fd.Name() != "null_fields" && fd.Name() != "empty_fields" {
		return false
	}
	location, _ := bindingOf(fd)
	return location == apiv1.Location_LOCATION_NONE && fd.Kind() == protoreflect.StringKind && fd.IsList()
}

// queryable checks that a field can be written as a query: scalars, lists of
// scalars, and objects of those.
func queryable(f *field, depth int) error {
	switch {
	case f.key == hiddenKey:
		return nil
	case f.shape == dict:
		return fmt.Errorf("a query has no form for maps")
	}
	switch f.kind {
	case kindStruct, kindValue, kindList, kindBare:
		return fmt.Errorf("a query has no form for free values or lists of lists")
	case kindMessage:
		if depth > 3 {
			return fmt.Errorf("a query has no form for objects this deep")
		}
		for i := range f.message.fields {
			if err := queryable(&f.message.fields[i], depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
