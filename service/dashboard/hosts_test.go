package dashboard

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestHostsThatMayHaveTheKey(t *testing.T) {
	t.Parallel()
	cloud := testHosts(t, "https://api.meraki.com/api/v1")
	loop := testHosts(t, "http://127.0.0.1:8080/api/v1")
	for _, c := range []struct {
		hosts *hosts
		url   string
		want  bool
	}{
		{cloud, "https://api.meraki.com/", true},
		{cloud, "https://n263.meraki.com/", true},
		{cloud, "https://N263.MERAKI.COM:443/", true},
		{cloud, "https://meraki.com/", true},
		{cloud, "https://api.meraki.ca/", true},
		{cloud, "https://api.meraki.cn/", true},
		{cloud, "https://api.meraki.in/", true},
		{cloud, "https://api.gov-meraki.com/", true},
		{cloud, "http://api.meraki.com/", false},
		{cloud, "https://api.meraki.com:8443/", false},
		{cloud, "https://api.meraki.com./", false},
		{cloud, "https://evilmeraki.com/", false},
		{cloud, "https://meraki.com.evil.example/", false},
		{cloud, "https://api.meraki.com@evil.example/", false},
		{cloud, "https://user@api.meraki.com/", false},
		{cloud, "https://evil.example/api.meraki.com", false},
		{cloud, "https://api.merak\u0131.com/", false},
		{cloud, "ftp://api.meraki.com/", false},
		{cloud, "https:api.meraki.com", false},
		{cloud, "//api.meraki.com/", false},
		{cloud, "http://127.0.0.1/", false},
		{loop, "http://127.0.0.1:8080/", true},
		{loop, "http://127.0.0.1:8082/", false},
		{loop, "http://127.0.0.1/", false},
		{loop, "https://127.0.0.1:8080/", false},
		{loop, "http://api.meraki.com/", false},
		{loop, "https://api.meraki.com/", true},
	} {
		if reason := c.hosts.refuse(testURL(t, c.url)); (reason == "") != c.want {
			t.Errorf("%s with base %s: refused %q; want allowed %t", c.url, c.hosts.origin, reason, c.want)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	h := testHosts(t, "https://api.meraki.com/api/v1")
	from := testURL(t, "https://api.meraki.com/api/v1/organizations/1/devices?a=b")
	for _, c := range []struct {
		location string
		want     Target
		reason   string
	}{
		{"https://n263.meraki.com/api/v1/organizations/1/devices?a=b", Target{"https://n263.meraki.com", "/organizations/1/devices", "a=b"}, ""},
		{"/api/v1/organizations/2/devices", Target{"", "/organizations/2/devices", ""}, ""},
		{"https://api.meraki.com:443/api/v1/x", Target{"", "/x", ""}, ""},
		{"", Target{}, "names no place"},
		{"https://a b/", Target{}, "cannot be read"},
		{"https://evil.example/api/v1/x", Target{}, "outside of the vendor's domains"},
		{"http://n263.meraki.com/api/v1/x", Target{}, "plain http"},
		{"https://account.meraki.com/login/dashboard_login", Target{}, "out of /api/v1"},
		{"https://n263.meraki.com/api/v0/x", Target{}, "out of /api/v1"},
		{"https://n263.meraki.com/api/v1/../v0/x", Target{}, "out of /api/v1"},
		{"javascript:alert(1)", Target{}, "scheme"},
	} {
		got, reason := h.target(from, c.location)
		if c.reason != "" {
			if got != nil || !strings.Contains(reason, c.reason) {
				t.Errorf("%s: %+v, %q; want refused: %s", c.location, got, reason, c.reason)
			}
			continue
		}
		if got == nil || *got != c.want || reason != "" {
			t.Errorf("%s: %+v, %q; want %+v", c.location, got, reason, c.want)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		c    Config
		ok   bool
	}{
		{"nothing", Config{}, true},
		{"a region", Config{BaseURL: "https://api.meraki.ca/api/v1/"}, true},
		{"a sandbox", Config{BaseURL: "http://127.0.0.1:1"}, true},
		{"this machine by name", Config{BaseURL: "http://LOCALHOST:8080/api/v1"}, true},
		{"this machine, IPv6", Config{BaseURL: "http://[::1]:8080/api/v1"}, true},
		{"plain http", Config{BaseURL: "http://10.0.0.1:8080/api/v1"}, false},
		{"plain http by name", Config{BaseURL: "http://proxy.example/api/v1"}, false},
		{"plain http to a name that begins like this machine's", Config{BaseURL: "http://localhost.example/api/v1"}, false},
		{"plain http to an address that begins like this machine's", Config{BaseURL: "http://127.0.0.1.example/api/v1"}, false},
		{"plain http to the vendor", Config{BaseURL: "http://api.meraki.com/api/v1"}, false},
		{"plain http, on purpose", Config{BaseURL: "http://10.0.0.1:8080/api/v1", PlainHTTP: true}, true},
		{"another host's API where it likes", Config{BaseURL: "https://proxy.example/meraki"}, true},
		{"the vendor without a path", Config{BaseURL: "https://api.meraki.com"}, false},
		{"the vendor with a slash", Config{BaseURL: "https://API.meraki.com/"}, false},
		{"the vendor's old API", Config{BaseURL: "https://api.meraki.ca/api/v0"}, false},
		{"the vendor with too much of a path", Config{BaseURL: "https://n1.meraki.com/api/v1/organizations"}, false},
		{"the vendor with a port", Config{BaseURL: "https://api.meraki.com:8443/"}, false},
		{"a proxy that cannot be read", Config{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("u:p") }}, false},
		{"no scheme", Config{BaseURL: "api.meraki.com/api/v1"}, false},
		{"no host", Config{BaseURL: "https:///api/v1"}, false},
		{"another scheme", Config{BaseURL: "unix:///tmp/x"}, false},
		{"a user", Config{BaseURL: "https://u:p@api.meraki.com/api/v1"}, false},
		{"a query", Config{BaseURL: "https://api.meraki.com/api/v1?x"}, false},
		{"rubbish", Config{BaseURL: "https://a b"}, false},
		{"dots", Config{BaseURL: "https://api.meraki.com/api/v1/../v0"}, false},
		{"a user agent with a newline", Config{UserAgent: "a\r\nX: y"}, false},
		{"a negative bound", Config{MaxBody: -1}, false},
		{"a negative timeout", Config{Timeout: -1}, false},
		{"a negative timeout of dials", Config{DialTimeout: -1}, false},
		{"a negative timeout of errors' bodies", Config{ErrorBodyTimeout: -1}, false},
		{"a negative timeout of idle connections", Config{IdleTimeout: -1}, false},
		{"a negative bound of errors' bodies", Config{MaxErrorBody: -1}, false},
	} {
		cl, err := New(c.c)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the error shows a password: %v", c.name, err)
		}
		if cl != nil {
			cl.Close()
		}
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	c := &Client{hosts: testHosts(t, "https://api.meraki.com/api/v1")}
	for address, want := range map[string]string{
		"https://n1.meraki.com/api/v1/organizations?perPage=3&startingAfter=a%2Fb": "/organizations?perPage=3&startingAfter=a%2Fb",
		"https://n1.meraki.com/api/v1/networks/N_1":                                "/networks/N_1",
		"https://n1.meraki.com/api/v1/organizations?startingAfter=a b":             "",
		"https://n1.meraki.com/api/v1/%zz":                                         "",
		"https://n1.meraki.com/login":                                              "",
	} {
		if got, ok := c.Below(address); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %t", address, got, ok)
		}
	}
}
