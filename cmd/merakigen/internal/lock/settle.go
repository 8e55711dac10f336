package lock

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// Settle gives everything in the contract its name and number: what the lock
// has keeps them, what is new gets the next free ones, what has gone stays and
// is deprecated. The warnings say where the document and the lock disagree.
func Settle(c *model.Contract, l *Lock) ([]*protofile.File, []string) {
	names := make(map[string]*model.Section)
	for _, s := range c.Sections {
		names[s.Name] = s
	}
	for name := range l.sections {
		if names[name] == nil {
			names[name] = &model.Section{Name: name}
		}
	}
	var files []*protofile.File
	var warnings []string
	for _, name := range slices.Sorted(maps.Keys(names)) {
		s := &settler{
			lock: l, section: names[name], old: l.sections[name], version: c.Version,
			files: make(map[string]*protofile.File), homes: make(map[*model.Object]*node),
			nodes: make(map[protoreflect.FullName]*node), roots: make(map[string]*node),
		}
		if s.old == nil {
			s.old = new(section)
		}
		files = append(files, s.run()...)
		warnings = append(warnings, s.warnings...)
	}
	return files, warnings
}

// A settler works on one section.
type settler struct {
	lock    *Lock
	section *model.Section
	old     *section
	version string
	files   map[string]*protofile.File
	// roots are the top-level messages by name, in order, and nodes all messages
	// that the lock has.
	roots map[string]*node
	order []*node
	nodes map[protoreflect.FullName]*node
	// homes are the messages that stand for the objects of the document, and
	// queue those that have to be settled.
	homes    map[*model.Object]*node
	queue    []*node
	warnings []string
	where    string
}

// A turn is one operation, of the document or only of the lock, in the order in
// which RPCs and messages are printed.
type turn struct {
	option *apiv1.Operation
	wanted *model.Operation
	locked *operation
}

func (s *settler) turns() []turn {
	var out []turn
	known := make(map[string]bool)
	for _, op := range s.section.Operations {
		known[op.Option.GetId()] = true
		out = append(out, turn{op.Option, op, s.lock.operations[op.Option.GetId()]})
	}
	for id, o := range s.lock.operations {
		if o.section == s.section.Name && !known[id] {
			option := o.option
			if option == nil {
				option = keepRPC(cmp.Or(o.stream, o.run), s.version).Operation
			}
			out = append(out, turn{option, nil, o})
		}
	}
	order := []apiv1.Verb{apiv1.Verb_VERB_GET, apiv1.Verb_VERB_POST, apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_DELETE}
	slices.SortFunc(out, func(a, b turn) int {
		return cmp.Or(strings.Compare(a.option.GetPath(), b.option.GetPath()),
			cmp.Compare(slices.Index(order, a.option.GetVerb()), slices.Index(order, b.option.GetVerb())),
			strings.Compare(a.option.GetId(), b.option.GetId()))
	})
	return out
}

func (s *settler) run() []*protofile.File {
	turns := s.turns()
	s.settleAll(turns)
	for _, n := range s.order {
		s.name(n, nil)
	}
	for _, n := range s.order {
		if len(n.objects) > 0 {
			s.place(s.build(n), n.noun)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.old.messages)) {
		s.keepMessage(s.old.messages[name])
	}
	main := s.file(fmt.Sprintf("%s/%s/v1/%s_service.proto", protofile.Root, s.section.Name, s.section.Name))
	main.Service = s.service(turns)
	s.imports()
	var out []*protofile.File
	for _, p := range slices.Sorted(maps.Keys(s.files)) {
		out = append(out, s.files[p])
	}
	return out
}

// service has an RPC for each operation that is or was.
func (s *settler) service(turns []turn) *protofile.Service {
	service := &protofile.Service{
		Name:    protofile.ServiceName(model.Pascal(s.section.Name)),
		Comment: []string{fmt.Sprintf("The Dashboard operations of the section %s.", s.section.Name)},
	}
	if s.old.service != nil {
		service.Name = string(s.old.service.Name())
	}
	relations := relate(turns)
	for _, t := range turns {
		if t.wanted != nil {
			s.where = t.option.GetId()
			s.rootFields(t.wanted)
			s.required(t.wanted)
			service.RPCs = append(service.RPCs, s.rpcs(t, relations)...)
			continue
		}
		for _, m := range []protoreflect.MethodDescriptor{t.locked.unary, t.locked.stream, t.locked.run} {
			if m != nil {
				service.RPCs = append(service.RPCs, keepRPC(m, s.version))
			}
		}
	}
	return service
}

func (s *settler) file(p string) *protofile.File {
	f := s.files[p]
	if f == nil {
		f = &protofile.File{Path: p, Section: s.section.Name}
		s.files[p] = f
	}
	return f
}

// place adds a message to the file that has it already, or to the one given.
func (s *settler) place(m *protofile.Message, noun string) {
	p := fmt.Sprintf("%s/%s/v1/%s.proto", protofile.Root, s.section.Name, noun)
	if d := s.old.messages[m.Name]; d != nil {
		p = d.ParentFile().Path()
	}
	f := s.file(p)
	f.Messages = append(f.Messages, m)
}

// imports gives each file those of the messages that it names.
func (s *settler) imports() {
	homes := make(map[string]string)
	for p, f := range s.files {
		for _, m := range f.Messages {
			homes[m.Name] = p
		}
	}
	prefix := "." + protofile.Package(s.section.Name) + "."
	var uses func(f *protofile.File, m *protofile.Message)
	uses = func(f *protofile.File, m *protofile.Message) {
		for _, field := range m.Fields {
			typ := field.Type[strings.LastIndexByte(field.Type, ' ')+1:]
			typ, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSuffix(typ, ">"), prefix), ".")
			if !slices.ContainsFunc(m.Nested, func(n *protofile.Message) bool { return n.Name == typ }) {
				f.Imports = append(f.Imports, homes[typ])
			}
		}
		for _, n := range m.Nested {
			uses(f, n)
		}
	}
	for _, f := range s.files {
		for _, m := range f.Messages {
			uses(f, m)
		}
		if f.Service != nil {
			for _, r := range f.Service.RPCs {
				f.Imports = append(f.Imports, homes[r.Request], homes[r.Response])
			}
		}
	}
}

// keepMessage copies a message that no operation of the document uses any more.
func (s *settler) keepMessage(d protoreflect.MessageDescriptor) {
	if n := s.roots[string(d.Name())]; n != nil && len(n.objects) > 0 {
		return
	}
	m := s.keep(d)
	m.Comment = farewell(m.Comment, s.version)
	s.place(m, path.Base(strings.TrimSuffix(d.ParentFile().Path(), ".proto")))
}

// resources are the top-level messages of an answer: the message itself and,
// in a collection, the rows where they have a message of their own.
func resources(op *model.Operation) []*model.Resource {
	out := []*model.Resource{op.Response}
	for _, p := range op.Response.Object.Props {
		if p.Type.Resource != nil {
			out = append(out, p.Type.Resource)
		}
	}
	return out
}
