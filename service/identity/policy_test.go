package identity

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/service/fault"
)

// parseRules reads rules the way the daemon does.
func parseRules(t testing.TB, text string) Rules {
	t.Helper()
	var r Rules
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	return r
}

func newPolicy(t testing.TB, text string) *Policy {
	t.Helper()
	p, err := NewPolicy(parseRules(t, text), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const sample = `
- name: inventory reads
  callers: ["spiffe://mesh.example/ns/inventory/*"]
  operations: [{section: "*", verbs: [read]}]
  organizations: ["1", "2"]
  weight: 2
  share: 0.3
  priority: bulk
- name: orders on one
  callers: ["spiffe://mesh.example/ns/shop/sa/orders"]
  operations:
  - {section: cellularGateway, verbs: [write]}
  - {operation: rebootDevice}
  - {rpc: GetBudget}
  - {rpc: Call, verbs: [read]}
  organizations: ["1", none]
- name: shop everywhere
  callers: ["spiffe://mesh.example/ns/shop/*"]
  operations: [{section: networks, verbs: [read, write]}, {operation: rebootDevice}]
  organizations: ["*"]
  priority: critical
  weight: 5
- name: who looks
  callers: ["*"]
  operations: [{rpc: "*"}]
  organizations: ["*"]
`

var (
	readDevices  = Request{Section: "devices", Operation: "getDevice", Read: true, Priority: Normal}
	rebootDevice = Request{Section: "devices", Operation: "rebootDevice", Priority: Normal}
	writeNetwork = Request{Section: "networks", Operation: "updateNetwork", Priority: Critical}
	readGateway  = Request{Section: "cellular_gateway", Operation: "getX", Read: true}
	writeGateway = Request{Section: "cellular_gateway", Operation: "updateX", Priority: Bulk}
	getBudget    = Request{RPC: "GetBudget", Read: true}
	listAttempts = Request{RPC: "ListAttempts", Read: true}
	callRead     = Request{RPC: rpcCall, Read: true, Operation: "call"}
	callWrite    = Request{RPC: rpcCall, Operation: "call"}
)

func on(q Request, organization string) Request {
	q.Organization = organization
	return q
}

func TestDecide(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, sample)
	const inventory, other = "spiffe://mesh.example/ns/inventory/sa/a", "spiffe://mesh.example/ns/shop/sa/other"
	cases := []struct {
		name    string
		caller  string
		request Request
		rule    string // that allows; empty for a refusal
		says    string // in the refusal
	}{
		{"read", inventory, on(readDevices, "1"), "inventory reads", ""},
		{"owner not known yet", inventory, readDevices, "inventory reads", ""},
		{"another organization", inventory, on(readDevices, "3"), "", `for organization 3; ask the broker's operator to add it to rule "inventory reads"`},
		{"no organization", inventory, on(readDevices, NoOrganization), "", "what belongs to no organization"},
		{"write", inventory, on(rebootDevice, "1"), "", "rebootDevice (a write in section devices)"},
		{"near the prefix", "spiffe://mesh.example/ns/inventory", on(readDevices, "1"), "", "no rule allows"},
		{"operation by name", orders, on(rebootDevice, "1"), "orders on one", ""},
		{"the second rule holds there", orders, on(rebootDevice, "9"), "shop everywhere", ""},
		{"section, vendor's spelling", orders, on(writeGateway, "1"), "orders on one", ""},
		{"write alone", orders, on(readGateway, "1"), "", "a read in section cellular_gateway"},
		{"no organization, allowed", orders, on(writeGateway, NoOrganization), "orders on one", ""},
		{"both verbs", other, on(writeNetwork, "9"), "shop everywhere", ""},
		{"not by another's exact name", other, on(writeGateway, "1"), "", "no rule allows"},
		{"broker's RPC", orders, on(getBudget, "1"), "orders on one", ""},
		{"any of the broker's", other, listAttempts, "who looks", ""},
		{"Call is not among them", other, callRead, "", "the RPC Call for a read"},
		{"Call", orders, on(callRead, "1"), "orders on one", ""},
		{"Call for a write", orders, on(callWrite, "1"), "", "the RPC Call for a write"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := p.Decide(Caller{ID: c.caller}, c.request)
			if d.Rule != c.rule {
				t.Errorf("rule %q, want %q (error %v)", d.Rule, c.rule, err)
			}
			if c.rule != "" {
				if err != nil {
					t.Errorf("error %v", err)
				}
				return
			}
			f := fault.As(err)
			if f == nil || f.Kind != fault.CallerNotAllowed || f.Operation != c.request.Operation || !strings.Contains(f.Detail, c.says) {
				t.Errorf("error %v, want CallerNotAllowed that says %q", err, c.says)
			}
			if d.Allows("1") || d.Allows(NoOrganization) || d.Anywhere() {
				t.Error("what is refused allows an organization")
			}
		})
	}
	// A caller that only "*" names is named: what is missing is the operation.
	if _, err := p.Decide(Caller{ID: "x"}, readDevices); fault.As(err) == nil || !strings.Contains(err.Error(), "no rule allows caller") {
		t.Errorf("error %v", err)
	}
	if _, err := newPolicy(t, sample[:strings.Index(sample, "- name: who")]).Decide(Caller{ID: "x"}, readDevices); fault.As(err) == nil || !strings.Contains(err.Error(), `no rule names caller "x"`) {
		t.Errorf("error %v", err)
	}
}

func TestOrganizationsAfterwards(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, sample)
	d, err := p.Decide(Caller{ID: orders}, rebootDevice) // of two rules: on "1" and "none", and everywhere
	if err != nil || d.Rule != "orders on one" || !d.Allows("1") || !d.Allows("9") || !d.Allows("") || d.Anywhere() {
		t.Errorf("decision %+v, error %v", d, err)
	}
	there, err := d.Narrow("9")
	if err != nil || there.Rule != "shop everywhere" || there.Weight != 5 || there.MaxPriority != Critical {
		t.Errorf("narrowed to 9: %+v, error %v", there, err)
	}
	d, err = p.Decide(Caller{ID: orders}, writeGateway)
	if err != nil || !d.Allows("1") || !d.Allows(NoOrganization) || d.Allows("9") || d.Allows("") {
		t.Errorf("decision %+v, error %v", d, err)
	}
	if _, err := d.Narrow("9"); fault.As(err) == nil || fault.As(err).Kind != fault.CallerNotAllowed {
		t.Errorf("narrowed to 9: %v", err)
	}
	if d, err = p.Decide(Caller{ID: orders}, writeNetwork); err != nil || !d.Anywhere() {
		t.Errorf("decision %+v, error %v", d, err)
	}
}

func TestTerms(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, sample)
	cases := []struct {
		caller  string
		request Request
		weight  float64
		share   float64
		max     Priority
		get     Priority
	}{
		{"spiffe://mesh.example/ns/inventory/sa/a", readDevices, 2, 0.3, Bulk, Bulk},
		{orders, rebootDevice, 1, 1, Normal, Normal},
		{orders, writeGateway, 1, 1, Normal, Bulk},
		{orders, writeNetwork, 5, 1, Critical, Critical},
	}
	for _, c := range cases {
		d, err := p.Decide(Caller{ID: c.caller}, c.request)
		if err != nil || d.Weight != c.weight || d.Share != c.share || d.MaxPriority != c.max || d.Priority != c.get {
			t.Errorf("%s: weight %g, share %g, max %v, priority %v (error %v)", d.Rule, d.Weight, d.Share, d.MaxPriority, d.Priority, err)
		}
	}
}

func TestNobodyConfiguredAnything(t *testing.T) {
	t.Parallel()
	p, err := NewPolicy(nil, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []Request{readDevices, rebootDevice, callWrite, getBudget, on(readDevices, NoOrganization), on(writeNetwork, "1")} {
		d, err := p.Decide(Anonymous, q)
		if err != nil || !d.Anywhere() || d.Priority != q.Priority || d.Weight != 1 || d.Share != 1 {
			t.Errorf("%s: %+v, error %v", q.about(), d, err)
		}
	}
	if _, err := p.Decide(Caller{ID: orders}, readDevices); err == nil {
		t.Error("somebody else than anonymous is allowed")
	}
	if _, err := NewPolicy(nil, true, nil); err == nil || !strings.HasPrefix(err.Error(), "there is no rule") {
		t.Errorf("a source without rules: %v", err)
	}
	// Rules without a source: anonymous may what they say, and nothing else.
	p, err = NewPolicy(parseRules(t, `[{name: a, callers: [anonymous], operations: [{section: "*", verbs: [read]}], organizations: ["1"]}]`), false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Decide(Anonymous, readDevices); err != nil {
		t.Error(err)
	}
	if _, err := p.Decide(Anonymous, rebootDevice); err == nil {
		t.Error("anonymous may write")
	}
}

func TestRuleErrors(t *testing.T) {
	t.Parallel()
	methods := []Request{readDevices, writeNetwork, getBudget, {RPC: rpcCall}}
	good := `{name: a, callers: [c], operations: [{section: devices, verbs: [read]}], organizations: ["*"]}`
	cases := []struct{ rules, says string }{
		{`[` + good + `, {callers: [c]}]`, "[1].name: is required"},
		{`[` + good + `, ` + good + `]`, `[1].name: "a" is the name of rule 0 too`},
		{`[{name: a}]`, "[0].callers: name at least one"},
		{`[{name: a, callers: ["a*b"]}]`, "[0].callers[0]: "},
		{`[{name: a, callers: ["spiffe://mesh*"]}]`, "leaves the trust domain open"},
		{`[{name: a, callers: [c]}]`, "[0].operations: name at least one"},
		{`[{name: a, callers: [c], operations: [{}]}]`, "[0].operations[0].section: name one of"},
		{`[{name: a, callers: [c], operations: [{section: devices, rpc: Call}]}]`, "name one of"},
		{`[{name: a, callers: [c], operations: [{section: devices}]}]`, "[0].operations[0].verbs: say [read]"},
		{`[{name: a, callers: [c], operations: [{section: devices, verbs: [get]}]}]`, "is not one of read, write"},
		{`[{name: a, callers: [c], operations: [{rpc: Call}]}]`, "verbs: say [read]"},
		{`[{name: a, callers: [c], operations: [{operation: getDevice, verbs: [read]}]}]`, "narrows a section"},
		{`[{name: a, callers: [c], operations: [{section: device, verbs: [read]}]}]`, "is not a section"},
		{`[{name: a, callers: [c], operations: [{operation: getDevices}]}]`, "is not an operation"},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudgets}]}]`, "is not a method of BrokerService"},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}]}]`, "[0].organizations: name at least one"},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["1*"]}]`, "[0].organizations[0]: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], weight: 1000}]`, "[0].weight: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], weight: .nan}]`, "[0].weight: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], share: 1.5}]`, "[0].share: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], share: -1}]`, "[0].share: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], defaults: {priority: urgent}}]`, "[0].defaults.priority: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], defaults: {priority: critical}}]`, "[0].defaults.priority: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], defaults: {max_age: 2h}}]`, "[0].defaults.max_age: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], defaults: {max_age: -1s}}]`, "[0].defaults.max_age: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], defaults: {deadline: 11m}}]`, "[0].defaults.deadline: "},
		{`[{name: a, callers: [c], operations: [{rpc: GetBudget}], organizations: ["*"], priority: urgent}]`, "[0].priority: "},
	}
	for _, c := range cases {
		_, err := NewPolicy(parseRules(t, c.rules), true, methods)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want it to say %q", c.rules, err, c.says)
		}
	}
	var r Rules
	d := yaml.NewDecoder(strings.NewReader(`[{name: a, organisations: ["1"]}]`))
	d.KnownFields(true)
	if err := d.Decode(&r); err == nil || !strings.Contains(err.Error(), "organisations not found") {
		t.Errorf("an unknown key: %v", err)
	}
}

func BenchmarkDecide(b *testing.B) {
	p := newPolicy(b, sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Decide(Caller{ID: orders}, rebootDevice); err != nil {
			b.Fatal(err)
		}
	}
}

// TestRulesAreReplacedWhole: new rules hold from the next call on, and wrong ones not
// at all.
func TestRulesAreReplacedWhole(t *testing.T) {
	t.Parallel()
	p := newPolicy(t, `[{name: a, callers: [c], operations: [{section: devices, verbs: [read]}], organizations: ["*"]}]`)
	may := func() bool { _, err := p.Decide(Caller{ID: "c"}, readDevices); return err == nil }
	if !may() {
		t.Fatal("the first rules do not hold")
	}
	if err := p.Replace(parseRules(t, `[{name: b, callers: [c], operations: [{section: networks, verbs: [write]}], organizations: ["*"]}, {name: b}]`)); err == nil || !may() {
		t.Errorf("wrong rules: %v, and the ones before hold: %t", err, may())
	}
	if err := p.Replace(nil); err == nil || !may() {
		t.Errorf("no rules: %v, and the ones before hold: %t", err, may())
	}
	if err := p.Replace(parseRules(t, `[{name: b, callers: [d], operations: [{section: devices, verbs: [read]}], organizations: ["*"]}]`)); err != nil || may() {
		t.Errorf("other rules: %v, and the ones before hold: %t", err, may())
	}
}

// TestOperator: the operator's port needs no rule, and nobody else gets what it has by
// its name.
func TestOperator(t *testing.T) {
	t.Parallel()
	p, err := NewPolicy(Rules{{Name: "shop", Callers: []string{"shop"}, Operations: []Grant{{RPC: "GetBudget"}}, Organizations: []string{"1"}}}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := p.Decide(Operator, Request{RPC: "ListAttempts", Read: true})
	if err != nil || !d.Anywhere() || !d.Everywhere() {
		t.Errorf("%v %v", d, err)
	}
	for _, source := range []Source{NoSource, PeerCertificate, ForwardedCertificate, LinkerdClient, Token, StaticToken, Path, OwnKey} {
		if _, err := p.Decide(Caller{ID: Operator.ID, Source: source}, Request{RPC: "ListAttempts", Read: true}); err == nil {
			t.Errorf("%s: a caller with the operator's name may do what the operator may", source)
		}
	}
}
