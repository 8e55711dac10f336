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
// has keeps them, what is new gets the next free ones, what has gone stays as
// reserved numbers, deprecated RPCs and messages. The warnings say where the
// document and the lock disagree.
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
			files: make(map[string]*protofile.File),
			done:  make(map[string]string), made: make(map[string]*protofile.Message), final: make(map[*model.Prop]string),
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
	lock     *Lock
	section  *model.Section
	old      *section
	version  string
	files    map[string]*protofile.File
	done     map[string]string // message -> the file that has it
	made     map[string]*protofile.Message
	final    map[*model.Prop]string // the proto name that a property got
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
				option = keepRPC(o.stream, s.version).Operation
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
	service := &protofile.Service{
		Name:    protofile.ServiceName(model.Pascal(s.section.Name)),
		Comment: []string{fmt.Sprintf("The Dashboard operations of the section %s.", s.section.Name)},
	}
	if s.old.service != nil {
		service.Name = string(s.old.service.Name())
	}
	turns := s.turns()
	users := s.users()
	for _, t := range turns {
		if t.wanted != nil {
			s.where = t.option.GetId()
			s.messages(t.wanted, users)
			s.fields(t.wanted)
			service.RPCs = append(service.RPCs, s.rpcs(t)...)
			continue
		}
		for _, m := range []protoreflect.MethodDescriptor{t.locked.unary, t.locked.stream} {
			if m == nil {
				continue
			}
			service.RPCs = append(service.RPCs, keepRPC(m, s.version))
			s.keepMessage(m.Input())
			s.keepMessage(m.Output())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.old.messages)) {
		s.keepMessage(s.old.messages[name])
	}
	s.mend(service)
	main := s.file(fmt.Sprintf("%s/%s/v1/%s_service.proto", protofile.Root, s.section.Name, s.section.Name))
	main.Service = service
	for _, r := range service.RPCs {
		main.Imports = append(main.Imports, s.done[r.Request], s.done[r.Response])
	}
	for _, f := range s.files {
		for _, m := range f.Messages {
			f.Imports = append(f.Imports, s.uses(m)...)
		}
	}
	var out []*protofile.File
	for _, p := range slices.Sorted(maps.Keys(s.files)) {
		out = append(out, s.files[p])
	}
	return out
}

func (s *settler) file(p string) *protofile.File {
	f := s.files[p]
	if f == nil {
		f = &protofile.File{Path: p, Section: s.section.Name}
		s.files[p] = f
	}
	return f
}

// uses lists the files of the messages that a message names and does not hold.
func (s *settler) uses(m *protofile.Message) []string {
	var out []string
	for _, f := range m.Fields {
		typ := f.Type[strings.LastIndexByte(f.Type, ' ')+1:]
		nested := slices.ContainsFunc(m.Nested, func(n *protofile.Message) bool { return n.Name == typ })
		if !nested {
			typ, _, _ = strings.Cut(strings.TrimPrefix(typ, "."+protofile.Package(s.section.Name)+"."), ".")
			out = append(out, s.done[strings.TrimSuffix(typ, ">")])
		}
	}
	for _, n := range m.Nested {
		out = append(out, s.uses(n)...)
	}
	return out
}

// place adds a message to the file that has it already, or to the one given.
func (s *settler) place(m *protofile.Message, noun string) {
	p := fmt.Sprintf("%s/%s/v1/%s.proto", protofile.Root, s.section.Name, noun)
	if d := s.old.messages[m.Name]; d != nil {
		p = d.ParentFile().Path()
	}
	f := s.file(p)
	f.Messages = append(f.Messages, m)
	s.done[m.Name] = p
	s.made[m.Name] = m
}

// keepMessage copies a message that no operation of the document uses any more.
func (s *settler) keepMessage(d protoreflect.MessageDescriptor) {
	name := string(d.Name())
	if d.ParentFile().Package() != protoreflect.FullName(protofile.Package(s.section.Name)) || d.Parent() != d.ParentFile() ||
		s.done[name] != "" || s.wanted(name) {
		return
	}
	m := keep(d)
	m.Comment = farewell(m.Comment, s.version)
	s.place(m, path.Base(strings.TrimSuffix(d.ParentFile().Path(), ".proto")))
}

// wanted reports whether an operation of the document uses the message; its own
// turn will settle it.
func (s *settler) wanted(name string) bool {
	return slices.ContainsFunc(s.section.Operations, func(op *model.Operation) bool {
		return op.RequestName == name || slices.ContainsFunc(resources(op), func(r *model.Resource) bool { return r.Name == name })
	})
}

// messages settles the messages of an operation that no earlier one has settled.
func (s *settler) messages(op *model.Operation, users map[string][]string) {
	noun := op.Noun
	for _, r := range resources(op) {
		if d := s.old.messages[r.Name]; d != nil { // new messages join the file of their resource
			noun = path.Base(strings.TrimSuffix(d.ParentFile().Path(), ".proto"))
		}
	}
	if s.done[op.RequestName] == "" {
		in := scope{locate: locator(op.Option)}
		if o := s.lock.operations[op.Option.GetId()]; o != nil && o.option != nil {
			in = scope{locate: locator(o.option), renamed: renamed(o.option.GetPath(), op.Option.GetPath())}
		}
		m := s.message(op.RequestName, op.Request, s.old.messages[op.RequestName], in)
		m.Comment = []string{"Request of " + op.Option.GetId() + "."}
		s.place(m, noun)
	}
	for _, r := range resources(op) {
		if s.done[r.Name] != "" {
			continue
		}
		m := s.message(r.Name, r.Object, s.old.messages[r.Name], scope{})
		m.Comment = protofile.Wrap(0, users[r.Name])
		s.place(m, noun)
	}
}

// fields corrects the option's field names: a field that takes the whole of a
// document may have had to give its name to an older one.
func (s *settler) fields(op *model.Operation) {
	name := func(o *model.Object, field string) string {
		for _, p := range o.Props {
			if field != "" && p.Root && (p.Proto == field || p.Name == field) {
				return s.final[p]
			}
		}
		return field
	}
	op.Option.RequestField = name(op.Request, op.Option.RequestField)
	if op.Response != nil {
		op.Option.ResponseField = name(op.Response.Object, op.Option.ResponseField)
	}
}

// mend takes field names out of the options of RPCs that have gone when the
// fields themselves have gone: the message lives on with other operations.
func (s *settler) mend(service *protofile.Service) {
	has := func(message, field string) bool {
		m := s.made[message]
		return m != nil && slices.ContainsFunc(m.Fields, func(f *protofile.Field) bool { return f.Name == field })
	}
	for _, r := range service.RPCs {
		if !has(r.Response, r.Operation.GetResponseField()) {
			r.Operation.ResponseField = ""
		}
		if !has(r.Request, r.Operation.GetRequestField()) {
			r.Operation.RequestField = ""
		}
	}
}

// resources are the top-level messages of an answer: the message itself and,
// in a collection, the rows where they have a message of their own.
func resources(op *model.Operation) []*model.Resource {
	if op.Response == nil {
		return nil
	}
	out := []*model.Resource{op.Response}
	for _, p := range op.Response.Object.Props {
		if p.Type.Resource != nil {
			out = append(out, p.Type.Resource)
		}
	}
	return out
}

// users says of each response message which operations answer with it.
func (s *settler) users() map[string][]string {
	answers, rows := make(map[string][]string), make(map[string][]string)
	for _, t := range s.turns() {
		if t.wanted == nil {
			continue
		}
		for i, r := range resources(t.wanted) {
			if i == 0 {
				answers[r.Name] = append(answers[r.Name], t.option.GetId())
			} else {
				rows[r.Name] = append(rows[r.Name], t.option.GetId())
			}
		}
	}
	out := make(map[string][]string)
	say := func(name, what string, ids []string) {
		if len(ids) > 0 {
			out[name] = append(out[name], strings.Fields(what+" "+strings.Join(ids, ", ")+".")...)
		}
	}
	for name := range answers {
		say(name, "Answer of", answers[name])
	}
	for name := range rows {
		say(name, "Row of", rows[name])
	}
	return out
}
