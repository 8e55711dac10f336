package wireshape

import (
	"bytes"
	"encoding/json"
	"testing"
)

func decode(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// An answer of the document's shape, and what is made of it.
func TestRewrite(t *testing.T) {
	t.Parallel()
	const l7, shaping = "/networks/{networkId}/appliance/firewall/l7FirewallRules", "/networks/{networkId}/appliance/trafficShaping/rules"
	for _, row := range []struct{ method, path, in, want string }{
		{"GET", "/networks/{networkId}/clients", `[{"firstSeen":1782864000,"id":"k1"}]`, `[{"firstSeen":"2026-07-01T00:00:00Z","id":"k1"}]`},
		{"GET", "/anything", `{"a":[{"sentKbps":3,"totalKbps":1.5,"goodput":null}]}`, `{"a":[{"goodput":null,"sentKbps":3.29,"totalKbps":1.5}]}`},
		{"GET", "/anything", `{"free":{"detail":"value","count":3}}`, `{"free":{"count":9007199254740993,"detail":"value"}}`},
		{"GET", "/networks/{networkId}/wireless/rfProfiles", `{"id":"1"}`, `[{"id":"1"}]`},
		{"POST", "/networks/{networkId}/wireless/rfProfiles", `{"id":"1"}`, `{"id":"1"}`},
		{"GET", "/networks/{networkId}/wireless/rfProfiles", `[{"id":"1"}]`, `[{"id":"1"}]`},
		{"GET", l7, `{"rules":[{"type":"blockedCountries","value":["JP"]},{"type":"host","value":"a.example"},{"type":"port"}]}`,
			`{"rules":[{"type":"blockedCountries","value":["JP"]},{"type":"host","value":"a.example"},{"type":"port","value":"443"}]}`},
		{"PUT", l7, `{"rules":[{"type":"made up","value":"text"}]}`, `{"rules":[{"type":"application","value":{"id":"meraki:layer7/application/5","name":"Application 5"}}]}`},
		{"GET", shaping, `{"rules":[{"definitions":[{"type":"application","value":{"id":"9"}}]}]}`, `{"rules":[{"definitions":[{"type":"application","value":{"id":"9"}}]}]}`},
		{"GET", "/networks/{networkId}/firmwareUpgrades", `{"products":{"wireless":{"nextUpgrade":{"time":"2026-07-01T00:00:00Z"}}}}`, `{"products":{"wireless":{"nextUpgrade":{"time":""}}}}`},
		{"GET", "/networks/{networkId}/groupPolicies", `[{"groupPolicyId":"100"},{"name":"Guests"}]`, `[{"groupPolicyId":"100","name":"Policy 101"},{"name":"Guests"}]`},
		{"GET", l7, `"not an object"`, `"not an object"`},
		{"GET", l7, `{"rules":null}`, `{"rules":null}`},
	} {
		got, err := json.Marshal(Rewrite(row.path, row.method, decode(t, row.in)))
		if err != nil || string(got) != row.want {
			t.Errorf("%s %s %s: %s, want %s", row.method, row.path, row.in, got, row.want)
		}
	}
}

func TestAsItems(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`[{"id":"1"}]`: `{"items":[{"id":"1"}],"meta":{"counts":{"items":{"remaining":0,"total":1}}}}`,
		`{"id":"1"}`:   `{"id":"1"}`,
	} {
		if got, err := json.Marshal(AsItems(decode(t, in))); err != nil || string(got) != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

// A text where the Dashboard wants an object is refused, at any depth, on the
// paths that have such rules.
func TestRefuse(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		path, body string
		refused    bool
	}{
		{"/networks/{networkId}/groupPolicies", `{"firewallAndTrafficShaping":{"l7FirewallRules":[{"type":"application","value":"text"}]}}`, true},
		{"/networks/{networkId}/groupPolicies", `{"firewallAndTrafficShaping":{"l7FirewallRules":[{"type":"application","value":{"id":"1"}}]}}`, false},
		{"/networks/{networkId}/groupPolicies", `{"x":[{"type":"host","value":"text"}]}`, false},
		{"/networks/{networkId}", `{"type":"application","value":"text"}`, false},
	} {
		if got := Refuse(row.path, decode(t, row.body)) != ""; got != row.refused {
			t.Errorf("%s %s: refused %v", row.path, row.body, got)
		}
	}
}
