//go:build openapi

package transcode

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
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
// contract. The example is kept as it is, and counted as drift.
var oneRow = map[string]bool{
	"getOrganizationApplianceDevicesRedundancyByNetwork":       true,
	"getOrganizationAssuranceImpactedDeviceWirelessByNetwork":  true,
	"getOrganizationWirelessSsidsProfiles":                     true,
	"getOrganizationWirelessSsidsProfilesAssignmentsByNetwork": true,
	"getOrganizationWirelessSsidsProfilesOverviews":            true,
}

// TestResponseExamples: every response example goes from JSON to the wire and
// back, comes back equal, and has no drift.
func TestResponseExamples(t *testing.T) {
	all, c, compiler := vendor(t)
	var sum difference
	for _, e := range all.responses {
		p, m := planOf(t, c, compiler, e.operation)
		drifts := 0
		wire, err := p.Response(nil, e.document, &Page{HasNext: true}, func(path string, d Drift) {
			if drifts++; !oneRow[e.operation] && !overridden[e.operation] {
				t.Errorf("%s %s: drift at %s: %s", e.operation, e.status, path, d)
			}
		})
		if err != nil {
			t.Error(err)
			continue
		}
		if drifts == 0 && (oneRow[e.operation] || overridden[e.operation]) {
			t.Errorf("%s is an exception without need", e.operation)
		}
		message := dynamicpb.NewMessage(m.Descriptor.Output())
		if err := (proto.UnmarshalOptions{}).Unmarshal(wire, message); err != nil || len(message.GetUnknown()) > 0 {
			t.Errorf("%s: the wire does not parse: %v", e.operation, err)
		}
		d := compareRoundTrip(t, p, e.document)
		sum.nulls, sum.empties, sum.times = sum.nulls+d.nulls, sum.empties+d.empties, sum.times+d.times
	}
	t.Logf("%d response examples, %d with one row for a list; absent are %d nulls, %d empty lists or maps, %d empty date-times", len(all.responses), len(oneRow), sum.nulls, sum.empties, sum.times)
	if len(all.responses) < 900 {
		t.Errorf("%d response examples are too few", len(all.responses))
	}
}

// overridden are operations whose example shows what the Dashboard does not
// send, so that it is drift: the generator's overrides have the reasons.
var overridden = func() map[string]bool {
	all := make(map[string]bool)
	for _, id := range []string{
		"deleteNetworkFloorPlan", // a 204 has no content, whatever the document shows
		// Ids and times are texts on the wire.
		"createOrganizationPolicyObjectsGroup", "getOrganizationPolicyObjectsGroup", "getOrganizationPolicyObjectsGroups", "updateOrganizationPolicyObjectsGroup",
		"createOrganizationWirelessSsidsProfile", "updateOrganizationWirelessSsidsProfile", "getDeviceCameraCustomAnalytics", "updateDeviceCameraCustomAnalytics",
		"getNetworkClient", "getNetworkClients",
		// A list on the wire, where the document shows one object.
		"getAdministeredLicensingSubscriptionEntitlements", "getNetworkWirelessRfProfiles", "getOrganizationEarlyAccessFeaturesOptIns",
		// An object with items on the wire, where the document shows a list of such objects.
		"getOrganizationCellularGatewayEsimsServiceProvidersAccounts", "getOrganizationFloorPlansAutoLocateDevices", "getOrganizationFloorPlansAutoLocateStatuses",
		"getOrganizationSmSentryPoliciesAssignmentsByNetwork", "getOrganizationWirelessControllerDevicesRedundancyFailoverHistory",
		"getOrganizationWirelessDevicesProvisioningDeployments", "getOrganizationWirelessDevicesRadsecCertificatesAuthorities", "getOrganizationWirelessRfProfilesAssignmentsByDevice",
	} {
		all[id] = true
	}
	return all
}()

// mutations is how many times each example is changed: a few in every run, and 100 by
// `make mutations`.
var mutations = flag.Int("mutations", 4, "how many times each of the vendor's examples is changed")

// seedOf makes the random numbers of one example; a failure names them.
func seedOf(t *testing.T, e example, n int) mutator {
	seed := uint64(*mutationSeed)
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
		*mutationSeed = int64(seed)
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(e.operation + e.status))
	return mutator{rand.New(rand.NewPCG(seed, h.Sum64()+uint64(n)))}
}

var mutationSeed = flag.Int64("mutations.seed", 0, "the seed of a run that failed")

// TestMutatedResponses: every response example, changed at random, comes back
// from the wire as it was.
func TestMutatedResponses(t *testing.T) {
	all, c, compiler := vendor(t)
	var sum difference
	for _, e := range all.responses {
		p, m := planOf(t, c, compiler, e.operation)
		for n := range *mutations {
			doc := seedOf(t, e, n).document(e.document)
			d := compareRoundTrip(t, p, doc)
			sum.nulls, sum.empties, sum.times = sum.nulls+d.nulls, sum.empties+d.empties, sum.times+d.times
			if n == 0 { // what was made of it is protobuf
				wire, _ := p.Response(nil, doc, nil, nil)
				message := dynamicpb.NewMessage(m.Descriptor.Output())
				if err := proto.Unmarshal(wire, message); err != nil || len(message.GetUnknown()) > 0 {
					t.Errorf("%s: the wire of %s does not parse: %v", e.operation, doc, err)
				}
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %d examples, %d mutations each; absent are %d nulls, %d empty lists or maps, %d empty date-times", *mutationSeed, len(all.responses), *mutations, sum.nulls, sum.empties, sum.times)
}

// TestMutatedRequests: every request example, changed at random and read into the
// request's message, is sent as it was, with what the message has no field for in
// additional_properties; and so it is when all of it stands there.
func TestMutatedRequests(t *testing.T) {
	all, c, compiler := vendor(t)
	for _, e := range all.requests {
		p, m := planOf(t, c, compiler, e.operation)
		if m.Operation.GetVerb() == apiv1.Verb_VERB_DELETE {
			continue // takes what is declared
		}
		for n := range *mutations {
			doc := seedOf(t, e, n).document(e.document)
			if p.whole >= 0 {
				// A body that is a list has no object around it that could hold what is no
				// row: the message takes rows alone, and Call sends the rest.
				if rows(doc) {
					compareSent(t, p, m, doc, p.request)
				}
				continue
			}
			compareSent(t, p, m, doc, p.request)
			compareSent(t, p, m, doc, &message{additional: p.request.additional})
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %d examples, %d mutations each", *mutationSeed, len(all.requests), *mutations)
}

// rows tells a document that is a list of objects.
func rows(doc []byte) bool {
	var list []map[string]any
	if json.Unmarshal(doc, &list) != nil {
		return false
	}
	return !slices.ContainsFunc(list, func(row map[string]any) bool { return row == nil })
}

// compareSent reads a body into the fields of a message, and wants it back as
// the body of the request that is sent.
func compareSent(t *testing.T, p *Plan, m *contract.Method, doc []byte, fields *message) {
	t.Helper()
	want := bodyOf(t, p, doc)
	if object, ok := want.(map[string]any); ok && p.list != "" && onlyEmpties(object) || p.whole >= 0 && isEmpty(want) {
		return // refused: TestRequest
	}
	doc, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	wire, err := bodyPlan(p, fields).Response(nil, doc, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	wire = withParameters(t, p, m.Descriptor.Input(), wire)
	r, err := p.Request(wire)
	if err != nil {
		// An empty object is sent as it came, and lacks what it has to have.
		// No body at all, where the body is a list, is refused as well.
		if want != nil && refRequired(m.Operation, said(want)) == nil && refRequired(m.Operation, want) == nil {
			t.Errorf("%s: %v\n%s", p.operation, err, doc)
		}
		return // what is required and empty is named in no mask
	}
	got, err := decode(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var d difference
	d.compare("$", want, got, bodyPlan(p, fields).rootField(want), false)
	if len(d.found) > 0 {
		t.Errorf("%s: %.2000s\nwas sent as %.2000s:\n%s", p.operation, doc, r.Body, strings.Join(d.found, "\n"))
	}
}

// said is a body without the null and empty members that fields have no record of.
func said(body any) any {
	switch body := body.(type) {
	case map[string]any:
		out := make(map[string]any)
		for name, value := range body {
			if value != nil && !isEmpty(value) {
				out[name] = said(value)
			}
		}
		return out
	case []any:
		out := slices.Clone(body)
		for i := range out {
			out[i] = said(out[i])
		}
		return out
	}
	return body
}

// onlyEmpties tells an update that would change nothing.
func onlyEmpties(object map[string]any) bool {
	for _, value := range object {
		if value != nil && !isEmpty(value) {
			return false
		}
	}
	return true
}

// TestRequestExamples: every request example is sent as it is, empty lists and
// objects named in empty_fields.
func TestRequestExamples(t *testing.T) {
	all, c, compiler := vendor(t)
	undeclared := 0
	for _, e := range all.requests {
		p, m := planOf(t, c, compiler, e.operation)
		wire, drifts := requestWire(t, p, m.Descriptor.Input(), e.document, true)
		undeclared += min(len(drifts), 1)
		r, err := p.Request(wire)
		if err != nil {
			t.Errorf("%v (%#v)", err, err)
			continue
		}
		got, err := decode(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		d := new(difference)
		want := bodyOf(t, p, e.document)
		d.compare("$", want, got, bodyPlan(p, p.request).rootField(want), false)
		for _, found := range d.found {
			t.Errorf("%s: %s", e.operation, found)
		}
		if d.empties > 0 {
			t.Errorf("%s: %d empty lists or objects are lost", e.operation, d.empties)
		}
	}
	t.Logf("%d request examples, %d of them with properties that the schema does not have", len(all.requests), undeclared)
	if len(all.requests) < 360 {
		t.Errorf("%d request examples are too few", len(all.requests))
	}
	if undeclared > 9 {
		t.Errorf("%d request examples differ from the contract, more than before", undeclared)
	}
}
