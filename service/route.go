package service

import (
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
)

// A router finds the operation that a filled path belongs to, so that a raw
// call has the scope, the limits and the name that its typed RPC has.
type router struct{ verbs map[string]*node }

// A node is one path segment; {parameters} match any.
type node struct {
	fixed map[string]*node
	any   *node
	at    *contract.Method
}

func newRouter(c *contract.Contract) *router {
	r := &router{verbs: make(map[string]*node)}
	for _, m := range c.Methods() {
		if !m.Streaming {
			r.add(m)
		}
	}
	return r
}

func (r *router) add(m *contract.Method) {
	verb := verbName(m.Operation.GetVerb())
	n := r.verbs[verb]
	if n == nil {
		n = new(node)
		r.verbs[verb] = n
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(m.Operation.GetPath(), "/"), "/") {
		n = n.child(segment)
	}
	n.at = m
}

func (n *node) child(segment string) *node {
	if strings.HasPrefix(segment, "{") {
		if n.any == nil {
			n.any = new(node)
		}
		return n.any
	}
	if n.fixed == nil {
		n.fixed = make(map[string]*node)
	}
	c := n.fixed[segment]
	if c == nil {
		c = new(node)
		n.fixed[segment] = c
	}
	return c
}

// find gives the operation of a filled path; nil when the document knows none.
func (r *router) find(verb, path string) *contract.Method {
	n := r.verbs[verb]
	if n == nil {
		return nil
	}
	return n.find(strings.Split(strings.TrimPrefix(path, "/"), "/"))
}

func (n *node) find(segments []string) *contract.Method {
	if len(segments) == 0 {
		return n.at
	}
	if c := n.fixed[segments[0]]; c != nil {
		if m := c.find(segments[1:]); m != nil {
			return m
		}
	}
	if n.any != nil && segments[0] != "" {
		return n.any.find(segments[1:])
	}
	return nil
}

// verbName is the HTTP method of a verb.
func verbName(v apiv1.Verb) string { return strings.TrimPrefix(v.String(), "VERB_") }
