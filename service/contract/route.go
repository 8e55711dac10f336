package contract

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract/canonical"
)

// A Route is which operation a method and a path are.
type Route struct {
	// Path is the canonical form: it is what has been routed, and what has to be
	// checked, charged, looked up among answers at hand, and sent.
	Path string
	// Method is the RPC of the operation; nil when the contract does not know the
	// operation.
	Method *Method
	// Operation is the contract's, or what the path itself tells.
	Operation *apiv1.Operation
	// Owner is the id of the organization or network, or the serial of the device,
	// that the path names, by the operation's scope; empty when it names none.
	Owner string
	// Unowned marks an operation that the contract does not know, on a path that does
	// not name its owner. Nobody can say that it belongs to no organization.
	Unowned bool
}

// UnknownOperation is the id of an operation that the contract does not know.
const UnknownOperation = "call"

// scopes are the first segments of paths whose second segment is the owner.
var scopes = map[string]apiv1.Scope{
	"organizations": apiv1.Scope_SCOPE_ORGANIZATION,
	"networks":      apiv1.Scope_SCOPE_NETWORK,
	"devices":       apiv1.Scope_SCOPE_DEVICE,
}

// Route finds the operation of an HTTP method and a path below the API's root, so
// that a call by path has the scope, the limits and the name that its typed RPC has.
// The error says, for a caller to read, why the path cannot be sent.
func (c *Contract) Route(method, path string) (Route, error) {
	verb := apiv1.Verb(apiv1.Verb_value["VERB_"+method])
	if verb == apiv1.Verb_VERB_UNSPECIFIED {
		return Route{}, errors.New("its method is not one of GET, PUT, POST and DELETE")
	}
	path, err := canonical.Path(path)
	if err != nil {
		return Route{}, err
	}
	first, _, _ := strings.Cut(path[1:], "/")
	if first == "api" {
		return Route{}, errors.New("leave /api/v1 out")
	}
	if err := c.spelled(first); err != nil {
		return Route{}, err
	}
	r := Route{Path: path}
	scope, id, err := Owner(path)
	if err != nil {
		return Route{}, err
	}
	r.Owner = id
	if r.Method = c.Find(verb, path); r.Method != nil {
		r.Operation = r.Method.Operation
		return r, nil
	}
	if network, ok := NetworkBelow(path); ok {
		if r.Method = c.Find(verb, "/networks/"+network); r.Method != nil {
			r.Operation = proto.CloneOf(r.Method.Operation)
			r.Operation.Scope = scope
			return r, OwnerID(apiv1.Scope_SCOPE_NETWORK, network)
		}
	}
	r.Unowned = r.Owner == ""
	r.Operation = &apiv1.Operation{Id: UnknownOperation, Verb: verb, Path: path, Scope: scope, RetryClass: retryClass(verb)}
	return r, nil
}

// NetworkBelow gives the network of a path that is not documented, and used all the
// same: Terraform reads, changes and deletes networks below their organization.
func NetworkBelow(path string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/organizations/")
	if !ok {
		return "", false
	}
	_, id, ok = strings.Cut(rest, "/networks/")
	return id, ok && !strings.Contains(id, "/") && strings.Count(rest, "/") == 2
}

// Owner gives what the first two segments of a canonical path name: an organization,
// a network or a device. The scope is none, and the id empty, where they name nothing
// that has an owner.
func Owner(path string) (scope apiv1.Scope, id string, err error) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	scope, owned := scopes[first]
	if !owned || rest == "" {
		return apiv1.Scope_SCOPE_NONE, "", nil
	}
	id, _, _ = strings.Cut(rest, "/")
	return scope, id, OwnerID(scope, id)
}

// Batched finds the operation that an action of a batch performs, by the action's
// resource, as a canonical path, and its operation (create, update, destroy, or a
// word of the operation's own); nil when the contract knows none.
func (c *Contract) Batched(resource, operation string) *Method {
	var found *Method
	for _, m := range c.methods {
		a := m.Operation.GetBatchAction()
		if a == nil || m.Streaming || a.GetOperation() != operation || !Fills(a.GetResource(), resource) {
			continue
		}
		// A fixed segment goes before a parameter.
		if found == nil || strings.Count(a.GetResource(), "{") < strings.Count(found.Operation.GetBatchAction().GetResource(), "{") {
			found = m
		}
	}
	return found
}

// Fills tells whether a canonical path is a template with its parameters filled.
func Fills(template, path string) bool {
	for {
		want, template2, more := strings.Cut(template, "/")
		have, path2, rest := strings.Cut(path, "/")
		if !strings.HasPrefix(want, "{") && want != have || more != rest {
			return false
		}
		if !more {
			return true
		}
		template, path = template2, path2
	}
}

// Find gives the operation of a verb and a canonical path; nil when the contract
// knows none. A fixed segment goes before a parameter.
func (c *Contract) Find(verb apiv1.Verb, path string) *Method {
	return c.root.find(verb, strings.TrimPrefix(path, "/"))
}

// spelled refuses a first segment that is one of the contract's but for its case: a
// proxy or the Dashboard may read it as that, and its organization would not pay.
func (c *Contract) spelled(first string) error {
	if c.first[first] {
		return nil
	}
	for known := range c.first {
		if strings.EqualFold(known, first) {
			return fmt.Errorf("its first segment is written /%s", known)
		}
	}
	return nil
}

// longestID bounds an id, in bytes: the vendor's have up to 20.
const longestID = 64

// OwnerID says why a text cannot be the id of what a scope names, for a caller to
// read; nil when it can. An id is made of letters, digits, dashes and underscores.
// An organization's that begins with a digit is a number without zeros in front:
// a reader that takes "01" or "1x" for 1 would find another organization than the
// one that rules and budgets are about. What is longer than longestID is no id: it would
// stand in budgets, in labels of metrics and on the page.
func OwnerID(scope apiv1.Scope, id string) error {
	digits := 0
	for i := range len(id) {
		switch c := id[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '-' || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		default:
			return fmt.Errorf("%.80q is not the id of an organization, a network or a device", id)
		}
	}
	switch {
	case id == "":
		return errors.New("the id of an organization, a network or a device is empty")
	case len(id) > longestID:
		return fmt.Errorf("%.80q is longer than the id of an organization, a network or a device", id)
	}
	if scope == apiv1.Scope_SCOPE_ORGANIZATION && id[0] >= '0' && id[0] <= '9' && (digits < len(id) || id[0] == '0' && digits > 1) {
		return fmt.Errorf("%.80q is not an organization's id", id)
	}
	return nil
}

func retryClass(verb apiv1.Verb) apiv1.RetryClass {
	switch verb {
	case apiv1.Verb_VERB_GET:
		return apiv1.RetryClass_RETRY_CLASS_READ
	case apiv1.Verb_VERB_POST:
		return apiv1.RetryClass_RETRY_CLASS_UNSAFE
	default:
		return apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT
	}
}

// A node is one path segment; {parameters} match any.
type node struct {
	fixed map[string]*node
	any   *node
	at    map[apiv1.Verb]*Method
}

// route makes a method findable by its path.
func (c *Contract) route(m *Method) {
	n := &c.root
	path := strings.TrimPrefix(m.Operation.GetPath(), "/")
	first, _, _ := strings.Cut(path, "/")
	c.first[first] = true
	for segment := range strings.SplitSeq(path, "/") {
		n = n.child(segment)
	}
	if n.at == nil {
		n.at = make(map[apiv1.Verb]*Method)
	}
	n.at[m.Operation.GetVerb()] = m
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

func (n *node) find(verb apiv1.Verb, path string) *Method {
	segment, rest, more := strings.Cut(path, "/")
	for _, next := range [...]*node{n.fixed[segment], n.any} {
		switch {
		case next == nil:
		case !more:
			if m := next.at[verb]; m != nil {
				return m
			}
		default:
			if m := next.find(verb, rest); m != nil {
				return m
			}
		}
	}
	return nil
}
