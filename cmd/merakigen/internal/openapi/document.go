package openapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Document is the vendor's document, as far as the contract needs it.
type Document struct {
	// Version is the vendor's, for example 1.73.0.
	Version    string
	Operations []*Operation
	// Actions are what an action batch can carry.
	Actions []Action
	// Warnings name what was passed over, one line each.
	Warnings []string
}

// An Operation is one verb on one path.
type Operation struct {
	ID     string
	Method string // upper case
	Path   string
	// Tags place the operation: section, kind, nouns.
	Tags                 []string
	Summary, Description string
	Deprecated           bool
	Parameters           []*Parameter
	// Body is the JSON body of the request; nil when there is none.
	Body *Schema
	// Response is the JSON body of the success; nil when there is none.
	Response *Schema
	// Status is the success code that Response belongs to.
	Status string
}

// A Parameter is one path or query parameter.
type Parameter struct {
	Name        string
	In          string // path or query
	Required    bool
	Deprecated  bool
	Description string
	Schema      *Schema
}

// An Action is one entry of the vendor's list of batchable actions.
type Action struct {
	Resource, Operation, Summary string
}

// Parse reads a document. It fails with one line that says what is wrong.
func Parse(data []byte) (*Document, error) {
	root, err := read(data)
	if err != nil {
		return nil, err
	}
	if root.kind != object {
		return nil, errors.New("not an OpenAPI document: it is not a JSON object")
	}
	if root.get("swagger") != nil {
		return nil, fmt.Errorf("not an OpenAPI 3 document: it is Swagger %s", root.get("swagger").string())
	}
	if v := root.get("openapi").string(); !strings.HasPrefix(v, "3.") {
		return nil, fmt.Errorf("not an OpenAPI 3 document: its openapi field is %q", v)
	}
	paths := root.get("paths")
	if !paths.is(object) || len(paths.keys) == 0 {
		return nil, errors.New("the OpenAPI document has no paths")
	}
	d := &Document{Version: root.get("info").get("version").string()}
	if d.Version == "" {
		return nil, errors.New("the OpenAPI document has no info.version")
	}
	if strings.ContainsAny(d.Version, "\r\n") {
		return nil, fmt.Errorf("info.version is not one line: %q", d.Version)
	}
	r := &resolver{root: root, open: make(map[*node]bool)}
	seen := make(map[string]string)
	for _, path := range slices.Sorted(slices.Values(paths.keys)) {
		if err := d.readPath(r, path, paths.fields[path], seen); err != nil {
			return nil, err
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	if len(d.Operations) == 0 {
		return nil, errors.New("the OpenAPI document has no operations")
	}
	for _, a := range root.get("x-batchable-actions").list() {
		d.Actions = append(d.Actions, Action{
			Resource:  a.get("resource").string(),
			Operation: a.get("operation").string(),
			Summary:   a.get("summary").string(),
		})
	}
	return d, nil
}

// verbs are the HTTP methods in the order in which a path's operations are read.
var verbs = [...]string{"get", "put", "post", "delete", "patch", "head", "options", "trace"}

func (d *Document) readPath(r *resolver, path string, n *node, seen map[string]string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "\r\n\"\\") {
		return fmt.Errorf("%q is not a path", path)
	}
	n = r.follow(n)
	for _, verb := range verbs {
		o := n.get(verb)
		if !o.is(object) {
			continue
		}
		where := strings.ToUpper(verb) + " " + path
		id := o.get("operationId").string()
		if id == "" {
			return fmt.Errorf("%s has no operationId", where)
		}
		if other, twice := seen[id]; twice {
			return fmt.Errorf("operationId %q stands twice: %s and %s", id, other, where)
		}
		seen[id] = where
		op := &Operation{
			ID: id, Method: strings.ToUpper(verb), Path: path,
			Tags:        o.get("tags").strings(),
			Summary:     o.get("summary").string(),
			Description: o.get("description").string(),
			Deprecated:  o.get("deprecated").bool(),
		}
		d.readParameters(r, op, n.get("parameters"), o.get("parameters"))
		if body := r.follow(o.get("requestBody")); body.is(object) {
			if content := jsonContent(r, body); content != nil {
				op.Body = r.schema(content.get("schema"))
			}
		}
		op.readResponse(r, r.follow(o.get("responses")))
		d.Operations = append(d.Operations, op)
	}
	return nil
}

// readParameters takes the operation's own parameters before those of its path.
// A path parameter that only the path itself names is a string.
func (d *Document) readParameters(r *resolver, op *Operation, shared, own *node) {
	known := make(map[string]bool)
	for _, n := range slices.Concat(own.list(), shared.list()) {
		n = r.follow(n)
		name, in := n.get("name").string(), n.get("in").string()
		if name == "" || known[in+" "+name] {
			continue
		}
		known[in+" "+name] = true
		switch {
		case in == "path" && !strings.Contains(op.Path, "{"+name+"}"):
			d.warn("%s: path parameter %q is not in the path", op.ID, name)
			continue
		case in != "path" && in != "query":
			d.warn("%s: %s parameter %q is passed over", op.ID, in, name)
			continue
		}
		op.Parameters = append(op.Parameters, &Parameter{
			Name: name, In: in,
			Required:    in == "path" || n.get("required").bool(),
			Deprecated:  n.get("deprecated").bool(),
			Description: n.get("description").string(),
			Schema:      r.schema(n.get("schema")),
		})
	}
	at := make(map[string]int)
	for i, name := range PathParameters(op.Path) {
		at[name] = i
		if !known["path "+name] {
			known["path "+name] = true
			op.Parameters = append(op.Parameters, &Parameter{
				Name: name, In: "path", Required: true, Schema: &Schema{Types: []string{"string"}},
			})
		}
	}
	slices.SortStableFunc(op.Parameters, func(a, b *Parameter) int {
		if a.In != b.In {
			return cmp.Compare(a.In, b.In) // path before query
		}
		if a.In == "path" {
			return cmp.Compare(at[a.Name], at[b.Name])
		}
		return 0
	})
}

// readResponse takes the first success that has a JSON body, or else the first
// success. A 204 has no body, whatever the document says.
func (op *Operation) readResponse(r *resolver, n *node) {
	if n == nil {
		return
	}
	var codes []string
	for _, code := range n.keys {
		if strings.HasPrefix(code, "2") {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	if len(codes) == 0 && n.get("default") != nil {
		codes = []string{"default"}
	}
	for _, code := range codes {
		content := jsonContent(r, r.follow(n.fields[code]))
		if op.Status == "" {
			op.Status = code
		}
		if content == nil || code == "204" || code == "205" {
			continue
		}
		op.Status = code
		op.Response = r.schema(content.get("schema"))
		return
	}
}

func jsonContent(r *resolver, n *node) *node {
	content := n.get("content")
	if !content.is(object) {
		return nil
	}
	if c := r.follow(content.get("application/json")); c.is(object) {
		return c
	}
	for _, typ := range content.keys {
		if c := r.follow(content.fields[typ]); strings.Contains(typ, "json") && c.is(object) {
			return c
		}
	}
	return nil
}

// Anonymous is a path without the names of its parameters.
func Anonymous(path string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(path, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("{}")
		_, path, _ = strings.Cut(rest, "}")
	}
}

// PathParameters are the names in braces, in order, each once.
func PathParameters(path string) []string {
	var out []string
	for {
		_, rest, ok := strings.Cut(path, "{")
		if !ok {
			return out
		}
		name, tail, ok := strings.Cut(rest, "}")
		if !ok {
			return out
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
		path = tail
	}
}

func (d *Document) warn(format string, args ...any) {
	d.Warnings = append(d.Warnings, fmt.Sprintf(format, args...))
}
