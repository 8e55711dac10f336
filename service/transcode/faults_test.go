package transcode

import (
	"strings"
	"testing"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// A documentFault is one way in which the Dashboard answers otherwise than its
// document says, by the shape that has been reported.
type documentFault struct {
	id, doc string
	// rows is how many items the typed answer has; -1 when it is none.
	rows int
	// drift is what still differs: nothing, where the contract has been corrected.
	drift string
}

// answerFaults are the reports: what came has to come through, in its field where
// the contract has been corrected, in additional_properties otherwise.
var answerFaults = []documentFault{
	{"getNetworkClients", `[{"id":"k1","firstSeen":"2025-03-01T10:00:00Z","lastSeen":"2025-03-01T11:00:00Z","usage":{"sent":1,"recv":2.5}}]`, 1, ""},
	{"getNetworkClientsBandwidthUsageHistory", `[{"ts":"2025-03-01T10:00:00Z","total":3.29,"upstream":1.1,"downstream":2.19}]`, 1, ""},
	{"getOrganizationClientsBandwidthUsageHistory", `[{"ts":"2025-03-01T10:00:00Z","total":3.29,"upstream":1.1,"downstream":2.19}]`, 1, ""},
	{"getNetworkWirelessMeshStatuses", `[{"serial":"Q2","meshRoute":["Q2","Q3"],"latestMeshPerformance":{"mbps":26.5,"metric":1,"usagePercentage":"10%"}}]`, 1, ""},
	{"getNetworkWirelessUsageHistory", `[{"startTs":"2025-03-01T10:00:00Z","endTs":"2025-03-01T11:00:00Z","totalKbps":1.25,"sentKbps":0.5,"receivedKbps":0.75}]`, 1, ""},
	{"getNetworkWirelessDataRateHistory", `[{"startTs":"2025-03-01T10:00:00Z","endTs":"2025-03-01T11:00:00Z","averageKbps":20.5,"downloadKbps":11.25,"uploadKbps":9.25}]`, 1, ""},
	{"getDeviceLossAndLatencyHistory", `[{"startTime":"2025-03-01T10:00:00Z","endTime":"2025-03-01T11:00:00Z","lossPercent":5.5,"latencyMs":100.25,"goodput":1500.5,"jitter":0.25}]`, 1, ""},
	{"getNetworkWirelessLatencyHistory", `[{"startTs":"2025-03-01T10:00:00Z","endTs":"2025-03-01T11:00:00Z","avgLatencyMs":606.5}]`, 1, ""},
	{"getNetworkInsightApplicationHealthByTime", `[{"startTs":"2025-03-01T10:00:00Z","wanGoodput":1650890.5,"lanGoodput":2000000.25,"wanLatencyMs":1.5}]`, 1, ""},
	{"getOrganizationInsightApplications", `[{"applicationId":"1","thresholds":{"type":"smart","byNetwork":[{"networkId":"N_1","goodput":50000.5,"responseDuration":1000}]}}]`, 1, ""},
	{"getOrganizationApplianceVpnStats", `[{"networkId":"N_1","merakiVpnPeers":[{"networkId":"N_2","latencySummaries":[{"senderUplink":"wan1","avgLatencyMs":43.25,"minLatencyMs":30.5,"maxLatencyMs":101.75}]}]}]`, 1, ""},
	{"getAdministeredLicensingSubscriptionEntitlements", `[{"sku":"a","name":"A","productType":"wireless"},{"sku":"b"}]`, 2, ""},
	{"getOrganizationEarlyAccessFeaturesOptIns", `[{"id":"1","shortName":"has_magnetic_tape"},{"id":"2"}]`, 2, ""},
	{"getNetworkWirelessRfProfiles", `[{"id":"1","name":"indoor","minBitrateType":"band","twoFourGhzSettings":{"minBitrate":5.5}}]`, 1, ""},
	{"getNetworkApplianceTrafficShapingRules", `{"defaultRulesEnabled":true,"rules":[{"definitions":[{"type":"application","value":{"id":"meraki:layer7/application/67","name":"Spotify"}},{"type":"host","value":"google.com"},
		{"type":"applicationCategory","value":{"id":"meraki:layer7/category/2","name":"Blogging"}}],"perClientBandwidthLimits":{"settings":"custom"},"priority":"normal"}]}`, -1, ""},
	{"getNetworkWirelessSsidTrafficShapingRules", `{"trafficShapingEnabled":true,"rules":[{"definitions":[{"type":"application","value":{"id":"meraki:layer7/application/67","name":"Spotify"}}],"dscpTagValue":0}]}`, -1, ""},
	{"getNetworkApplianceFirewallL7FirewallRules", `{"rules":[{"policy":"deny","type":"blockedCountries","value":["IT","IL"]},{"policy":"deny","type":"application","value":{"id":"meraki:layer7/application/67","name":"Spotify"}},{"policy":"deny","type":"host","value":"google.com"}]}`, -1, ""},
	{"getNetworkWirelessSsidFirewallL7FirewallRules", `{"rules":[{"policy":"deny","type":"allowedCountries","value":["CA"]},{"policy":"deny","type":"port","value":"23"}]}`, -1, ""},
	{"getNetworkGroupPolicies", `[{"groupPolicyId":"101","name":"No video","firewallAndTrafficShaping":{"l7FirewallRules":[{"policy":"deny","type":"applicationCategory","value":{"id":"meraki:layer7/category/2"}}],
		"trafficShapingRules":[{"definitions":[{"type":"application","value":{"id":"1","name":"x"}}]}]}}]`, 1, ""},
	{"getNetworkGroupPolicy", `{"groupPolicyId":"101","name":"No video"}`, -1, ""},
	{"getOrganizationPolicyObjects", `[{"id":"1","type":"cidr","cidr":"10.0.0.0/24"},{"id":"2","type":"fqdn","fqdn":"example.com"},{"id":"3","type":"ipAndMask","ip":"1.2.3.4","mask":"255.255.255.0"}]`, 3, ""},
	{"getNetworkEvents", `{"message":null,"pageStartAt":"2025-03-01T10:00:00Z","pageEndAt":"2025-03-01T11:00:00Z","events":[{"type":"dhcp_lease","eventData":{"duration":"86400","vap":"0","router":"10.0.0.1","ip":"10.0.0.7"}},{"type":"boot","eventData":{}}]}`, -1, ""},
	{"getOrganizationNetworks", `{"items":[{"id":"N_1"},{"id":"N_2"}],"meta":{"counts":{"items":{"total":2,"remaining":0}}}}`, 2, "meta unknown_field,$ converted"},
	{"getOrganizationDevices", `{"items":[{"serial":"Q1"}]}`, 1, "$ converted"},
	{"getOrganizationDevices", `{"status":"unavailable"}`, 0, "status unknown_field,$ left_out"},
	{"getNetworkFirmwareUpgrades", `{"products":{"wireless":{"nextUpgrade":{"time":"","toVersion":{"id":"7"}}}},"timezone":"America/Los_Angeles"}`, -1, ""},
	{"getNetworkEvents", `{"events":[{"type":"boot","eventData":{"client":9223372036854775807}}]}`, -1, "events[].eventData converted"},
}

// TestDocumentFaults: each comes back as it came, with the rows that it has, and in
// the fields that the contract has for it.
func TestDocumentFaults(t *testing.T) {
	t.Parallel()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range answerFaults {
		m := c.Operation(f.id)
		if m == nil {
			t.Fatalf("the contract has no %s", f.id)
		}
		p, err := Compile(m.Descriptor, m.Operation)
		if err != nil {
			t.Fatal(err)
		}
		compareRoundTrip(t, p, []byte(f.doc))
		var drifts []string
		wire, err := p.Response(nil, []byte(f.doc), nil, func(path string, d Drift) { drifts = append(drifts, path+" "+d.String()) })
		if err != nil {
			t.Fatal(err)
		}
		if drift := strings.Join(drifts, ","); drift != f.drift {
			t.Errorf("%s: %.200s drifts %q, want %q", f.id, f.doc, drift, f.drift)
		}
		message := dynamicpb.NewMessage(m.Descriptor.Output())
		if err := proto.Unmarshal(wire, message); err != nil || len(message.GetUnknown()) > 0 {
			t.Errorf("%s: the wire does not parse: %v", f.id, err)
		}
		if items := m.Descriptor.Output().Fields().ByName("items"); f.rows >= 0 && items != nil && items.IsList() && message.Get(items).List().Len() != f.rows {
			t.Errorf("%s: %d rows, want %d", f.id, message.Get(items).List().Len(), f.rows)
		}
	}
}

// TestErrorsForAList: a list that is answered with errors has no row.
func TestErrorsForAList(t *testing.T) {
	t.Parallel()
	lists := 0
	for _, c := range served(t) {
		if c.plan.rows == nil || c.plan.both || c.plan.page == 0 || c.op.GetVerb() != apiv1.Verb_VERB_GET {
			continue
		}
		lists++
		for _, doc := range []string{`{"errors":["Too many"]}`, `{"errors":"Too many"}`, `{"errors":[{"message":"Too many"}],"items":null}`} {
			_, err := c.plan.Response(nil, []byte(doc), nil, nil)
			if f := fault.As(err); f == nil || f.Reason != "ANSWERED_WITH_ERRORS" || len(f.Messages) != 1 || !strings.Contains(f.Messages[0], "Too many") {
				t.Errorf("%s: %s: %v", c.op.GetId(), doc, err)
			}
		}
	}
	if t.Logf("%d reads of lists", lists); lists < 250 {
		t.Errorf("%d reads of lists are too few", lists)
	}
}

// TestDocumentFaultsInRequests: what the Dashboard takes and its document does
// not show is sent.
func TestDocumentFaultsInRequests(t *testing.T) {
	t.Parallel()
	c, err := contract.Load()
	if err != nil {
		t.Fatal(err)
	}
	for id, doc := range map[string]string{
		"updateNetworkApplianceTrafficShapingRules":        `{"rules":[{"definitions":[{"type":"application","value":{"id":"meraki:layer7/application/67","name":"Spotify"}},{"type":"host","value":"google.com"}]}]}`,
		"updateNetworkWirelessSsidTrafficShapingRules":     `{"rules":[{"definitions":[{"type":"applicationCategory","value":{"id":"meraki:layer7/category/2"}}]}]}`,
		"updateNetworkApplianceFirewallL7FirewallRules":    `{"rules":[{"policy":"deny","type":"blockedCountries","value":["IT"]},{"policy":"deny","type":"application","value":{"id":"1"}},{"policy":"deny","type":"host","value":"a.com"}]}`,
		"updateNetworkWirelessSsidFirewallL7FirewallRules": `{"rules":[{"policy":"deny","type":"allowedCountries","value":["CA"]}]}`,
		"updateNetworkGroupPolicy":                         `{"name":"n","firewallAndTrafficShaping":{"l7FirewallRules":[{"policy":"deny","type":"application","value":{"id":"1"}}]}}`,
		"updateOrganizationPolicyObject":                   `{"name":"n","fqdn":"example.com","ip":"1.2.3.4","mask":"255.255.255.0","groupIds":["8"]}`,
	} {
		m := c.Operation(id)
		p, err := Compile(m.Descriptor, m.Operation)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := bodyPlan(p, p.request).Response(nil, []byte(doc), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Request(withParameters(t, p, m.Descriptor.Input(), wire))
		if err != nil {
			t.Error(err)
			continue
		}
		want, _ := decode([]byte(doc))
		got, _ := decode(r.Body)
		var d difference
		if d.compare("$", want, got, bodyPlan(p, p.request).rootField(want), false); len(d.found) > 0 {
			t.Errorf("%s: %s\nwas sent as %s: %q", id, doc, r.Body, d.found)
		}
	}
}
