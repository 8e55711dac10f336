package rest

import (
	"strings"
	"testing"
)

func known(host string) bool { return host == "broker:8080" || host == "api.meraki.com" }

func TestTargets(t *testing.T) {
	tests := []struct {
		uri                   string
		base, as, path, query string
		wrong                 string // a part of the error
	}{
		{uri: "/api/v1/organizations", base: "/api/v1", path: "/organizations"},
		{uri: "/api/v1/organizations?a=1&a=2&b=%2F", base: "/api/v1", path: "/organizations", query: "a=1&a=2&b=%2F"},
		{uri: "/as/exporter/api/v1/devices/Q2", base: "/as/exporter/api/v1", as: "exporter", path: "/devices/Q2"},
		{uri: "/api/v1http://broker:8080/api/v1/organizations/1/networks?startingAfter=N", base: "/api/v1", path: "/organizations/1/networks", query: "startingAfter=N"},
		{uri: "/api/v1http:/broker:8080/api/v1/organizations", base: "/api/v1", path: "/organizations"},
		{uri: "/api/v1/http://Broker:8080/api/v1/organizations", base: "/api/v1", path: "/organizations"},
		{uri: "/api/v1http%3A//broker%3A8080/api/v1/organizations", base: "/api/v1", path: "/organizations"},
		{uri: "/api/v1https://api.meraki.com/api/v1/organizations", base: "/api/v1", path: "/organizations"},
		{uri: "/as/a/api/v1http://broker:8080/as/a/api/v1/networks/N_1", base: "/as/a/api/v1", as: "a", path: "/networks/N_1"},
		{uri: "/as/a/api/v1https://api.meraki.com/api/v1/networks/N_1", base: "/as/a/api/v1", as: "a", path: "/networks/N_1"},
		{uri: "/api/v1http://broker:8080/api/v1http://broker:8080/api/v1/organizations", base: "/api/v1", path: "/organizations"},

		{uri: "/as/a/api/v1http://broker:8080/as/b/api/v1/networks", wrong: "two callers"},
		{uri: "/api/v1http://broker:8080/as/b/api/v1/networks", wrong: "two callers"},
		{uri: "/api/v1http://elsewhere/api/v1/networks", wrong: "not served here"},
		{uri: "/api/v1http://broker:8080@elsewhere/api/v1/networks", wrong: "not served here"},
		{uri: "/api/v1http://broker:8080", wrong: "only paths below"},
		{uri: "/api/v1", wrong: "only paths below"},
		{uri: "/api/v1organizations", wrong: "only paths below"},
		{uri: "/organizations", wrong: "only paths below"},
		{uri: "", wrong: "only paths below"},
		{uri: "*", wrong: "only paths below"},
		{uri: "/as/../api/v1/organizations", wrong: "no name of a caller"},
		{uri: "/as//api/v1/organizations", wrong: "no name of a caller"},
		{uri: "/as/a%2Fb/api/v1/organizations", wrong: "no name of a caller"},
		{uri: "/api/v1/organizations#x", wrong: "fragment"},
		{uri: strings.Repeat("/api/v1http://broker:8080", 4) + "/api/v1/organizations", wrong: "too many"},
	}
	for _, test := range tests {
		got, err := parseTarget(test.uri, known)
		switch {
		case test.wrong != "":
			if err == nil || !strings.Contains(err.Error(), test.wrong) {
				t.Errorf("%s: got %+v, %v; want an error about %q", test.uri, got, err, test.wrong)
			}
		case err != nil:
			t.Errorf("%s: %v", test.uri, err)
		case got != (target{base: test.base, as: test.as, path: test.path, query: test.query}):
			t.Errorf("%s: got %+v", test.uri, got)
		}
	}
}

// FuzzTarget holds what everything behind relies on: a path that begins with one
// slash, and a base that ends with the API's root.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"/api/v1/organizations?x=1", "/as/a/api/v1/networks", "/api/v1http://broker:8080/api/v1/x", "/api/v1https:/api.meraki.com/api/v1/x", "*", "//", "/as/",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := parseTarget(uri, known)
		if err != nil {
			if got != (target{}) {
				t.Errorf("an error and a target: %+v", got)
			}
			return
		}
		if !strings.HasPrefix(got.path, "/") || !strings.HasSuffix(got.base, apiRoot) || strings.ContainsAny(got.path, "?#") {
			t.Errorf("%q gave %+v", uri, got)
		}
		if _, _, nested := cutAddress(got.path); nested {
			t.Errorf("%q still holds an address: %+v", uri, got)
		}
		if (got.as != "") != strings.HasPrefix(got.base, asPrefix) {
			t.Errorf("%q: caller and base differ: %+v", uri, got)
		}
	})
}
