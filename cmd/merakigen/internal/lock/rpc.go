package lock

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// rpcs are the RPC of an operation and its streaming twin. A twin that the
// document no longer asks for stays, deprecated.
func (s *settler) rpcs(t turn) []*protofile.RPC {
	op := t.wanted
	unary := &protofile.RPC{
		Name: op.RPC, Request: op.RequestName, Response: "google.protobuf.Empty",
		Deprecated: op.Deprecated, Operation: op.Option, Comment: about(op),
	}
	if t.locked != nil && t.locked.unary != nil {
		unary.Name = string(t.locked.unary.Name())
	}
	if op.Response != nil {
		unary.Response = op.Response.Name
	}
	out := []*protofile.RPC{unary}
	switch {
	case op.Stream != "":
		twin := *unary
		twin.Name, twin.Streaming = op.Stream, true
		if t.locked != nil && t.locked.stream != nil {
			twin.Name = string(t.locked.stream.Name())
		}
		twin.Comment = protofile.Wrap(1, strings.Fields(unary.Name+
			", one page in each message, until the pages end or the caller stops reading."))
		out = append(out, &twin)
	case t.locked != nil && t.locked.stream != nil:
		twin := keepRPC(t.locked.stream, s.version)
		paging := twin.Operation.GetPaging()
		twin.Operation = proto.CloneOf(op.Option)
		twin.Operation.Paging = paging
		out = append(out, twin)
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
	s.warnings = append(s.warnings, s.where+": "+fmt.Sprintf(format, args...))
}
