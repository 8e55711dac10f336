//go:build openapi

package main

import (
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/merakibroker/merakibroker/cmd/merakigen/internal/model"
	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
)

// spoken is an operation as encoding/json reads it.
type spoken struct {
	path, verb  string
	OperationID string
	Parameters  []struct {
		Name, In string
		Schema   *said
	}
	RequestBody *content
	Responses   map[string]content
}

type content struct {
	Content map[string]struct{ Schema *said }
}

// said is a schema as encoding/json reads it.
type said struct {
	Type, Format         string
	Properties           map[string]*said
	Items                *said
	AdditionalProperties json.RawMessage
	OneOf                []*said
}

// rest is what further properties look like; nil when that is not said.
func (s *said) rest() *said {
	more := new(said)
	if json.Unmarshal(s.AdditionalProperties, more) != nil || more.Type == "" {
		return nil
	}
	return more
}

func (op *spoken) paginated() bool {
	for _, p := range op.Parameters {
		if p.Name == "perPage" {
			return true
		}
	}
	return false
}

// A judge holds one contract against the document.
type judge struct {
	*testing.T
	what     string
	contract *contract.Contract
	exact    bool
	seen     map[protoreflect.FullName]bool
	// fits counts the descriptions that a field has the type of, and misfits has
	// those that it has not: one property may be described in two ways, and its
	// field has one type.
	fits    map[protoreflect.FullName]int
	misfits map[protoreflect.FullName][]string
}

// otherwise are the fields that have no type which the document describes, by the
// ends of their names: because the wire has another (faults.yaml says why), or
// because an answer and a request have two forms of one thing.
var otherwise = map[string]string{
	"OrganizationEarlyAccessFeaturesOptIn.limit_scope_to_networks": "objects in the answer, ids in the request",
	"EarlyAccessFeaturesOptInRequest.limit_scope_to_networks":      "objects in the answer, ids in the request",
	"ApplianceContentFilteringRequest.blocked_url_categories":      "objects in the answer, ids in the request",
	"NetworkApplianceContentFiltering.blocked_url_categories":      "objects in the answer, ids in the request",
	"Webhook.recipients":                                                  "objects in the answer, ids in the request",
	"Swaps.Devices.new":                                                   "an object in the answer, a serial in the request",
	"Swaps.Devices.old":                                                   "an object in the answer, a serial in the request",
	"NetworkPiiRequest.datasets":                                          "text in the answer, a list in the request",
	"CreateNetworkPiiRequestRequest.datasets":                             "text in the answer, a list in the request",
	"NetworkCameraQualityRetentionProfileRequest.video_settings":          "keys are models; the answer says a map",
	"UpdateNetworkApplianceVlanRequest.fixed_ip_assignments":              "keys are addresses; the answer says a map",
	"OrganizationPolicyObjectsGroup.object_ids":                           "text in the request",
	"Rules.value":                                                         "a union told in prose",
	"Rules.Definitions.value":                                             "a union told in prose",
	"L7FirewallRules.value":                                               "a union told in prose",
	"TrafficShapingRules.Definitions.value":                               "a union told in prose",
	"GetNetworkEventsResponse.Item.event_data":                            "one sample was taken for a schema",
	"NetworkClient.first_seen":                                            "ISO 8601 or a number",
	"NetworkClient.last_seen":                                             "ISO 8601 or a number",
	"GetNetworkWirelessUsageHistoryResponse.Item.total_kbps":              "a fraction",
	"GetNetworkWirelessUsageHistoryResponse.Item.sent_kbps":               "a fraction",
	"GetNetworkWirelessUsageHistoryResponse.Item.received_kbps":           "a fraction",
	"GetNetworkWirelessDataRateHistoryResponse.Item.average_kbps":         "a fraction",
	"GetNetworkWirelessDataRateHistoryResponse.Item.download_kbps":        "a fraction",
	"GetNetworkWirelessDataRateHistoryResponse.Item.upload_kbps":          "a fraction",
	"GetNetworkWirelessLatencyHistoryResponse.Item.avg_latency_ms":        "a fraction",
	"LatencySummaries.avg_latency_ms":                                     "a fraction",
	"LatencySummaries.min_latency_ms":                                     "a fraction",
	"LatencySummaries.max_latency_ms":                                     "a fraction",
	"GetOrganizationClientsBandwidthUsageHistoryResponse.Item.total":      "a fraction",
	"GetOrganizationClientsBandwidthUsageHistoryResponse.Item.upstream":   "a fraction",
	"GetOrganizationClientsBandwidthUsageHistoryResponse.Item.downstream": "a fraction",
	"GetDeviceLossAndLatencyHistoryResponse.Item.goodput":                 "a fraction",
	"Thresholds.ByNetwork.goodput":                                        "a fraction",
	"GetNetworkInsightApplicationHealthByTimeResponse.Item.wan_goodput":   "a fraction",
	"GetNetworkInsightApplicationHealthByTimeResponse.Item.lan_goodput":   "a fraction",
	"LatestMeshPerformance.mbps":                                          "a fraction",
}

// settled says which fields have a type that no description has.
func (j *judge) settled() {
	used := make(map[string]bool)
	for f, lines := range j.misfits {
		if j.fits[f] > 0 {
			continue
		}
		known := false
		for end := range otherwise {
			if strings.HasSuffix(string(f), end) {
				known, used[end] = true, true
			}
		}
		if !known {
			j.Errorf("%s: %s", j.what, lines[0])
		}
	}
	for end := range otherwise {
		if !used[end] {
			j.Errorf("%s: no field %s has another type than the document describes", j.what, end)
		}
	}
}

// misfit notes a description that a field has not the type of.
func (j *judge) misfit(f protoreflect.FieldDescriptor, where, is, says string) {
	j.misfits[f.FullName()] = append(j.misfits[f.FullName()], where+": "+string(f.FullName())+" is "+is+", the document says "+says)
}

func (j *judge) operation(op *spoken, m *contract.Method) {
	in := m.Descriptor.Input()
	for _, p := range op.Parameters {
		f := j.named(in, p.Name, map[string]apiv1.Location{"path": apiv1.Location_LOCATION_PATH, "query": apiv1.Location_LOCATION_QUERY}[p.In], m.Operation)
		if f == nil {
			j.Errorf("%s: %s has no field for %s parameter %s", j.what, op.OperationID, p.In, p.Name)
			continue
		}
		s := p.Schema
		for _, v := range s.OneOf {
			if v.Type == "object" {
				s = v
			}
		}
		j.value(f, s, op.OperationID+" "+p.Name)
	}
	if op.RequestBody != nil {
		for name, s := range op.RequestBody.Content["application/json"].Schema.Properties {
			if name == "_json" { // it stands for the whole body
				name = m.Operation.GetRequestField()
			}
			j.resource(m.Descriptor.Output(), name)
			if f := j.named(in, name, apiv1.Location_LOCATION_BODY, m.Operation); f != nil {
				j.value(f, s, op.OperationID+" body "+name)
			} else {
				j.Errorf("%s: %s has no field for %s of the body", j.what, op.OperationID, name)
			}
		}
	}
	for code, r := range op.Responses {
		s := r.Content["application/json"].Schema
		out := m.Descriptor.Output()
		if s == nil || code == "204" {
			if n := out.Fields().Len(); n != 1 {
				j.Errorf("%s: %s answers with nothing, and %s has %d fields", j.what, op.OperationID, out.FullName(), n)
			}
			continue
		}
		if s.Type == "array" && len(s.Items.Properties) == 2 && s.Items.Properties["items"] != nil && s.Items.Properties["meta"] != nil {
			s = s.Items // a list of pages is described where one page comes
			j.value(out.Fields().ByName("meta"), s.Properties["meta"], op.OperationID+" answer.meta")
			s = s.Properties["items"]
		}
		if whole := m.Operation.GetResponseField(); whole != "" {
			f := out.Fields().ByName(protoreflect.Name(whole))
			if s.Type == "object" && f.IsList() { // one row is shown where the rows are
				s = &said{Type: "array", Items: s}
			}
			j.value(f, s, op.OperationID+" answer")
			continue
		}
		j.object(out, s, op.OperationID+" answer")
	}
}

// resource marks the field of an answer that the request describes as well: what
// can be written can be read.
func (j *judge) resource(out protoreflect.MessageDescriptor, name string) {
	for i := range out.Fields().Len() {
		if f := out.Fields().Get(i); f.JSONName() == name {
			j.seen[f.FullName()] = true
		}
	}
}

// named finds the field of a request that goes to a place.
func (j *judge) named(in protoreflect.MessageDescriptor, name string, at apiv1.Location, op *apiv1.Operation) protoreflect.FieldDescriptor {
	for i := range in.Fields().Len() {
		f := in.Fields().Get(i)
		b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
		wire, where := f.JSONName(), b.GetLocation()
		if b.GetName() != "" {
			wire = b.GetName()
		}
		if where == 0 {
			switch {
			case strings.Contains(op.GetPath(), "{"+wire+"}"):
				where = apiv1.Location_LOCATION_PATH
			case op.GetVerb() == apiv1.Verb_VERB_GET || op.GetVerb() == apiv1.Verb_VERB_DELETE:
				where = apiv1.Location_LOCATION_QUERY
			default:
				where = apiv1.Location_LOCATION_BODY
			}
		}
		if wire == name && where == at {
			return f
		}
	}
	return nil
}

func (j *judge) object(m protoreflect.MessageDescriptor, s *said, where string) {
	for name, p := range s.Properties {
		var found protoreflect.FieldDescriptor
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
			if b.GetLocation() != apiv1.Location_LOCATION_NONE && (b.GetName() == name || b.GetName() == "" && f.JSONName() == name) {
				found = f
			}
		}
		if found == nil {
			j.Errorf("%s: %s: %s has no field for %s", j.what, where, m.FullName(), name)
			continue
		}
		j.value(found, p, where+"."+name)
	}
}

// value holds one field against its schema.
func (j *judge) value(f protoreflect.FieldDescriptor, s *said, where string) {
	j.seen[f.FullName()] = true
	want, single := "", !f.IsList() && !f.IsMap()
	switch {
	case s.Type == "array" && !f.IsList():
		want = "a list"
	case s.Type == "array":
		j.element(f, s.Items, where+"[]")
		return
	case s.Type == "object" && len(s.Properties) > 0 && f.IsMap():
		for name, p := range s.Properties {
			if strings.Trim(name, "0123456789.") != "" && name != "total" {
				want = "a message"
			}
			j.element(f.MapValue(), p, where+"."+name)
		}
	case s.Type == "object" && len(s.Properties) == 0 && s.rest() != nil:
		if f.IsMap() {
			j.element(f.MapValue(), s.rest(), where+".*")
			return
		}
		want = "a map"
	case !single:
		want = "one value"
	default:
		j.item(f, s, where)
		return
	}
	if want != "" && j.exact {
		j.misfit(f, where, "not", want)
	}
}

// element is one value of a list or map; one that is a list itself stands in a
// message of its own.
func (j *judge) element(f protoreflect.FieldDescriptor, s *said, where string) {
	if s.Type == "array" {
		j.value(f.Message().Fields().Get(0), s, where)
		return
	}
	j.item(f, s, where)
}

func kindOf(f protoreflect.FieldDescriptor) string {
	if f.Message() == nil {
		return f.Kind().String()
	}
	if f.Message().ParentFile().Package() == "google.protobuf" {
		return string(f.Message().Name())
	}
	return "message"
}

func (j *judge) item(f protoreflect.FieldDescriptor, s *said, where string) {
	kind := kindOf(f)
	want := map[string]string{"string": "string", "integer": "int64", "number": "double", "boolean": "bool", "": "Value"}[s.Type]
	switch {
	case s.Type == "string" && s.Format == "date-time":
		want = "Timestamp"
	case s.Type == "object" && len(s.Properties) == 0:
		want = "Struct"
	case s.Type == "object":
		want = "message"
	}
	switch {
	case kind == "message" && want == "message":
		j.fits[f.FullName()]++
		j.object(f.Message(), s, where)
	case kind == want:
		j.fits[f.FullName()]++
	case j.exact:
		j.misfit(f, where, kind, want)
	}
}

// backwards: what nothing in the document stands for.
func (j *judge) backwards(operations map[string]*spoken, files *protoregistry.Files) {
	for _, m := range j.contract.Methods() {
		if operations[m.Operation.GetId()] == nil {
			j.Errorf("%s: %s is an RPC for nothing", j.what, m.Name)
		}
	}
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
			if !j.seen[f.FullName()] && b.GetLocation() != apiv1.Location_LOCATION_NONE && !m.IsMapEntry() &&
				f.Number() != model.AdditionalPropertiesNumber {
				j.Errorf("%s: %s is a field for nothing", j.what, f.FullName())
			}
		}
		for i := range m.Messages().Len() {
			walk(m.Messages().Get(i))
		}
	}
	files.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if ours(f) {
			for i := range f.Messages().Len() {
				walk(f.Messages().Get(i))
			}
		}
		return true
	})
}
