package model

import (
	"fmt"
	"slices"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// A Contract is what the document asks for.
type Contract struct {
	Version  string
	Sections []*Section
	Warnings []string
}

// A Section is one package and its service.
type Section struct {
	// Name in snake case: cellular_gateway.
	Name       string
	Operations []*Operation
}

// An Operation is an RPC to be.
type Operation struct {
	Option *apiv1.Operation
	RPC    string
	// Stream is the name of the twin that streams pages, Run of the one that starts a
	// job and streams its states; empty when there is none.
	Stream     string
	Run        string
	Deprecated bool
	Request    *Object
	// RequestName and Response are message names inside the section's package.
	RequestName string
	Response    *Resource
	// Noun names the file in which new messages of the operation are placed.
	Noun string
	// PerPageMin is the smallest perPage that the documentation allows.
	PerPageMin int32

	source *openapi.Operation
	shape  *response
}

// Locked is what lies on disk already and must not change.
type Locked interface {
	// Section names the package that has the operation; empty for a new one.
	Section(id string) string
	// Operation is its option as it was; nil for a new one.
	Operation(id string) *apiv1.Operation
	// Response names the message that it answers with; empty for a new operation.
	Response(id string) string
	// Row names the message of the rows of its items field; "-" when they are not
	// a top-level message of the package; empty for a new operation.
	Row(id string) string
	// FreeRows reports whether it answers with a list of objects of any form.
	FreeRows(id string) bool
	// FreeAnswer is Struct or Value where one field takes the whole document of its
	// answer as such, and String where none does.
	FreeAnswer(id string) Kind
	// Typed reports whether its answer has fields of properties.
	Typed(id string) bool
	// Described reports whether its request has a body of named fields.
	Described(id string) bool
	// Holds reports whether the package has a message of that name.
	Holds(section, message string) bool
}

type builder struct {
	document  *openapi.Document
	overrides Overrides
	locked    Locked
	warnings  []string
	asking    bool   // a request is being read, not a response
	where     string // the operation that is being read, for warnings
}

// Build makes the contract of a document.
func Build(d *openapi.Document, overrides Overrides, locked Locked) (*Contract, error) {
	b := &builder{document: d, overrides: overrides, locked: locked, warnings: slices.Clone(d.Warnings)}
	carried, err := b.batchActions()
	if err != nil {
		return nil, err
	}
	sections := make(map[string]*Section)
	names := make(map[string]string)
	var all []*Operation
	for _, o := range d.Operations {
		b.where = o.ID
		verb, ok := apiv1.Verb_value["VERB_"+o.Method]
		if !ok {
			b.warn("%s %s is passed over: the contract has no such verb", o.Method, o.Path)
			continue
		}
		if !template(o.Path) {
			b.warn("%s is passed over: it is not a template of a path", o.Path)
			continue
		}
		op := &Operation{RPC: Upper(o.ID), Deprecated: o.Deprecated, source: o}
		if op.RPC == "" {
			return nil, fmt.Errorf("operationId %q cannot name an RPC", o.ID)
		}
		name := b.section(o)
		if other, taken := names[name+"."+op.RPC]; taken {
			return nil, fmt.Errorf("operationIds %q and %q are one RPC", other, o.ID)
		}
		names[name+"."+op.RPC] = o.ID
		op.RequestName = op.RPC + "Request"
		op.Option = &apiv1.Operation{
			Id: o.ID, Verb: apiv1.Verb(verb), Path: o.Path, Scope: scope(o.Path),
			RetryClass: retryClass(apiv1.Verb(verb)), BatchAction: carried[o.ID],
		}
		b.page(op)
		b.override(op)
		op.Request = b.request(op)
		op.shape = b.response(op)
		b.owners(op)
		requiredLists(op)
		b.job(op)
		b.rowKey(op)
		s := sections[name]
		if s == nil {
			s = &Section{Name: name}
			sections[name] = s
		}
		s.Operations = append(s.Operations, op)
		all = append(all, op)
	}
	c := &Contract{Version: d.Version}
	for _, s := range sections {
		c.Sections = append(c.Sections, s)
	}
	slices.SortFunc(c.Sections, func(x, y *Section) int { return strings.Compare(x.Name, y.Name) })
	for _, s := range c.Sections {
		if err := speakable(s.Name); err != nil {
			return nil, err
		}
		b.twins(s, names)
		b.nouns(s)
		b.resources(s)
	}
	b.idle()
	if len(all) == 0 {
		return nil, fmt.Errorf("the OpenAPI document has no operations that the contract can carry")
	}
	c.Warnings = b.warnings
	return c, nil
}

// section is the package of an operation: its first tag, or where the lock has it.
func (b *builder) section(o *openapi.Operation) string {
	if s := b.locked.Section(o.ID); s != "" {
		return s
	}
	name := ""
	if len(o.Tags) > 0 {
		name = o.Tags[0]
	} else {
		name, _, _ = strings.Cut(strings.TrimPrefix(o.Path, "/"), "/")
	}
	s := Snake(name)
	if other := renamedSections[s]; other != "" {
		s = other
	}
	if s == "api" || s == "broker" { // written by hand
		s += "_section"
	}
	return s
}

// template reports whether a path can be filled in: braces that pair, names
// that are there and not repeated.
func template(path string) bool {
	seen := make(map[string]bool)
	for piece := range strings.SplitSeq(openapi.Anonymous(path), "{}") {
		if strings.ContainsAny(piece, "{}?#") {
			return false
		}
	}
	for _, name := range openapi.PathParameters(path) {
		if !plain(name) || strings.ContainsAny(name, "{/") || seen[name] {
			return false
		}
		seen[name] = true
	}
	return len(seen) == strings.Count(path, "{") && len(seen) == strings.Count(path, "}")
}

// scope tells whose budget is spent, by what leads the path. The name in the
// braces does not matter: a call that spends a budget must not pass as free
// because the vendor has renamed a parameter.
func scope(path string) apiv1.Scope {
	steps := strings.SplitN(openapi.Anonymous(path), "/", 4)
	if len(steps) < 3 || steps[2] != "{}" {
		return apiv1.Scope_SCOPE_NONE
	}
	switch steps[1] {
	case "organizations":
		return apiv1.Scope_SCOPE_ORGANIZATION
	case "networks":
		return apiv1.Scope_SCOPE_NETWORK
	case "devices":
		return apiv1.Scope_SCOPE_DEVICE
	}
	return apiv1.Scope_SCOPE_NONE
}

func retryClass(v apiv1.Verb) apiv1.RetryClass {
	switch v {
	case apiv1.Verb_VERB_GET:
		return apiv1.RetryClass_RETRY_CLASS_READ
	case apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_DELETE:
		return apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT
	}
	return apiv1.RetryClass_RETRY_CLASS_UNSAFE
}

// twins names the streaming twins: of each paginated operation, and of each that
// starts a job.
func (b *builder) twins(s *Section, names map[string]string) {
	name := func(op *Operation, prefix, verb, more string) string {
		rest, ok := strings.CutPrefix(op.RPC, verb)
		if !ok || rest == "" {
			rest = op.RPC
		}
		twin := prefix + rest
		for names[s.Name+"."+twin] != "" {
			twin += more
		}
		names[s.Name+"."+twin] = op.Option.Id
		return twin
	}
	for _, op := range s.Operations {
		if op.Option.Paging != nil {
			op.Stream = name(op, "Stream", "Get", "Pages")
		}
		if op.Option.Job != nil {
			op.Run = name(op, "Run", "Create", "Job")
		}
	}
}

// crowded is how many operations one file of messages takes before its noun is
// divided by the next one: some 150 lines each, and a file stays readable.
const crowded = 16

// nouns places each operation: by its third tag (the first is the section, the
// second says configure or monitor), and by the fourth where many share it.
func (b *builder) nouns(s *Section) {
	of := func(op *Operation, i int) string {
		if tags := op.source.Tags; i < len(tags) {
			return Snake(tags[i])
		}
		return ""
	}
	count := make(map[string]int)
	for _, op := range s.Operations {
		count[of(op, 2)]++
	}
	for _, op := range s.Operations {
		op.Noun = of(op, 2)
		if op.Noun == "" {
			op.Noun = s.Name
		} else if next := of(op, 3); count[op.Noun] > crowded && next != "" {
			op.Noun += "_" + next
		}
		if op.Noun == s.Name+"_service" {
			op.Noun += "_messages"
		}
	}
}

func (b *builder) warn(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if b.where != "" {
		line = b.where + ": " + line
	}
	b.warnings = append(b.warnings, line)
}

func (b *builder) clash(name string, x, y Type) {
	b.warn("property %q is described as %s and as %s; the locked type stays, or else the first", name, x, y)
}

// String names a type in a warning.
func (t Type) String() string {
	kind := [...]string{
		"string", "integer", "number", "boolean", "time", "free-form object", "free-form value", "free-form list",
		"name of a field", "page info", "object",
	}[t.Kind]
	switch t.Label {
	case Many:
		return "list of " + kind
	case Map:
		return "map of " + kind
	}
	return kind
}
