package lock

import (
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/protofile"
)

// A node is one message to be. A request and the answers of a resource share the
// messages inside it, so a message is settled by all the objects of the document
// that stand in its place: those that the lock has put there, and those that the
// document describes as one.
type node struct {
	// name is empty until it is chosen, in a new nested message.
	name    string
	parent  *node
	old     protoreflect.MessageDescriptor
	objects []*model.Object
	in      scope
	comment []string
	noun    string
	queued  bool
	where   string

	union  *model.Object
	places []*place
	retire map[protoreflect.FieldNumber]*place
	// children are the new nested messages, in order.
	children []*node
	taken    *names
	// fields are the proto names that properties got.
	fields map[*model.Prop]string
}

// settleAll makes the nodes of all wanted messages and matches their properties
// with the locked fields. Resources come before requests, on each level, so that
// what they share stands in the resource.
func (s *settler) settleAll(turns []turn) {
	users := s.users(turns)
	for _, t := range turns {
		if t.wanted == nil {
			continue
		}
		for _, r := range resources(t.wanted) {
			n := s.root(r.Name, t.wanted, r.Object)
			n.comment = users[r.Name]
		}
	}
	for _, t := range turns {
		if t.wanted == nil {
			continue
		}
		n := s.root(t.wanted.RequestName, t.wanted, t.wanted.Request)
		n.comment = []string{"Request of " + t.option.GetId() + "."}
		n.in = scope{locate: locator(t.option), now: t.option}
		if t.locked != nil && t.locked.option != nil {
			n.in.was = t.locked.option
			n.in.locate, n.in.renamed = locator(n.in.was), renamed(n.in.was.GetPath(), t.option.GetPath())
		}
	}
	for len(s.queue) > 0 {
		n := s.queue[0]
		s.queue = s.queue[1:]
		n.queued = false
		s.settle(n)
	}
	// Once more in order: the last match of each message is the one that counts,
	// and its warnings are said once.
	s.order = s.ordered(turns)
}

// root is the node of a top-level message.
func (s *settler) root(name string, op *model.Operation, o *model.Object) *node {
	n := s.roots[name]
	if n == nil {
		n = &node{name: name, old: s.old.messages[name], noun: op.Noun, where: op.Option.GetId()}
		for _, r := range resources(op) {
			switch d := s.old.messages[r.Name]; {
			case name == model.MetaName:
				n.noun = r.Noun
			case r.Name != model.MetaName && d != nil: // new messages join the file of their resource
				n.noun = path.Base(strings.TrimSuffix(d.ParentFile().Path(), ".proto"))
			}
		}
		s.roots[name] = n
		if n.old != nil {
			s.nodes[n.old.FullName()] = n
		}
	}
	s.attach(n, o)
	return n
}

// attach adds objects to a message. What has changed is settled anew.
func (s *settler) attach(n *node, objects ...*model.Object) {
	for _, o := range objects {
		if o == nil || slices.Contains(n.objects, o) {
			continue
		}
		n.objects = append(n.objects, o)
		if s.homes[o] == nil {
			s.homes[o] = n
		}
		if !n.queued {
			n.queued = true
			s.queue = append(s.queue, n)
		}
	}
}

// settle matches the properties of one message and gives their objects homes.
func (s *settler) settle(n *node) {
	s.where = n.where
	n.union = model.Union(n.objects)
	n.places, n.retire = s.match(n.union, n.old, n.in)
	n.children = nil
	for _, p := range n.places {
		switch d := p.local(); {
		case d != nil:
			p.node = s.nodeOf(d)
			if !p.keep {
				s.attach(p.node, p.objects()...)
			}
		case p.field != nil || p.typ.Kind != model.Message:
		case p.typ.Resource != nil:
			p.node = s.roots[p.typ.Resource.Name]
		default:
			objects := p.objects()
			for _, o := range objects {
				if p.node == nil {
					p.node = s.homes[o]
				}
			}
			if p.node == nil {
				p.node = &node{parent: n, where: n.where}
			}
			s.attach(p.node, objects...)
			if p.node.parent == n && p.node.old == nil && !slices.Contains(n.children, p.node) {
				n.children = append(n.children, p.node)
			}
		}
	}
}

// nodeOf is the node of a message that the lock has.
func (s *settler) nodeOf(d protoreflect.MessageDescriptor) *node {
	n := s.nodes[d.FullName()]
	if n == nil {
		n = &node{name: string(d.Name()), old: d, where: s.where}
		if outer, ok := d.Parent().(protoreflect.MessageDescriptor); ok {
			n.parent = s.nodeOf(outer)
		} else {
			s.roots[n.name] = n
		}
		s.nodes[d.FullName()] = n
	}
	return n
}

// ordered lists the top-level messages in the order in which they are printed:
// by operation, the request first.
func (s *settler) ordered(turns []turn) []*node {
	var out []*node
	seen := make(map[*node]bool)
	add := func(n *node) {
		if n != nil && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	for _, t := range turns {
		if t.wanted == nil {
			continue
		}
		add(s.roots[t.wanted.RequestName])
		for _, r := range resources(t.wanted) {
			add(s.roots[r.Name])
		}
	}
	for _, name := range sortedNames(s.roots) {
		add(s.roots[name])
	}
	return out
}

// local is the message of ours that the locked field holds; nil when it holds
// anything else.
func (p *place) local() protoreflect.MessageDescriptor {
	if p.field == nil {
		return nil
	}
	d := p.field
	m := d.Message()
	if d.IsMap() {
		m = d.MapValue().Message()
	}
	if m == nil || m.ParentFile().Package() != d.ParentFile().Package() || messageKind(m) != model.Message {
		return nil
	}
	return m
}

// objects are those of the document that stand in a place.
func (p *place) objects() []*model.Object {
	var out []*model.Object
	if model.Same(p.typ, p.prop.Type) {
		out = append([]*model.Object{p.prop.Type.Object}, p.prop.Also...)
	}
	for _, t := range p.prop.Others {
		if model.Same(p.typ, t) {
			out = append(out, t.Object)
		}
	}
	return slices.DeleteFunc(out, func(o *model.Object) bool { return o == nil })
}

// path is the full name of a node inside the package.
func (n *node) path() string {
	if n.parent == nil {
		return n.name
	}
	return n.parent.path() + "." + n.name
}

func (n *node) top() *node {
	for n.parent != nil {
		n = n.parent
	}
	return n
}

// reference names one message in another: by the shortest name, unless something
// nearer has the name of the message where it begins.
func (s *settler) reference(from, to *node) string {
	if to.parent == from {
		return to.name
	}
	first := to.top().name
	for n := from; n != nil; n = n.parent {
		if n.parent != nil && n.name == first || n.nests(first) {
			return "." + protofile.Package(s.section.Name) + "." + to.path()
		}
	}
	return to.path()
}

// nests reports whether a message has a nested one of that name.
func (n *node) nests(name string) bool {
	return n.old != nil && n.old.Messages().ByName(protoreflect.Name(name)) != nil ||
		slices.ContainsFunc(n.children, func(c *node) bool { return c.name == name })
}
