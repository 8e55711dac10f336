package identity

import (
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// TestCredentialsNeedTheirName: by typed RPC and by Call, operations on credentials
// are allowed by a rule that names them and by no other.
func TestCredentialsNeedTheirName(t *testing.T) {
	t.Parallel()
	everything := []Grant{{Section: "*", Verbs: []string{"read", "write"}}, {RPC: "*"}, {RPC: "Call", Verbs: []string{"read", "write"}, Unknown: true}}
	const id = "generateAdministeredIdentitiesMeApiKeys"
	p, err := NewPolicy(Rules{
		{Name: "wide", Callers: []string{"wide"}, Operations: everything, Organizations: []string{"*"}},
		{Name: "name", Callers: []string{"name"}, Operations: []Grant{{Operation: id}}, Organizations: []string{"*"}},
		{Name: "both", Callers: []string{"both"}, Operations: append([]Grant{{Operation: id}}, everything...), Organizations: []string{"*"}},
	}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	typed := Request{Section: "administered", Operation: id, ByName: true, Organization: NoOrganization}
	raw := Request{RPC: "Call", Operation: id, ByName: true, Organization: NoOrganization}
	unknown := Request{RPC: "Call", ByName: true, Unowned: true, Organization: NoOrganization}
	for _, test := range []struct {
		caller              string
		typed, raw, unknown bool
	}{{"wide", false, false, false}, {"name", true, false, false}, {"both", true, true, false}} {
		for q, want := range map[Request]bool{typed: test.typed, raw: test.raw, unknown: test.unknown} {
			if _, err := p.Decide(Caller{ID: test.caller}, q); (err == nil) != want {
				t.Errorf("%s, %+v: %v", test.caller, q, err)
			}
		}
	}
}

func TestNeedsName(t *testing.T) {
	t.Parallel()
	post, get := apiv1.Verb_VERB_POST, apiv1.Verb_VERB_GET
	for _, test := range []struct {
		verb apiv1.Verb
		path string
		want bool
	}{
		{post, "/administered/identities/me/api/keys/generate", true}, {get, "/administered/identities/me/api/keys", true},
		{post, "/administered/identities/me/api/tokens", true}, {post, "/Administered/identities/me/API/keys/generate", true},
		{get, "/administered/identities/me", false}, {post, "/organizations/1/admins", true}, {get, "/organizations/1/admins", false},
		{post, "/organizations/1/admins/2/keys", true}, {post, "/organizations/{organizationId}/samlRoles", true},
		{post, "/devices/Q2/appliance/vmx/authenticationToken", true}, {post, "/organizations/1/networks", false}, {post, "/", false},
	} {
		if got := NeedsName(&apiv1.Operation{Verb: test.verb, Path: test.path}); got != test.want {
			t.Errorf("%v %s: %t", test.verb, test.path, got)
		}
	}
}

// TestWhatIsNobodysNeedsARuleOfItsOwn: a path that the contract does not know and that
// names no owner is not "none".
func TestWhatIsNobodysNeedsARuleOfItsOwn(t *testing.T) {
	t.Parallel()
	call := func(unknown bool) []Grant {
		return []Grant{{RPC: "Call", Verbs: []string{"read", "write"}, Unknown: unknown}}
	}
	p, err := NewPolicy(Rules{
		{Name: "some", Callers: []string{"some"}, Operations: call(false), Organizations: []string{"1", "none"}},
		{Name: "all", Callers: []string{"all"}, Operations: call(false), Organizations: []string{"*"}},
		{Name: "unknown", Callers: []string{"unknown"}, Operations: call(true), Organizations: []string{"*"}},
	}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for caller, want := range map[string]bool{"some": false, "all": false, "unknown": true} {
		if _, err := p.Decide(Caller{ID: caller}, Request{RPC: "Call", Read: true, Unowned: true, Organization: NoOrganization}); (err == nil) != want {
			t.Errorf("%s: %v", caller, err)
		}
		if _, err := p.Decide(Caller{ID: caller}, Request{RPC: "Call", Read: true, Organization: NoOrganization}); err != nil {
			t.Errorf("%s: %v", caller, err)
		}
	}
	for _, bad := range []Rule{
		{Name: "r", Callers: []string{"*"}, Operations: call(true), Organizations: []string{"1", "none"}},
		{Name: "r", Callers: []string{"*"}, Operations: []Grant{{Section: "*", Verbs: []string{"read"}, Unknown: true}}, Organizations: []string{"*"}},
	} {
		if _, err := NewPolicy(Rules{bad}, true, nil); err == nil {
			t.Errorf("%+v passes", bad)
		}
	}
}
