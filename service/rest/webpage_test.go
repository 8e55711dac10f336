package rest_test

import (
	"net/http"
	"testing"

	"github.com/merakibroker/merakibroker/service/identity"
)

// TestWebPages: what a browser sends for a page of another site is refused, and nothing is
// sent; what programs send, and pages of the same origin, is not.
func TestWebPages(t *testing.T) {
	path := identity.Config{Path: &identity.ProxyConfig{Trusted: []string{"127.0.0.0/8"}}}
	const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
	anyone := setup{}
	byPath := setup{identity: path, rules: identity.Rules{{Name: "all", Callers: []string{"*"}, Operations: []identity.Grant{{Section: "*", Verbs: []string{"read", "write"}}}, Organizations: []string{"*"}}}}
	proxied := setup{forwarded: []string{"127.0.0.0/8"}}
	for name, row := range map[string]struct {
		setup
		prefix, method string
		headers        []string
		refused        bool
	}{
		"a program's write":                                            {anyone, "", "POST", nil, false},
		"a form of another site":                                       {anyone, "", "POST", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, true},
		"another port of this machine":                                 {anyone, "", "POST", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "same-site"}, true},
		"a browser that tells the origin alone":                        {anyone, "", "DELETE", []string{"Origin", "https://evil.example"}, true},
		"a page in a sandboxed frame":                                  {anyone, "", "PUT", []string{"Origin", "null"}, true},
		"a page of the same origin":                                    {anyone, "", "POST", []string{"Sec-Fetch-Site", "same-origin"}, false},
		"somebody types the address":                                   {anyone, "", "GET", []string{"Sec-Fetch-Site", "none"}, false},
		"a name pointed here, a write":                                 {anyone, "", "POST", []string{"Host", "evil.example:8081", "Origin", "http://evil.example:8081"}, true},
		"a program, by whatever name":                                  {anyone, "", "GET", []string{"Host", "broker.example"}, false},
		"a name pointed here, a page that calls itself something else": {anyone, "", "GET", []string{"Host", "evil.example", "Accept-Language", "", "User-Agent", "curl/8"}, true},
		"a name pointed here, a read":                                  {anyone, "", "GET", []string{"Host", "evil.example:8081", "User-Agent", firefox}, true},
		"a name that begins like the machine's":                        {anyone, "", "GET", []string{"Host", "localhost.evil.example", "User-Agent", firefox}, true},
		"a name that ends like the machine's":                          {anyone, "", "GET", []string{"Host", "evillocalhost", "User-Agent", firefox}, true},
		"an address in a name":                                         {anyone, "", "GET", []string{"Host", "127.0.0.1.nip.example", "User-Agent", firefox}, true},
		"localhost":                                                    {anyone, "", "GET", []string{"Host", "LocalHost:8081", "User-Agent", firefox}, false},
		"localhost to its root":                                        {anyone, "", "GET", []string{"Host", "localhost.", "User-Agent", firefox}, false},
		"an address of IPv6":                                           {anyone, "", "GET", []string{"Host", "[::1]:8081", "User-Agent", firefox}, false},
		"the host of containers":                                       {anyone, "", "GET", []string{"Host", "host.docker.internal:8081", "User-Agent", firefox}, false},
		"the vendor's name":                                            {anyone, "", "GET", []string{"Host", "api.meraki.com", "User-Agent", firefox}, false},
		"a proxy that passes names on":                                 {proxied, "", "GET", []string{"Host", "broker.example", "User-Agent", firefox}, false},
		"a form through that proxy":                                    {proxied, "", "POST", []string{"Host", "broker.example", "Origin", "https://evil.example"}, true},
		"a caller by its path":                                         {byPath, "/as/x", "POST", nil, false},
		"a caller by its path, a name pointed here":                    {byPath, "/as/x", "GET", []string{"Host", "evil.example:8081", "User-Agent", firefox}, true},
		"a caller by its path, a form":                                 {byPath, "/as/x", "POST", []string{"Origin", "https://evil.example"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFace(t, row.setup)
			target, body := row.prefix+"/api/v1/organizations", ""
			if row.method != http.MethodGet {
				target, body = row.prefix+"/api/v1/organizations/"+f.sandbox.OrganizationID(0)+"/networks", `{"name":"x","productTypes":["appliance"]}`
			}
			if row.method == http.MethodPut || row.method == http.MethodDelete {
				target = row.prefix + "/api/v1/organizations/" + f.sandbox.OrganizationID(0)
			}
			resp, text := f.ask(t, row.method, target, body, row.headers...)
			if refused := resp.StatusCode == 403 && resp.Header.Get("Meraki-Broker-Reason") == "WEB_PAGE"; refused != row.refused || refused != (len(f.requests()) == 0) {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
}
