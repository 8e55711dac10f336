package sandbox

import (
	"net/http"
	"net/url"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox/document"
)

// A router finds the operation of a verb and a path: a tree by segment, where a
// literal segment wins over a parameter.
type router struct {
	root   *node
	routes []*route
	byID   map[string]*route
	// actions are the routes that action batches carry, by the word of the action.
	actions map[string][]*route
}

type node struct {
	literal map[string]*node
	param   *node
	route   [4]*route // by verb, GET first
}

// verbs in the order of a node's routes.
const (
	verbGet = iota
	verbPut
	verbPost
	verbDelete
)

// verbNames are the methods of HTTP in the order of the verbs.
var verbNames = [...]string{http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete}

func verbOf(method string) int {
	switch method {
	case "GET", "HEAD":
		return verbGet
	case "PUT":
		return verbPut
	case "POST":
		return verbPost
	case "DELETE":
		return verbDelete
	}
	return -1
}

// A route is one operation of the Dashboard.
type route struct {
	op     *apiv1.Operation
	method *contract.Method
	index  int
	verb   int
	params []string // names in the order of the path
	node   *node
	salt   uint64 // of the operation's id, for choices that differ from one to the next
	form   lazyForm
}

func newRouter(c *contract.Contract) *router {
	r := &router{root: &node{}, byID: make(map[string]*route), actions: make(map[string][]*route)}
	for _, m := range c.Methods() {
		if m.Streaming {
			continue
		}
		verb := -1
		switch m.Operation.GetVerb() {
		case apiv1.Verb_VERB_GET:
			verb = verbGet
		case apiv1.Verb_VERB_PUT:
			verb = verbPut
		case apiv1.Verb_VERB_POST:
			verb = verbPost
		case apiv1.Verb_VERB_DELETE:
			verb = verbDelete
		default:
			continue
		}
		rt := &route{op: m.Operation, method: m, index: len(r.routes), verb: verb, salt: document.Hash(m.Operation.GetId())}
		n := r.root
		for seg := range strings.SplitSeq(strings.Trim(m.Operation.GetPath(), "/"), "/") {
			if strings.HasPrefix(seg, "{") {
				rt.params = append(rt.params, strings.Trim(seg, "{}"))
				if n.param == nil {
					n.param = &node{}
				}
				n = n.param
				continue
			}
			next := n.literal[seg]
			if next == nil {
				if n.literal == nil {
					n.literal = make(map[string]*node)
				}
				next = &node{}
				n.literal[seg] = next
			}
			n = next
		}
		rt.node = n
		n.route[verb] = rt
		r.routes = append(r.routes, rt)
		r.byID[rt.op.GetId()] = rt
		if a := rt.op.GetBatchAction(); a != nil {
			r.actions[a.GetOperation()] = append(r.actions[a.GetOperation()], rt)
		}
	}
	return r
}

// find gives the route of a path below /api/v1, without the slash in front, and
// the values of its parameters; nil when there is no such operation.
func (r *router) find(verb int, path string, values []string) (*route, []string) {
	n, values := r.root.walk(path, values, verb)
	if n == nil {
		return nil, nil
	}
	return n.route[verb], values
}

func (n *node) walk(path string, values []string, verb int) (*node, []string) {
	if path == "" {
		if n.route[verb] == nil {
			return nil, values
		}
		return n, values
	}
	seg, rest, _ := strings.Cut(path, "/")
	if next := n.literal[seg]; next != nil {
		if found, v := next.walk(rest, values, verb); found != nil {
			return found, v
		}
	}
	if n.param == nil || seg == "" {
		return nil, values
	}
	if strings.Contains(seg, "%") {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return nil, values
		}
		seg = plain
	}
	return n.param.walk(rest, append(values, seg), verb)
}
