package access

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// held is access by the real contract, with a key for each of two organizations. The
// caller one may do everything in organization 1, vlans only make VLANs there, every
// may have every organization.
func held(t *testing.T) *Access {
	t.Helper()
	all := []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "Call", Verbs: []string{"read", "write"}}}
	policy, err := identity.NewPolicy(identity.Rules{
		{Name: "one", Callers: []string{"one"}, Operations: all, Organizations: []string{"1", "none"}},
		{Name: "vlans", Callers: []string{"vlans"}, Operations: []identity.Grant{{Operation: "createOrganizationActionBatch"}, {Operation: "createNetworkApplianceVlan"}}, Organizations: []string{"1"}},
		{Name: "batches", Callers: []string{"batches"}, Operations: []identity.Grant{{Operation: "createOrganizationActionBatch"}}, Organizations: []string{"*"}},
		{Name: "far", Callers: []string{"far"}, Operations: all, Organizations: []string{"1", "3"}},
		{Name: "every", Callers: []string{"every"}, Operations: all, Organizations: []string{"*"}},
	}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := secretfile.New(secretfile.Config{Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(files.Close)
	keys, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{
		{Name: "first", Env: "1", Organizations: []string{"1"}}, {Name: "second", Env: "2", Organizations: []string{"2"}}, {Name: "both", Env: "3", Organizations: []string{"1", "2"}},
	}}, files, func(name string) (string, bool) { return strings.Repeat(name, 40), true })
	if err != nil {
		t.Fatal(err)
	}
	return &Access{Policy: policy, Keys: keys, Contract: loaded(t)}
}

// about is the question of a caller about an operation.
func (a *Access) about(t *testing.T, caller, operation, owner, query, body string) Question {
	t.Helper()
	m := a.Contract.Operation(operation)
	request, err := identity.NewRequest(m.Name, m.Operation)
	if err != nil {
		t.Fatal(err)
	}
	request.Priority = identity.Unsaid
	return Question{Caller: identity.Caller{ID: caller}, Request: request, Operation: m.Operation, Owner: owner, Query: query, Body: []byte(body)}
}

// TestKeysServeAllThatACallNames: the key is of an entry for the owner and for
// everything else that the call is about.
func TestKeysServeAllThatACallNames(t *testing.T) {
	t.Parallel()
	a := held(t)
	entry := func(p *Permit) string { return p.Key.Entry() }
	move := `{"destOrganizationId":"%s","licenseIds":["1"]}`
	for _, c := range []struct{ to, entry string }{{"1", "first"}, {"2", "both"}} {
		p, err := a.Ask(a.about(t, "every", "getOrganization", c.to, "", ""))
		if want := map[string]string{"1": "first", "2": "second"}[c.to]; err != nil || entry(p) != want || p.Open {
			t.Errorf("%s: %+v %v", c.to, p, err)
		}
		// Whom every organization is allowed need not be looked at for the rules; the key
		// has to be there for all of them.
		action := `{"actions":[{"resource":"/organizations/1/licenses","operation":"move","body":` + fmt.Sprintf(move, c.to) + `}]}`
		for operation, body := range map[string]string{"moveOrganizationLicenses": fmt.Sprintf(move, c.to), "createOrganizationActionBatch": action} {
			if p, err := a.Ask(a.about(t, "every", operation, "1", "", body)); err != nil || entry(p) != c.entry {
				t.Errorf("%s to %s: %v, %v; want the key %s", operation, c.to, p, err, c.entry)
			}
		}
	}
	if _, err := a.Ask(a.about(t, "every", "moveOrganizationLicenses", "1", "", fmt.Sprintf(move, "3"))); fault.As(err) == nil || fault.As(err).Reason != "NO_API_KEY" {
		t.Error(err)
	}
	p, err := a.Ask(a.about(t, "one", "moveOrganizationLicenses", "1", "", fmt.Sprintf(move, "1")))
	if err != nil || entry(p) != "first" || !slices.Equal(p.organizations, []string{"1"}) {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = a.Ask(a.about(t, "one", "moveOrganizationLicenses", "1", "", fmt.Sprintf(move, "2")))
	refusal(t, err, fault.CallerNotAllowed)

	// What is named beside the owner is settled in its order, and the key serves all of it.
	p, err = a.Ask(a.about(t, "one", "combineOrganizationNetworks", "1", "", `{"name":"c","networkIds":["N_1","N_2","N_1"]}`))
	if err != nil || !p.Open || len(p.named) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	call := new(broker.Call)
	p.Allow(call)
	if call.Settle == nil || !slices.Equal(call.Named, []broker.Named{{Scope: apiv1.Scope_SCOPE_NETWORK, ID: "N_1"}, {Scope: apiv1.Scope_SCOPE_NETWORK, ID: "N_2"}}) {
		t.Errorf("%+v", call.Named)
	}
	if key, err := call.Settle("1", []string{"1", "1"}); err != nil || key.Entry() != "first" {
		t.Errorf("%s, %v", key.Entry(), err)
	}
	for _, owners := range [][]string{{"1", "2"}, {"2", "1"}, {"", "1"}, {"1", ""}} {
		_, err := call.Settle("1", owners)
		refusal(t, err, fault.CallerNotAllowed)
		if owners[1] == "" && !strings.Contains(err.Error(), "N_2, and which organization owns it cannot be known") {
			t.Error(err)
		}
	}
	if len(call.Candidates()) != 3 {
		t.Errorf("%d keys to look owners up with", len(call.Candidates()))
	}
	// The owner that the path names is not what an answer makes of it.
	if _, err := call.Settle("2", []string{"1", "1"}); err != nil {
		t.Error(err)
	}
	// A claim names devices that nobody owns yet.
	p, err = a.Ask(a.about(t, "one", "claimNetworkDevices", "N_1", "", `{"serials":["Q1","Q2"]}`))
	if err != nil || len(p.named) != 2 {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := p.Settle("1", []string{"", "1"}); err != nil {
		t.Error(err)
	}
	_, err = p.Settle("1", []string{"", "2"})
	refusal(t, err, fault.CallerNotAllowed)
	for _, operation := range []string{"claimIntoOrganization", "claimIntoOrganizationInventory"} {
		p, err := a.Ask(a.about(t, "one", operation, "1", "", `{"serials":["Q1"]}`))
		if err != nil || len(p.named) != 1 {
			t.Fatalf("%s: %+v, %v", operation, p, err)
		}
		if _, err := p.Settle("1", []string{""}); err != nil {
			t.Errorf("%s: %v", operation, err)
		}
	}
	for _, body := range []string{`{"serials":["Q 1"]}`, `{"serials":["../x"]}`, `{"serials":["` + strings.Repeat("é", 3) + `"]}`} {
		_, err = a.Ask(a.about(t, "one", "claimNetworkDevices", "N_1", "", body))
		refusal(t, err, fault.BadRequest)
	}
}

// TestSettlingIsAskedForWhereItMatters: not where neither rules nor keys depend on the owner.
func TestSettlingIsAskedForWhereItMatters(t *testing.T) {
	t.Parallel()
	a, anywhere := held(t), newAccess(t) // of the second, one key serves every organization
	for _, c := range []struct {
		name             string
		access           *Access
		caller           string
		settles, outside bool
	}{
		{"by the rule", a, "one", true, false}, {"by the key", a, "every", true, true},
		{"by the rule alone", anywhere, "one", true, false}, {"by neither", anywhere, "all", false, true},
	} {
		q := held(t).about(t, c.caller, "getNetwork", "N_1", "", "")
		p, err := c.access.Ask(q)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var call broker.Call
		if p.Allow(&call); (call.Settle != nil) != c.settles || p.Anywhere != c.outside || (call.Candidates != nil) != c.settles {
			t.Errorf("%s: settle: %v, anywhere: %v", c.name, call.Settle != nil, p.Anywhere)
		}
	}
}

// TestMostNamed: what cannot be checked at once is refused, and what can is not.
func TestMostNamed(t *testing.T) {
	t.Parallel()
	a := held(t)
	names := func(n int) string {
		ids := make([]string, n)
		for i := range ids {
			ids[i] = fmt.Sprintf("%q", fmt.Sprint("N_", i))
		}
		return `{"name":"c","networkIds":[` + strings.Join(ids, ",") + `]}`
	}
	if p, err := a.Ask(a.about(t, "one", "combineOrganizationNetworks", "1", "", names(mostNamed))); err != nil || len(p.named) != mostNamed {
		t.Error(err)
	}
	_, err := a.Ask(a.about(t, "one", "combineOrganizationNetworks", "1", "", names(mostNamed+1)))
	if f := fault.As(err); f == nil || f.Kind != fault.CallerNotAllowed || f.Reason != "NAMES_NOT_CHECKED" || !strings.Contains(f.Detail, "names more than 200 networks and devices") {
		t.Error(err)
	}
}

// TestMostActions: a batch of more than can be looked at is refused, whoever sends it.
func TestMostActions(t *testing.T) {
	t.Parallel()
	a := held(t)
	const one = `{"resource":"/networks/N_1/appliance/vlans","operation":"create","body":{}}`
	for n, refused := range map[int]bool{mostActions: false, mostActions + 1: true} {
		body := `{"actions":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
		if _, err := a.Ask(a.about(t, "every", "createOrganizationActionBatch", "1", "", body)); (err != nil) != refused {
			t.Errorf("%d actions: %v", n, err)
		}
	}
}

// TestActionsAreCalls: each action of a batch is decided about as the call that it is.
func TestActionsAreCalls(t *testing.T) {
	t.Parallel()
	a := held(t)
	const vlan = `{"resource":"/networks/N_1/appliance/vlans","operation":"create","body":{"id":"7","name":"x"}}`
	for name, c := range map[string]struct {
		caller, actions string
		says            string
		kind            fault.Kind
		named           int
	}{
		"a VLAN":                          {caller: "vlans", actions: vlan, named: 1},
		"two in one network":              {caller: "vlans", actions: vlan + "," + strings.Replace(vlan, "7", "8", 1), named: 1},
		"two in two":                      {caller: "vlans", actions: vlan + "," + strings.Replace(vlan, "N_1", "N_2", 1), named: 2},
		"by one who may have all":         {caller: "every", actions: vlan},
		"batches alone":                   {caller: "batches", actions: vlan, kind: fault.CallerNotAllowed, says: "action 0 of the batch"},
		"another operation":               {caller: "vlans", actions: vlan + `,{"resource":"/networks/N_1/appliance/vlans/7","operation":"destroy"}`, kind: fault.CallerNotAllowed, says: "action 1 of the batch"},
		"one that nobody knows":           {caller: "vlans", actions: `{"resource":"/networks/N_1/new","operation":"create"}`, kind: fault.CallerNotAllowed, says: "action 0"},
		"one that nobody knows, by Call":  {caller: "one", actions: `{"resource":"/networks/N_1/new","operation":"create"}`, named: 1},
		"and that names something":        {caller: "one", actions: `{"resource":"/networks/N_1/new","operation":"create","body":{"site":"2"}}`, kind: fault.CallerNotAllowed, says: "does not know the operation"},
		"in another organization":         {caller: "one", actions: `{"resource":"/organizations/2/networks","operation":"create","body":{}}`, kind: fault.CallerNotAllowed, says: "action 0"},
		"in the caller's":                 {caller: "one", actions: `{"resource":"/organizations/1/networks","operation":"create","body":{"copyFromNetworkId":"N_9"}}`, named: 1},
		"a device":                        {caller: "one", actions: `{"resource":"/devices/Q1","operation":"update","body":{}}`, named: 1},
		"no owner":                        {caller: "every", actions: `{"resource":"/administered/x","operation":"create"}`, kind: fault.BadRequest, says: "names no organization, network or device"},
		"no path":                         {caller: "every", actions: `{"resource":"networks/N_1","operation":"update"}`, kind: fault.BadRequest, says: "actions[0].resource"},
		"an id that is none":              {caller: "every", actions: `{"resource":"/organizations/01","operation":"update"}`, kind: fault.BadRequest, says: "is not an organization's id"},
		"the administrators":              {caller: "every", actions: `{"resource":"/organizations/1/admins","operation":"create","body":{}}`, kind: fault.CallerNotAllowed, says: "action 0"},
		"a name twice":                    {caller: "every", actions: `{"resource":"/networks/N_1","Resource":"/networks/N_2","operation":"update"}`, kind: fault.BadRequest, says: "stands twice"},
		"a resource that is no text":      {caller: "every", actions: `{"resource":7,"operation":"update"}`, kind: fault.BadRequest, says: "is not a text"},
		"an action that is no object":     {caller: "every", actions: `["/networks/N_1"]`, kind: fault.BadRequest, says: "is not an object"},
		"what an action's own body names": {caller: "one", actions: `{"resource":"/networks/N_1","operation":"update","body":{"organizationId":"2"}}`, kind: fault.CallerNotAllowed, says: "for organization 2"},
	} {
		p, err := a.Ask(a.about(t, c.caller, "createOrganizationActionBatch", "1", "", `{"confirmed":true,"actions":[`+c.actions+`]}`))
		switch f := fault.As(err); {
		case c.says == "" && (err != nil || len(p.named) != c.named || p.Open != (c.named > 0)):
			t.Errorf("%s: %+v, %v", name, p, err)
		case c.says != "" && (f == nil || f.Kind != c.kind || !strings.Contains(f.Error(), c.says) && !strings.Contains(f.Detail, c.says)):
			t.Errorf("%s: %v, want %v that says %q", name, err, c.kind, c.says)
		}
	}
	for body, wrong := range map[string]bool{`{"actions":7}`: true, `{"actions":[]}`: false, `{}`: false, ``: false, `[]`: true, `{"actions":[`: true} {
		if _, err := a.Ask(a.about(t, "every", "createOrganizationActionBatch", "1", "", body)); (err != nil) != wrong {
			t.Errorf("%q: %v", body, err)
		}
	}
	// An operation that takes no actions is not read for them.
	if actions, err := a.actions(a.Contract.Operation("updateNetwork").Operation, []byte(`{"actions":[7]}`)); err != nil || actions != nil {
		t.Errorf("%v, %v", actions, err)
	}
	unknown, err := new(Access).actions(a.Contract.Operation("createOrganizationActionBatch").Operation, []byte(`{"actions":[`+vlan+`]}`))
	if err != nil || len(unknown) != 1 || unknown[0].operation.GetId() != contract.UnknownOperation || unknown[0].owner != "N_1" {
		t.Errorf("%+v, %v", unknown, err)
	}
}

// TestEachOrganizationIsToldOnce where no key serves all that a call names.
func TestEachOrganizationIsToldOnce(t *testing.T) {
	t.Parallel()
	a := held(t)
	p, err := a.Ask(a.about(t, "far", "combineOrganizationNetworks", "1", "", `{"name":"c","networkIds":["N_1","N_2"]}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Settle("1", []string{"3", "3"})
	if f := fault.As(err); f == nil || !strings.Contains(f.Detail, "in organization 3 and 1;") {
		t.Error(err)
	}
}
