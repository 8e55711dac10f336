package lock

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// rpcs are the RPC of an operation and its streaming twins. A twin that the
// document no longer asks for stays, deprecated.
func (s *settler) rpcs(t turn, relations map[string][]string) []*protofile.RPC {
	op := t.wanted
	unary := &protofile.RPC{
		Name: op.RPC, Request: op.RequestName, Response: op.Response.Name,
		Deprecated: op.Deprecated, Operation: op.Option,
	}
	var stream, run protoreflect.MethodDescriptor
	if t.locked != nil {
		stream, run = t.locked.stream, t.locked.run
		if t.locked.unary != nil {
			unary.Name = string(t.locked.unary.Name())
		}
	}
	unary.Comment = append([]string{model.Sentence(op.Option)}, about(op)...)
	out := []*protofile.RPC{unary}
	twin := func(name string, locked protoreflect.MethodDescriptor, comment string) *protofile.RPC {
		r := *unary
		r.Name, r.Streaming = name, true
		if locked != nil {
			r.Name = string(locked.Name())
		}
		r.Comment = protofile.Wrap(1, strings.Fields(comment))
		out = append(out, &r)
		return &r
	}
	// kept is a twin that has lost what made it one, which stays in its own option.
	kept := func(locked protoreflect.MethodDescriptor) {
		r := keepRPC(locked, s.version)
		was := r.Operation
		r.Operation = proto.CloneOf(op.Option)
		r.Operation.Paging, r.Operation.Job = was.GetPaging(), was.GetJob()
		out = append(out, r)
	}
	switch {
	case op.Stream != "":
		r := twin(op.Stream, stream, unary.Name+", one page in each message, until the pages end or the caller stops reading.")
		unary.Comment = append(unary.Comment, r.Name+" streams its pages.")
	case stream != nil:
		kept(stream)
	}
	reads := s.reader(op)
	switch {
	case op.Run != "" && reads != "":
		r := twin(op.Run, run, unary.Name+", and then the state of what it starts, one message for each state that differs from the one before, until the last.")
		r.Response = reads
		unary.Comment = append(unary.Comment, r.Name+" does both.")
	case run != nil:
		kept(run)
	}
	unary.Comment = append(unary.Comment, relations[op.Option.GetId()]...)
	return out
}

// reader is the message with the state of the job that an operation starts; empty
// where no operation of the section reads it.
func (s *settler) reader(op *model.Operation) string {
	for _, o := range s.section.Operations {
		if op.Run != "" && o.Option.GetId() == op.Option.GetJob().GetRead() {
			return o.Response.Name
		}
	}
	if op.Run != "" {
		s.warn("the job has no %s: %s, which reads its state, is in no or another section", op.Run, op.Option.GetJob().GetRead())
	}
	return ""
}

// relate says which RPCs write what another one reads, and which read the state
// of what another one starts.
func relate(turns []turn) map[string][]string {
	out := make(map[string][]string)
	writers := make(map[string][]string)
	for _, t := range turns {
		if t.wanted == nil || t.option.GetVerb() != apiv1.Verb_VERB_PUT && t.option.GetVerb() != apiv1.Verb_VERB_DELETE {
			continue
		}
		at := openapi.Anonymous(t.option.GetPath())
		writers[at] = append(writers[at], t.wanted.RPC)
	}
	for _, t := range turns {
		if t.wanted == nil {
			continue
		}
		if w := writers[openapi.Anonymous(t.option.GetPath())]; t.option.GetVerb() == apiv1.Verb_VERB_GET && len(w) > 0 {
			out[t.option.GetId()] = append(out[t.option.GetId()], "Written by "+strings.Join(w, " and ")+".")
		}
		if j := t.option.GetJob(); j != nil {
			out[j.GetRead()] = append(out[j.GetRead()], t.wanted.RPC+" starts what it reads the state of.")
		}
	}
	return out
}

// rootFields corrects the option's field names: a field that takes the whole of a
// document may have had to give its name to an older one.
func (s *settler) rootFields(op *model.Operation) {
	name := func(message, field string) string {
		n := s.roots[message]
		for _, p := range n.union.Props {
			if field != "" && p.Root && (p.Proto == field || p.Name == field) {
				return n.fields[p]
			}
		}
		return field
	}
	op.Option.RequestField = name(op.RequestName, op.Option.RequestField)
	op.Option.ResponseField = name(op.Response.Name, op.Option.ResponseField)
}

// users says of each response message what it stands for, and which operations
// answer with it and write it.
func (s *settler) users(turns []turn) map[string][]string {
	out, subjects := make(map[string][]string), make(map[string]string)
	answers, rows := make(map[string][]string), make(map[string][]string)
	for _, t := range turns {
		if t.wanted == nil {
			continue
		}
		for i, r := range resources(t.wanted) {
			if r.Name == model.MetaName {
				out[r.Name] = strings.Fields("Counts of the rows of a list: in all, and after the page.")
				continue
			}
			if i > 0 {
				rows[r.Name] = append(rows[r.Name], t.option.GetId())
				continue
			}
			answers[r.Name] = append(answers[r.Name], t.option.GetId())
			if r.Name != t.wanted.RPC+"Response" && subjects[r.Name] == "" {
				subjects[r.Name] = model.Subject(t.option)
			}
		}
	}
	say := func(name, what string, ids []string) {
		if len(ids) > 0 {
			out[name] = append(out[name], strings.Fields(what+" "+strings.Join(ids, ", ")+".")...)
		}
	}
	for name := range answers {
		out[name] = strings.Fields(subjects[name])
		say(name, "Answer of", answers[name])
	}
	for name := range rows {
		say(name, "Row of", rows[name])
	}
	for name, words := range out {
		out[name] = protofile.Wrap(0, words)
	}
	return out
}

// about says what an RPC is: verb, path, where the vendor documents it, limits.
func about(op *model.Operation) []string {
	o := op.Option
	lines := []string{
		fmt.Sprintf("%s %s", o.GetVerb().String()[len("VERB_"):], o.GetPath()),
		model.Address(o.GetId()),
	}
	if p := o.GetPaging(); p != nil && p.GetPerPageMax() > 0 {
		line := fmt.Sprintf("A page has up to %d rows", p.GetPerPageMax())
		if op.PerPageMin > 0 {
			line = fmt.Sprintf("A page has %d to %d rows", op.PerPageMin, p.GetPerPageMax())
		}
		if p.GetPerPageDefault() > 0 {
			line += fmt.Sprintf(", %d when per_page is absent", p.GetPerPageDefault())
		}
		lines = append(lines, line+".")
	}
	if o.GetPaging().GetStyle() == apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD {
		lines = append(lines, "The newest rows come first.")
	}
	if l := o.GetLimit(); l != nil {
		line := fmt.Sprintf("A limit of its own: %d every %d s", l.GetRequests(), l.GetSeconds())
		if l.GetRequests() == 1 {
			line = fmt.Sprintf("A limit of its own: one every %d s", l.GetSeconds())
		}
		lines = append(lines, fmt.Sprintf("%s for each %s, %d at once.", line, l.GetKey(), l.GetBurst()))
	}
	if o.GetBatchAction() != nil {
		lines = append(lines, "An action batch can carry it.")
	}
	if j := o.GetJob(); j != nil {
		lines = append(lines, fmt.Sprintf("It starts a job; %s reads how far that is.", j.GetRead()))
	}
	return lines
}

func (s *settler) warn(format string, args ...any) {
	line := s.where + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(s.warnings, line) { // a message may be settled more than once
		s.warnings = append(s.warnings, line)
	}
}
