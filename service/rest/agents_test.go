package rest

import (
	"testing"
	"time"
)

// TestPatience: the User-Agents are those that the clients have sent to a recording
// server.
func TestPatience(t *testing.T) {
	known := append([]Agent{{Prefix: "inventory/", Patience: 20 * time.Second}, {Prefix: "hasty/", Patience: LeastPatience}}, agents...)
	for userAgent, want := range map[string]time.Duration{
		"python-meraki/4.7.0 BrokerTest/1.0 Founders":                                               54 * time.Second,
		"python-meraki/aio-1.54.0 %7B%22version%22%3A%20%221.54.0%22%7D":                            54 * time.Second,
		"python-meraki/1.54.0 %7B%22caller%22%3A%20%22MerakiAnsibleCollection/2.21.2%20Cisco%22%7D": 54 * time.Second, // cisco.meraki
		"MerakiTerraform/1.2 Cisco":                                                                 4500 * time.Millisecond,
		"ansible-httpget":                                                                           27 * time.Second,
		"inventory/7":                                                                               18 * time.Second,
		"hasty/1":                                                                                   500 * time.Millisecond,
		"curl/8.5.0":                                                                                time.Minute,
		"":                                                                                          time.Minute,
		"x python-meraki/4.7.0":                                                                     time.Minute,
	} {
		if got := patience(known, userAgent, time.Minute); got != want {
			t.Errorf("%s: %v, want %v", userAgent, got, want)
		}
	}
}
