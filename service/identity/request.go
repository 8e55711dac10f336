package identity

import (
	"fmt"
	"strings"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A Request is what a caller wants to do, as far as rules look at it.
type Request struct {
	// Section, Operation and Read are those of the Dashboard operation.
	Section   string // organizations, cellular_gateway
	Operation string // getOrganizationDevices
	Read      bool   // GET
	// RPC is the method of BrokerService, for those alone. For Call, Read is
	// that of the method it is given.
	RPC string
	// Organization that owns what the call is about; NoOrganization when it
	// belongs to none; empty while that is not known.
	Organization string
	// ByName marks an operation that only a rule that names it allows: neither a
	// section nor the RPC Call reaches it. See NeedsName.
	ByName bool
	// Unowned marks an operation that the contract does not know, on a path that does
	// not name its owner: only a rule that says so (unknown: true) reaches it.
	Unowned bool
	// Priority that the caller asked for, or Unsaid.
	Priority Priority
}

// brokerService is the service whose methods are the broker's own.
const brokerService = "meraki.broker.v1.BrokerService"

// sectionPrefix stands before the section in the name of a service.
const sectionPrefix = "meraki."

// NewRequest is the request of an RPC, by its full name ("/package.Service/Method")
// and the operation that it performs; nil for a method of BrokerService. What is
// known only when a call comes in stays empty. An RPC of any other kind is an
// error: the policy knows nothing about it, so it must not be served.
func NewRequest(rpc string, op *apiv1.Operation) (Request, error) {
	service, method, ok := strings.Cut(strings.TrimPrefix(rpc, "/"), "/")
	if !ok || method == "" {
		return Request{}, fmt.Errorf("identity: %q is not the full name of an RPC", rpc)
	}
	if service == brokerService && op == nil {
		// Every method but Call only looks.
		return Request{RPC: method, Read: method != rpcCall}, nil
	}
	section, rest, ok := strings.Cut(strings.TrimPrefix(service, sectionPrefix), ".")
	if op.GetId() == "" || op.GetVerb() == apiv1.Verb_VERB_UNSPECIFIED || !strings.HasPrefix(service, sectionPrefix) || !ok || rest == "" {
		return Request{}, fmt.Errorf("identity: %s performs no Dashboard operation, and no rule can allow it", rpc)
	}
	q := Request{Section: section, Operation: op.GetId(), Read: op.GetVerb() == apiv1.Verb_VERB_GET, ByName: NeedsName(op)}
	if op.GetScope() == apiv1.Scope_SCOPE_NONE {
		q.Organization = NoOrganization
	}
	return q, nil
}

// about says what the caller wants, in an error: "getX (read of section y)".
func (q *Request) about() string {
	class := "write"
	if q.Read {
		class = "read"
	}
	switch {
	case q.ByName && q.Operation != "":
		return q.Operation + ", which makes, shows or takes away credentials and has to be named by a rule (operation: " + q.Operation + ")"
	case q.ByName:
		return "what makes, shows or takes away credentials and is not an operation of the contract"
	case q.Unowned:
		return "the RPC Call for a path that the contract does not know and that names no owner (unknown: true)"
	case q.RPC == rpcCall:
		return "the RPC Call for a " + class
	case q.RPC != "":
		return "the RPC " + q.RPC
	}
	return fmt.Sprintf("%s (a %s in section %s)", q.Operation, class, q.Section)
}

// known is which sections, operations and RPCs there are; nil when that is not known.
type known struct {
	sections, operations, rpcs map[string]struct{}
}

func knownOf(methods []Request) *known {
	if methods == nil {
		return nil
	}
	k := &known{
		sections:   map[string]struct{}{anyName: {}},
		operations: map[string]struct{}{},
		rpcs:       map[string]struct{}{anyName: {}},
	}
	for _, m := range methods {
		if m.RPC != "" {
			k.rpcs[m.RPC] = struct{}{}
			continue
		}
		k.sections[m.Section] = struct{}{}
		k.operations[m.Operation] = struct{}{}
	}
	return k
}

func (k *known) section(name string) bool      { return k == nil || has(k.sections, name) }
func (k *known) operation(id string) bool      { return k == nil || has(k.operations, id) }
func (k *known) rpc(name string) bool          { return k == nil || has(k.rpcs, name) }
func has(m map[string]struct{}, s string) bool { _, ok := m[s]; return ok }

// snake turns the vendor's spelling of a section into the contract's:
// cellularGateway is cellular_gateway.
func snake(s string) string {
	if s == "switch" {
		return "switching" // a package cannot have the vendor's name: it is a keyword
	}
	var b strings.Builder
	for i, r := range s {
		if 'A' <= r && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
