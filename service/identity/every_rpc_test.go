package identity_test

import (
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// everyRPC is what the policy knows about each RPC that the broker serves.
func everyRPC(t *testing.T) map[string]identity.Request {
	t.Helper()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]identity.Request)
	for _, m := range c.Methods() {
		q, err := identity.NewRequest(m.Name, m.Operation)
		if err != nil {
			t.Errorf("%s has no decision: %v", m.Name, err)
			continue
		}
		all[m.Name] = q
	}
	if len(all) < 500 {
		t.Fatalf("the contract has %d RPCs only", len(all))
	}
	broker := brokerv1.BrokerService_ServiceDesc
	for _, m := range broker.Methods {
		all["/"+broker.ServiceName+"/"+m.MethodName] = identity.Request{}
	}
	for _, s := range broker.Streams {
		all["/"+broker.ServiceName+"/"+s.StreamName] = identity.Request{}
	}
	for name := range all {
		if strings.HasPrefix(name, "/"+broker.ServiceName+"/") {
			q, err := identity.NewRequest(name, nil)
			if err != nil || q.RPC == "" {
				t.Errorf("%s has no decision: %v", name, err)
			}
			all[name] = q
		}
	}
	return all
}

var anybody = identity.Caller{ID: "spiffe://mesh.example/ns/shop/sa/orders", Source: identity.PeerCertificate}

func policy(t *testing.T, methods []identity.Request, operations ...identity.Grant) *identity.Policy {
	t.Helper()
	p, err := identity.NewPolicy(identity.Rules{{
		Name: "test", Callers: []string{anybody.ID}, Operations: operations, Organizations: []string{"*"},
	}}, true, methods)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every RPC is refused to a caller without a rule for it, and allowed by the
// rules that should allow it: its section with its verb class, its operation,
// or, for the broker's own, its name. No other verb class and no other section does.
func TestEveryRPCHasADecision(t *testing.T) {
	t.Parallel()
	all := everyRPC(t)
	var methods []identity.Request
	sections := make(map[string]bool)
	for _, q := range all {
		methods = append(methods, q)
		if q.RPC == "" {
			sections[q.Section] = true
		}
	}
	nothing := policy(t, methods, identity.Grant{RPC: "GetUpstreamHealth"})
	reads := policy(t, methods, identity.Grant{Section: "*", Verbs: []string{"read"}})
	writes := policy(t, methods, identity.Grant{Section: "*", Verbs: []string{"write"}})
	looks := policy(t, methods, identity.Grant{RPC: "*"})
	bySection := make(map[string]*identity.Policy)
	for s := range sections {
		bySection[s] = policy(t, methods, identity.Grant{Section: s, Verbs: []string{"read", "write"}})
	}
	may := func(p *identity.Policy, q identity.Request) bool {
		_, err := p.Decide(anybody, q)
		if f := fault.As(err); err != nil && (f == nil || f.Kind != fault.CallerNotAllowed || f.Detail == "") {
			t.Fatalf("%+v: error %v", q, err)
		}
		return err == nil
	}
	named := 0
	defer func() {
		if named != 15 {
			t.Errorf("%d operations have to be named by a rule; read what is new in the document", named)
		}
	}()
	for name, q := range all {
		if _, err := nothing.Decide(identity.Caller{ID: "stranger"}, q); fault.As(err) == nil {
			t.Errorf("%s: a stranger may (error %v)", name, err)
		}
		if q.RPC != "GetUpstreamHealth" && may(nothing, q) {
			t.Errorf("%s: allowed without a rule", name)
		}
		typed := q.RPC == ""
		named += map[bool]int{true: 1}[q.ByName]
		if may(reads, q) != (typed && q.Read && !q.ByName) || may(writes, q) != (typed && !q.Read && !q.ByName) {
			t.Errorf("%s: verb classes do not tell: read %v", name, q.Read)
		}
		if may(looks, q) != (!typed && q.RPC != "Call") {
			t.Errorf("%s: rpc * decides wrongly", name)
		}
		for s, p := range bySection {
			if may(p, q) != (typed && q.Section == s && !q.ByName) {
				t.Errorf("%s: section %s decides wrongly", name, s)
			}
		}
		switch {
		case typed && !may(policy(t, methods, identity.Grant{Operation: q.Operation}), q):
			t.Errorf("%s: its own operation does not allow it", name)
		case q.RPC == "Call" && !may(policy(t, methods, identity.Grant{RPC: q.RPC, Verbs: []string{"write"}}), q):
			t.Errorf("%s: its own name does not allow it", name)
		case !typed && q.RPC != "Call" && !may(policy(t, methods, identity.Grant{RPC: q.RPC}), q):
			t.Errorf("%s: its own name does not allow it", name)
		}
	}
}

// What the policy knows nothing about must not be served.
func TestUnknownRPCHasNoRequest(t *testing.T) {
	t.Parallel()
	read := &apiv1.Operation{Id: "getX", Verb: apiv1.Verb_VERB_GET}
	cases := []struct {
		name string
		op   *apiv1.Operation
	}{
		{"/meraki.networks.v1.NetworksService/GetX", nil},
		{"/meraki.networks.v1.NetworksService/GetX", &apiv1.Operation{}},
		{"/meraki.networks.v1.NetworksService/GetX", &apiv1.Operation{Id: "getX"}},
		{"/other.v1.Service/GetX", read},
		{"/grpc.health.v1.Health/Check", nil},
		{"/meraki.networks/GetX", read},
		{"", nil}, {"/", nil}, {"/meraki.broker.v1.BrokerService/", nil},
	}
	for _, c := range cases {
		if q, err := identity.NewRequest(c.name, c.op); err == nil {
			t.Errorf("%q with %v: %+v", c.name, c.op, q)
		}
	}
	q, err := identity.NewRequest("/meraki.networks.v1.NetworksService/StreamX", read)
	if want := (identity.Request{Section: "networks", Operation: "getX", Read: true}); err != nil || q != want {
		t.Errorf("%+v, error %v", q, err)
	}
}
