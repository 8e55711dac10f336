package model

import (
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/openapi"
)

// TestBatchActions holds the rule that finds the operation of a row: the nearest
// class decides, the summary is the operation's, and a row in doubt is an error.
func TestBatchActions(t *testing.T) {
	t.Parallel()
	operations := []*openapi.Operation{
		{ID: "getThings", Method: "GET", Path: "/networks/{networkId}/things", Summary: "List"},
		{ID: "createThing", Method: "POST", Path: "/networks/{networkId}/things", Summary: "Add a thing"},
		{ID: "updateThing", Method: "PUT", Path: "/networks/{networkId}/things/{thingId}", Summary: "Change a thing"},
		{ID: "deleteNetwork", Method: "DELETE", Path: "/networks/{networkId}", Summary: "Delete"},
		{ID: "bindNetwork", Method: "POST", Path: "/networks/{networkId}/bind", Summary: "Bind"},
		{ID: "claimThings", Method: "POST", Path: "/networks/{networkId}/things/claim", Description: "Claim"},
		{ID: "twin", Method: "POST", Path: "/networks/{networkId}/twin", Summary: "Twin"},
		{ID: "otherTwin", Method: "PUT", Path: "/networks/{networkId}/twin", Summary: "Twin"},
	}
	for name, c := range map[string]struct {
		row      openapi.Action
		id       string
		resource string
		foldable bool
		fails    string
	}{
		"class A": {row: openapi.Action{Resource: "/networks/{networkId}/things", Operation: "create", Summary: "Add a thing"},
			id: "createThing", resource: "/networks/{networkId}/things", foldable: true},
		"class A, another name of the parameter": {row: openapi.Action{Resource: "/networks/{networkId}/things/{id}", Operation: "update", Summary: "Change a thing"},
			id: "updateThing", resource: "/networks/{networkId}/things/{thingId}", foldable: true},
		"class A that is not folded": {row: openapi.Action{Resource: "/networks/{networkId}", Operation: "destroy", Summary: "Delete"},
			id: "deleteNetwork", resource: "/networks/{networkId}"},
		"class B, an action of its own": {row: openapi.Action{Resource: "/networks/{networkId}/things/claim", Operation: "claim", Summary: "Claim"},
			id: "claimThings", resource: "/networks/{networkId}/things/claim"},
		"class B, a verb that does not fit": {row: openapi.Action{Resource: "/networks/{networkId}/things/{thingId}", Operation: "create", Summary: "Change a thing"},
			id: "updateThing", resource: "/networks/{networkId}/things/{thingId}"},
		"class C": {row: openapi.Action{Resource: "/networks/{id}", Operation: "bind", Summary: "Bind"},
			id: "bindNetwork", resource: "/networks/{networkId}"},
		"the path and not the summary": {row: openapi.Action{Resource: "/networks/{networkId}/things", Operation: "create", Summary: "Something else"},
			fails: `no operation is "create"`},
		"no path": {row: openapi.Action{Resource: "/devices/{serial}/things", Operation: "create", Summary: "Add a thing"},
			fails: "no operation is"},
		"a path that begins alike": {row: openapi.Action{Resource: "/networks/{networkId}/thing", Operation: "claim", Summary: "Claim"},
			fails: "no operation is"},
		"a read": {row: openapi.Action{Resource: "/networks/{networkId}/things", Operation: "list", Summary: "List"},
			fails: "no operation is"},
		"two of one class": {row: openapi.Action{Resource: "/networks/{networkId}/twin", Operation: "action", Summary: "Twin"},
			fails: "both twin and otherTwin"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &builder{
				document:  &openapi.Document{Operations: operations, Actions: []openapi.Action{c.row}},
				overrides: Overrides{"deleteNetwork": {Reason: "r", NotFolded: true}},
			}
			got, err := b.batchActions()
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want one with %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			a := got[c.id]
			if len(got) != 1 || a.GetResource() != c.resource || a.GetOperation() != c.row.Operation || a.GetFoldable() != c.foldable {
				t.Errorf("%v, want %s on %s, foldable %v", got, c.id, c.resource, c.foldable)
			}
		})
	}
	twice := openapi.Action{Resource: "/networks/{networkId}/things", Operation: "create", Summary: "Add a thing"}
	b := &builder{document: &openapi.Document{Operations: operations, Actions: []openapi.Action{twice, twice}}}
	if _, err := b.batchActions(); err == nil || !strings.Contains(err.Error(), "has two rows") {
		t.Errorf("two rows for one operation: error %v", err)
	}
}

// TestOwners: which properties of a request name something with an owner.
func TestOwners(t *testing.T) {
	t.Parallel()
	text := func(name string, l Label) *Prop { return &Prop{Name: name, Type: Type{Label: l, Kind: String}} }
	object := func(name string, l Label, props ...*Prop) *Prop {
		return &Prop{Name: name, Type: Type{Label: l, Kind: Message, Object: &Object{Props: props}}}
	}
	at := func(l apiv1.Location, p *Prop) *Prop { p.Location = l; return p }
	query, body := apiv1.Location_LOCATION_QUERY, apiv1.Location_LOCATION_BODY
	op := &Operation{
		Option: &apiv1.Operation{Id: "x"},
		Request: &Object{Props: []*Prop{
			at(apiv1.Location_LOCATION_PATH, text("networkId", One)),
			at(query, text("organizationIds", Many)),
			at(query, text("serials", Many)),
			at(query, text("networkGroupIds", Many)),
			at(body, text("destOrganizationId", One)),
			at(body, text("copyFromNetworkId", One)),
			at(body, text("name", One)),
			at(body, object("networks", Many, text("id", One), text("access", One))),
			at(body, object("peers", Many, object("network", One, text("ids", Many)))),
			at(body, object("actions", Many, text("resource", One), &Prop{Name: "body", Type: Type{Kind: Struct}})),
			at(body, object("personalNetwork", One, &Prop{Name: "enabled", Type: Type{Kind: Bool}})),
			at(body, object("byPort", Map, text("deviceSerial", One))),
			at(apiv1.Location_LOCATION_NONE, text("networkId", One)),
		}},
	}
	b := &builder{overrides: Overrides{"x": {Owners: map[string]string{"actions[].resource": "resource", "none": "device"}}}}
	b.owners(op)
	var got []string
	for _, o := range op.Option.NamedOwners {
		got = append(got, strings.ToLower(o.Location.String()[len("LOCATION_"):]+" "+o.Kind.String()[len("KIND_"):])+" "+o.Property)
	}
	want := []string{
		"query organization organizationIds", "query device serials",
		"body resource actions[].resource", "body device byPort.*.deviceSerial", "body network copyFromNetworkId",
		"body organization destOrganizationId", "body network networks[].id", "body network peers[].network.ids",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("owners:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(b.warnings) != 1 || !strings.Contains(b.warnings[0], "the owner none leads to nothing") {
		t.Errorf("warnings %q", b.warnings)
	}
}
