//go:build openapi

package transcode

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/contract"
)

// These tests hold the transcoder against the examples of the vendor's OpenAPI
// document, which is not part of this project: MERAKI_OPENAPI names the file,
// plain or gzip.

// An example is one JSON document of the vendor's.
type example struct {
	operation string
	status    string // of a response
	document  json.RawMessage
}

type examples struct{ responses, requests []example }

var readExamples = sync.OnceValues(func() (*examples, error) {
	name := os.Getenv("MERAKI_OPENAPI")
	if name == "" {
		return nil, fmt.Errorf("MERAKI_OPENAPI has to name the OpenAPI document")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	type content map[string]struct {
		Example json.RawMessage
		Schema  struct{ Example json.RawMessage }
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string
			Responses   map[string]struct{ Content content }
			RequestBody struct{ Content content }
		}
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	all := new(examples)
	for _, verbs := range document.Paths {
		for _, op := range verbs {
			for status, r := range op.Responses {
				for _, c := range r.Content {
					if len(c.Example) > 0 {
						all.responses = append(all.responses, example{op.OperationID, status, c.Example})
					}
				}
			}
			for _, c := range op.RequestBody.Content {
				if len(c.Example) == 0 {
					c.Example = c.Schema.Example
				}
				if len(c.Example) > 0 {
					all.requests = append(all.requests, example{operation: op.OperationID, document: c.Example})
				}
			}
		}
	}
	for _, list := range [][]example{all.responses, all.requests} {
		sort.Slice(list, func(i, j int) bool {
			return list[i].operation+list[i].status < list[j].operation+list[j].status
		})
	}
	return all, nil
})

// vendor gives the examples and the contract.
func vendor(t testing.TB) (*examples, *contract.Contract, *Compiler) {
	t.Helper()
	all, err := readExamples()
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	return all, c, NewCompiler()
}

func planOf(t testing.TB, c *contract.Contract, compiler *Compiler, id string) (*Plan, *contract.Method) {
	t.Helper()
	m := c.Operation(id)
	if m == nil {
		t.Fatalf("the contract has no %s", id)
	}
	p, err := compiler.Compile(m.Descriptor, m.Operation)
	if err != nil {
		t.Fatal(err)
	}
	return p, m
}

// oneRow are operations for which the document describes one object, but has
// perPage and startingAfter: the Dashboard answers with a list, and so says the
// contract. The example is read as a list of one, counted as converted.
var oneRow = map[string]bool{
	"getOrganizationApplianceDevicesRedundancyByNetwork":       true,
	"getOrganizationAssuranceImpactedDeviceWirelessByNetwork":  true,
	"getOrganizationWirelessSsidsProfiles":                     true,
	"getOrganizationWirelessSsidsProfilesAssignmentsByNetwork": true,
	"getOrganizationWirelessSsidsProfilesOverviews":            true,
}

// responseExceptions are the response examples that do not come back.
var responseExceptions = map[string]string{
	"deleteNetworkFloorPlan 204": "204 has no content, whatever the document shows: the response is google.protobuf.Empty",
}

// TestResponseExamples: every response example goes from JSON to the wire and
// back, comes back equal, and has no drift.
func TestResponseExamples(t *testing.T) {
	all, c, compiler := vendor(t)
	var withEmpties []string
	for _, e := range all.responses {
		p, m := planOf(t, c, compiler, e.operation)
		var drifts []string
		wire, err := p.Response(nil, e.document, &Page{HasNext: true}, func(path string, d Drift) {
			drifts = append(drifts, path+" "+d.String())
		})
		if err != nil {
			t.Error(err)
			continue
		}
		want := decode(t, e.document)
		if oneRow[e.operation] {
			if len(drifts) != 1 || drifts[0] != "items converted" {
				t.Errorf("%s: drifts %q of an example with one row", e.operation, drifts)
			}
			drifts, want = nil, []any{want}
		}
		if responseExceptions[e.operation+" "+e.status] != "" {
			if len(drifts) == 0 {
				t.Errorf("%s %s is an exception without need", e.operation, e.status)
			}
			continue
		}
		for _, found := range drifts {
			t.Errorf("%s %s: drift at %s", e.operation, e.status, found)
		}
		message := dynamicpb.NewMessage(m.Descriptor.Output())
		if err := (proto.UnmarshalOptions{}).Unmarshal(wire, message); err != nil || len(message.GetUnknown()) > 0 {
			t.Errorf("%s: the wire does not parse: %v", e.operation, err)
		}
		back, err := p.Document(wire)
		if err != nil {
			t.Error(err)
			continue
		}
		d := new(difference)
		d.compare("", want, decode(t, back))
		for _, found := range d.found {
			t.Errorf("%s %s: %s", e.operation, e.status, found)
		}
		if d.empties > 0 {
			withEmpties = append(withEmpties, fmt.Sprintf("%s (%d)", e.operation, d.empties))
		}
	}
	t.Logf("%d response examples, %d exceptions, %d with one row for a list; an empty list or map is an absent one in %d of them: %s", len(all.responses), len(responseExceptions), len(oneRow), len(withEmpties), strings.Join(withEmpties, ", "))
	if len(all.responses) < 900 {
		t.Errorf("%d response examples are too few", len(all.responses))
	}
}

// requestExceptions are request examples with members that the document's own
// schema of the body does not have.
var requestExceptions = map[string]string{
	"bindAdministeredLicensingSubscriptionSubscription":   "validate is a parameter of the query",
	"claimAdministeredLicensingSubscriptionSubscriptions": "validate is a parameter of the query",
	"claimNetworkDevices":                                 "addAtomically is a parameter of the query",
	"createOrganizationCameraRole":                        "the schema's rows of appliedOrgWide have neither tag nor id",
	"updateNetworkApplianceVlan":                          "the schema has no vpn, adaptivePolicyGroupId, vrf.name, ipv6.prefixAssignments[].disabled",
	"updateNetworkSensorMqttBroker":                       "mqttBrokerId is a parameter of the path",
	"updateNetworkSwitchDhcpServerPolicy":                 "the schema has no alwaysAllowedServers",
	"updateNetworkSwitchRoutingOspf":                      "vrf is a parameter of the query",
	"updateOrganizationCameraRole":                        "the schema's rows of appliedOrgWide have neither tag nor id",
}

// TestRequestExamples: every request example goes from JSON to the wire of the
// request message, and back through Request as the body. Empty lists and
// objects are named in empty_fields, so they come back, too.
func TestRequestExamples(t *testing.T) {
	all, c, compiler := vendor(t)
	for _, e := range all.requests {
		p, m := planOf(t, c, compiler, e.operation)
		wire, drifts := requestWire(t, p, m.Descriptor.Input(), e.document, true)
		want := decode(t, e.document)
		if reason := requestExceptions[e.operation]; reason != "" {
			if len(drifts) == 0 {
				t.Errorf("%s is listed as an exception (%s) without need", e.operation, reason)
			}
			continue
		}
		for _, d := range drifts {
			t.Errorf("%s: %s", e.operation, d)
		}
		r, err := p.Request(wire)
		if err != nil {
			t.Errorf("%v (%#v)", err, err)
			continue
		}
		d := new(difference)
		d.compare("", want, decode(t, r.Body))
		for _, found := range d.found {
			t.Errorf("%s: %s", e.operation, found)
		}
		if d.empties > 0 {
			t.Errorf("%s: %d empty lists or objects are lost", e.operation, d.empties)
		}
	}
	t.Logf("%d request examples, %d of them are exceptions", len(all.requests), len(requestExceptions))
	if len(all.requests) < 360 {
		t.Errorf("%d request examples are too few", len(all.requests))
	}
}
