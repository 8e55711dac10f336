package identity

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/service/setting"
)

// Rules say what callers may do. What none allows is refused. At least one is
// needed when a source of identity is on.
type Rules []Rule

// A Rule allows some callers some operations. Rules only ever allow: a call is
// allowed when one rule, by itself, allows the caller, the operation and the
// organization. Of several that do, the first in the file gives weight, priority
// and share.
type Rule struct {
	// Name stands in logs; required, each its own.
	Name string `yaml:"name" jsonschema:"required,minLength=1"`
	// Callers by name, or by the beginning of it: spiffe://mesh.example/ns/shop/*.
	// "*" is every caller that is known. "anonymous" is everyone while no source
	// is on.
	Callers []string `yaml:"callers" jsonschema:"required,minItems=1,minLength=1"`
	// Operations that the rule allows.
	Operations []Grant `yaml:"operations" jsonschema:"required,minItems=1"`
	// Organizations by id; "*" for all, and for what belongs to none; "none" for
	// operations that belong to no organization, such as getOrganizations, beside
	// a list of ids. Required.
	Organizations []string `yaml:"organizations" jsonschema:"required,minItems=1,minLength=1"`
	// Weight is the caller's part of a budget that is too small for all, against
	// others of its priority: 2 gets twice what 1 gets. 1 when absent; from 0.01 to 100.
	Weight float64 `yaml:"weight" jsonschema:"minimum=0.01,maximum=100"`
	// Priority is the highest that the caller may ask for: critical, normal or
	// bulk; normal when absent. A call that asks for more gets this.
	Priority string `yaml:"priority" jsonschema:"enum=critical,enum=normal,enum=bulk"`
	// Share is the largest part of an organization's budget that the caller may
	// spend: from 0.01 to 1; 1 when absent.
	Share float64 `yaml:"share" jsonschema:"minimum=0.01,maximum=1"`
	// Defaults are what a call has that does not say it: clients of the REST face
	// cannot.
	Defaults Defaults `yaml:"defaults"`
}

// Defaults are what a rule says where the caller says nothing.
type Defaults struct {
	// Priority: critical, normal or bulk, no higher than the rule's own; normal when
	// absent.
	Priority string `yaml:"priority" jsonschema:"enum=critical,enum=normal,enum=bulk"`
	// MaxAge accepts an answer to the same read that is no older; 0s when absent,
	// 1h at the most.
	MaxAge time.Duration `yaml:"max_age"`
	// Deadline of a call; 1m when absent, 10m at the most.
	Deadline time.Duration `yaml:"deadline"`
	// RetryWrites says that repeating a write does no harm.
	RetryWrites bool `yaml:"retry_writes"`
}

// UnmarshalYAML tells a deadline of 0s, with which no call could be made, from one that
// is not there.
func (d *Defaults) UnmarshalYAML(n *yaml.Node) error {
	type plain Defaults
	if err := n.Decode((*plain)(d)); err != nil {
		return err
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if key, value := n.Content[i], n.Content[i+1]; key.Value == "deadline" && d.Deadline == 0 && value.Tag != "!!null" {
			return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: policy: defaults.deadline: 0s would end every call at once; leave it out for 1m", key.Line)}}
		}
	}
	return nil
}

// A Grant is operations that a rule allows. It names one of Section, Operation
// and RPC.
//
// What makes, shows or takes away credentials (API keys, administrators, SAML, the
// login's restrictions, tokens of virtual appliances) is allowed by Operation alone:
// no section reaches it, and Call only beside its name in the same rule. An action
// batch is allowed when each of its actions is, as if it had been called by itself.
type Grant struct {
	// Section is a section of the Dashboard's API in the vendor's spelling
	// (cellularGateway) or the contract's (cellular_gateway); "*" for all.
	Section string `yaml:"section"`
	// Operation is an operationId: rebootDevice.
	Operation string `yaml:"operation" jsonschema:"minLength=1"`
	// RPC is a method of meraki.broker.v1.BrokerService: GetBudget; "*" for all but
	// Call. Call performs any operation that the Dashboard has, also one that the
	// other grants do not allow.
	RPC string `yaml:"rpc"`
	// Verbs narrows a section, or Call: read (GET), write (PUT, POST, DELETE), or
	// both. Required there, and not taken elsewhere.
	Verbs []string `yaml:"verbs" jsonschema:"minItems=1,enum=read,enum=write"`
	// Unknown lets Call reach paths that the contract does not know and that do not
	// begin with an organization, a network or a device: /foo, or what is new below
	// /administered. Nobody can say whose they are, so a rule with it has all
	// organizations.
	Unknown bool `yaml:"unknown"`
}

// NoOrganization is what stands for the organization of an operation that
// belongs to none.
const NoOrganization = "none"

// A Priority is how urgent a call is. The numbers are those of package ratelimit.
type Priority uint8

// The priorities, the most urgent first.
const (
	Critical Priority = iota
	Normal
	Bulk
	// Unsaid stands for the priority of a caller that has named none.
	Unsaid Priority = 0xff
)

var priorities = map[string]Priority{"critical": Critical, "normal": Normal, "bulk": Bulk, "": Normal}

// String names the priority as rules do.
func (p Priority) String() string {
	for name, value := range priorities {
		if value == p && name != "" {
			return name
		}
	}
	return "unknown"
}

const (
	minWeight, maxWeight = 0.01, 100
	// rpcCall is the RPC that performs any operation.
	rpcCall = "Call"
)

// verbs is a set of verb classes.
type verbs uint8

const (
	reads verbs = 1 << iota
	writes
)

func verbsOf(read bool) verbs {
	if read {
		return reads
	}
	return writes
}

func parseVerbs(list []string) (verbs, error) {
	var v verbs
	for _, s := range list {
		switch s {
		case "read":
			v |= reads
		case "write":
			v |= writes
		default:
			return 0, fmt.Errorf("%q is not one of read, write", clip(s))
		}
	}
	if v == 0 {
		return 0, errors.New("say [read], [write] or [read, write]")
	}
	return v, nil
}

// A rule is a Rule made ready.
type rule struct {
	name          string
	callers       Names
	sections      map[string]verbs
	operations    map[string]struct{}
	rpcs          map[string]struct{}
	call          verbs
	unknown       bool // Call reaches what is nobody's
	named         bool // what has to be named is allowed without: the rule that stands in for all
	everywhere    bool
	organizations map[string]struct{}
	weight        float64
	priority      Priority
	share         float64
	defaults      Defaults
	usual         Priority // of calls that name none
}

// compile checks the rule. The errors name the keys below the rule.
func (r *Rule) compile(known *known) (*rule, error) {
	out := &rule{
		name: r.Name, weight: r.Weight, share: r.Share, defaults: r.Defaults,
		sections: map[string]verbs{}, operations: map[string]struct{}{}, rpcs: map[string]struct{}{}, organizations: map[string]struct{}{},
	}
	var wrong setting.Errors
	if r.Name == "" {
		wrong.Wrong("name", "is required")
	}
	if len(r.Callers) == 0 {
		wrong.Wrong("callers", "name at least one")
	}
	var err error
	if out.callers, err = NewNames("callers", r.Callers); err != nil {
		wrong.Add("", err)
	}
	if len(r.Operations) == 0 {
		wrong.Wrong("operations", "name at least one")
	}
	for i := range r.Operations {
		wrong.Add(fmt.Sprintf("operations[%d]", i), r.Operations[i].compile(out, known))
	}
	wrong.Add("", r.organizations(out))
	wrong.Add("", r.terms(out))
	return out, wrong.Err()
}

// organizations takes the organizations over.
func (r *Rule) organizations(out *rule) error {
	var wrong setting.Errors
	if len(r.Organizations) == 0 {
		wrong.Wrong("organizations", "name at least one, or %q for all", anyName)
	}
	for i, o := range r.Organizations {
		switch {
		case o == anyName:
			out.everywhere = true
		case o == "" || strings.ContainsFunc(o, notInKey):
			wrong.Wrong(fmt.Sprintf("organizations[%d]", i), "%q is not an organization's id", clip(o))
		}
		out.organizations[o] = struct{}{}
	}
	if out.unknown && !out.everywhere {
		wrong.Wrong("operations", "unknown: true goes with organizations: [%q] alone; whose such a path is cannot be known", anyName)
	}
	return wrong.Err()
}

// terms takes over what a call gets that the rule allows.
func (r *Rule) terms(out *rule) error {
	var wrong setting.Errors
	if r.Weight == 0 {
		out.weight = 1
	}
	if !(out.weight >= minWeight && out.weight <= maxWeight) {
		wrong.Wrong("weight", "%g is not from %g to %d", r.Weight, minWeight, maxWeight)
	}
	if r.Share == 0 {
		out.share = 1
	}
	if !(out.share > 0 && out.share <= 1) {
		wrong.Wrong("share", "%g is not above 0 and up to 1", r.Share)
	}
	var known bool
	if out.priority, known = priorities[r.Priority]; !known {
		wrong.Wrong("priority", "%q is not one of critical, normal, bulk", clip(r.Priority))
	}
	if out.usual, known = priorities[r.Defaults.Priority]; !known {
		wrong.Wrong("defaults.priority", "%q is not one of critical, normal, bulk", clip(r.Defaults.Priority))
	}
	if r.Defaults.Priority != "" && out.usual < out.priority {
		wrong.Wrong("defaults.priority", "%s is above the rule's own, %s", out.usual, out.priority)
	}
	if d := r.Defaults.MaxAge; d < 0 || d > time.Hour {
		wrong.Wrong("defaults.max_age", "%s is not from 0s to 1h", d)
	}
	if d := r.Defaults.Deadline; d < 0 || d > 10*time.Minute {
		wrong.Wrong("defaults.deadline", "%s is not from 0s to 10m", d)
	}
	return wrong.Err()
}

// compile adds what the grant allows to the rule.
func (g *Grant) compile(out *rule, known *known) error {
	named := 0
	for _, s := range []string{g.Section, g.Operation, g.RPC} {
		if s != "" {
			named++
		}
	}
	var wrong setting.Errors
	if named != 1 {
		wrong.Wrong("section", "name one of section, operation and rpc")
		return wrong.Err()
	}
	var narrowed verbs
	switch narrows := g.Section != "" || g.RPC == rpcCall; {
	case narrows:
		var err error
		narrowed, err = parseVerbs(g.Verbs)
		wrong.Add("verbs", err)
	case len(g.Verbs) > 0:
		wrong.Wrong("verbs", "narrows a section, or the RPC Call, and nothing else")
	}
	if g.Unknown && g.RPC != rpcCall {
		wrong.Wrong("unknown", "goes with the RPC Call, and with nothing else")
	}
	switch {
	case g.Section != "":
		section := snake(g.Section)
		if !known.section(section) {
			wrong.Wrong("section", "%q is not a section of the API%s", clip(g.Section), meant(g.Section, known.sections))
		}
		out.sections[section] |= narrowed
	case g.Operation != "":
		if !known.operation(g.Operation) {
			wrong.Wrong("operation", "%q is not an operation that has an RPC; those that have none go through the RPC Call%s",
				clip(g.Operation), meant(g.Operation, known.operations))
		}
		out.operations[g.Operation] = struct{}{}
	case g.RPC == rpcCall:
		out.call |= narrowed
		out.unknown = out.unknown || g.Unknown
	default:
		if !known.rpc(g.RPC) {
			wrong.Wrong("rpc", "%q is not a method of BrokerService%s", clip(g.RPC), meant(g.RPC, known.rpcs))
		}
		out.rpcs[g.RPC] = struct{}{}
	}
	return wrong.Err()
}

// meant asks whether the nearest of the known names was meant.
func meant(name string, known map[string]struct{}) string {
	nearest, ok := setting.Nearest(name, slices.Collect(maps.Keys(known)))
	if !ok {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", nearest)
}

// allows reports whether the rule allows the operation, to whomever and wherever.
func (r *rule) allows(q *Request) bool {
	if q.RPC == rpcCall && r.call&verbsOf(q.Read) == 0 || q.Unowned && !r.unknown {
		return false
	}
	if q.ByName {
		_, ok := r.operations[q.Operation]
		return ok || r.named
	}
	if q.RPC != "" {
		if q.RPC == rpcCall {
			return true
		}
		_, all := r.rpcs[anyName]
		_, ok := r.rpcs[q.RPC]
		return ok || all
	}
	if _, ok := r.operations[q.Operation]; ok {
		return true
	}
	return (r.sections[q.Section]|r.sections[anyName])&verbsOf(q.Read) != 0
}

// serves reports whether the rule holds for an organization.
func (r *rule) serves(organization string) bool {
	if r.everywhere {
		return true
	}
	_, ok := r.organizations[organization]
	return ok
}
