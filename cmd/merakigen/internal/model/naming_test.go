package model

import "testing"

func TestNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"perPage":              {"per_page", "PerPage"},
		"id":                   {"id", "Id"},
		"ipv6BridgeEnabled":    {"ipv6_bridge_enabled", "Ipv6BridgeEnabled"},
		"thirdPartyVPNPeers":   {"third_party_vpn_peers", "ThirdPartyVpnPeers"},
		"networkMTU":           {"network_mtu", "NetworkMtu"},
		"x509certSha1":         {"x509cert_sha1", "X509certSha1"},
		"bit_rate_bps":         {"bit_rate_bps", "BitRateBps"},
		"_json":                {"json", "Json"},
		"0.5":                  {"x0_5", "X05"},
		"1024":                 {"x1024", "X1024"},
		"MV12/MV22/MV72":       {"mv12_mv22_mv72", "Mv12Mv22Mv72"},
		"":                     {"x", "X"},
		"日本":                   {"x", "X"},
		"twoFourGhzSettings":   {"two_four_ghz_settings", "TwoFourGhzSettings"},
		"cellularGateway":      {"cellular_gateway", "CellularGateway"},
		"l3FirewallRules":      {"l3_firewall_rules", "L3FirewallRules"},
		"staticApplianceIp6":   {"static_appliance_ip6", "StaticApplianceIp6"},
		"v2CommunityString":    {"v2_community_string", "V2CommunityString"},
		"publicIP":             {"public_ip", "PublicIp"},
		"startTime-UTC (text)": {"start_time_utc_text", "StartTimeUtcText"},
	} {
		if got := Snake(name); got != want[0] {
			t.Errorf("Snake(%q) = %q, want %q", name, got, want[0])
		}
		if got := Pascal(name); got != want[1] {
			t.Errorf("Pascal(%q) = %q, want %q", name, got, want[1])
		}
	}
}

func TestOperationNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ id, rpc, noun, address string }{
		{"getOrganizationDevices", "GetOrganizationDevices", "OrganizationDevices", "get-organization-devices"},
		{"getNetworkApplianceFirewallL3FirewallRules", "GetNetworkApplianceFirewallL3FirewallRules", "NetworkApplianceFirewallL3FirewallRules",
			"get-network-appliance-firewall-l-3-firewall-rules"},
		{"rebootDevice", "RebootDevice", "Device", "reboot-device"},
		{"get_me-now", "GetMeNow", "MeNow", "get-me-now"},
		{"3things", "X3things", "", "3-things"},
		{"?", "", "", ""},
	} {
		if got := Upper(c.id); got != c.rpc {
			t.Errorf("Upper(%q) = %q, want %q", c.id, got, c.rpc)
		}
		if got := noun(c.id); got != c.noun {
			t.Errorf("noun(%q) = %q, want %q", c.id, got, c.noun)
		}
		if got, want := Address(c.id), "https://developer.cisco.com/meraki/api-v1/"+c.address+"/"; got != want {
			t.Errorf("Address(%q) = %q, want %q", c.id, got, want)
		}
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/organizations":                   true,
		"/networks/{networkId}/vlans/{id}": true,
		"/a/{b}{c}":                        true,
		"/a/{}":                            false,
		"/a/{b":                            false,
		"/a/b}":                            false,
		"/a/{b}/{b}":                       false,
		"/a/{b/c}":                         false,
		"/a?b={c}":                         false,
	} {
		if got := template(path); got != want {
			t.Errorf("template(%q) = %v", path, got)
		}
	}
}
