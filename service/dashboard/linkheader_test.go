package dashboard

import (
	"net/url"
	"strings"
	"testing"
)

func TestLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		header     []string
		next, prev string
	}{
		{"none", nil, "", ""},
		{"as documented, without quotes", []string{`<https://api.meraki.com/api/v1/networks/N_1/bluetoothClients?perPage=5&startingAfter=105>; rel=next, <https://x/>; rel=last`}, "https://api.meraki.com/api/v1/networks/N_1/bluetoothClients?perPage=5&startingAfter=105", ""},
		{"quoted", []string{`<a>; rel="next", <b>; rel="prev"`}, "a", "b"},
		{"no space", []string{`<a>;rel=next,<b>;rel=prev`}, "a", "b"},
		{"more space", []string{" <a>\t;  rel = \"next\"  ,\t<b> ; rel = prev "}, "a", "b"},
		{"two lines", []string{`<a>; rel=next`, `<b>; rel=prev`}, "a", "b"},
		{"commas and semicolons in a URL", []string{`<a?x=1,2;3&y=4>; rel=next`}, "a?x=1,2;3&y=4", ""},
		{"several relations", []string{`<a>; rel="last next"`}, "a", ""},
		{"in capitals", []string{`<a>; REL="Next"`}, "a", ""},
		{"previous", []string{`<a>; rel=previous`}, "", "a"},
		{"another parameter before", []string{`<a>; title="x, y; rel=prev"; rel=next`}, "a", ""},
		{"an escaped quote", []string{`<a>; title="\"; rel=prev"; rel=next`}, "a", ""},
		{"the first rel counts", []string{`<a>; rel=prev; rel=next`}, "", "a"},
		{"the first link counts", []string{`<a>; rel=next, <b>; rel=next`}, "a", ""},
		{"a parameter without a value", []string{`<a>; crossorigin; rel=next`}, "a", ""},
		{"no rel", []string{`<a>`, `<b>; title=x`}, "", ""},
		{"no angle brackets", []string{`a; rel=next`}, "", ""},
		{"not closed", []string{`<a; rel=next`}, "", ""},
		{"a quote not closed", []string{`<a>; rel="next`}, "a", ""},
		{"empty links between", []string{`,, <a>; rel=next,,`}, "a", ""},
		{"too many", []string{strings.Repeat("<x>; rel=first, ", maxLinks) + "<a>; rel=next"}, "", ""},
		{"too long", []string{"<" + strings.Repeat("x", maxLinkHeader) + ">; rel=next"}, "", ""},
	} {
		if next, prev := links(c.header); next != c.next || prev != c.prev {
			t.Errorf("%s: %q, %q; want %q, %q", c.name, next, prev, c.next, c.prev)
		}
	}
}

func testHosts(t testing.TB, base string) *hosts {
	t.Helper()
	h, err := newHosts(base, false)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func testURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLinkTargets(t *testing.T) {
	t.Parallel()
	cloud := testHosts(t, "https://api.meraki.com/api/v1")
	proxy := testHosts(t, "http://127.0.0.1:8080/dash/api/v1")
	for _, c := range []struct {
		name  string
		hosts *hosts
		ref   string
		want  *Link
	}{
		{"the base", cloud, "https://api.meraki.com/api/v1/networks/N_1/x?a=1&startingAfter=b%2Fc", &Link{Path: "/networks/N_1/x", Query: "a=1&startingAfter=b%2Fc", StartingAfter: "b/c"}},
		{"the base with its port", cloud, "https://API.meraki.com:443/api/v1/x", &Link{Path: "/x"}},
		{"a shard", cloud, "https://n383.meraki.com/api/v1/x?endingBefore=2", &Link{Host: "https://n383.meraki.com", Path: "/x", Query: "endingBefore=2", EndingBefore: "2"}},
		{"another region", cloud, "https://n1.meraki.ca/api/v1/x", &Link{Host: "https://n1.meraki.ca", Path: "/x"}},
		{"another host", cloud, "https://evil.example/api/v1/x?startingAfter=2", &Link{Path: "/x", Query: "startingAfter=2", StartingAfter: "2"}},
		{"plain http", cloud, "http://n383.meraki.com/api/v1/x", &Link{Path: "/x"}},
		{"a path alone", cloud, "/api/v1/y?startingAfter=2", &Link{Path: "/y", Query: "startingAfter=2", StartingAfter: "2"}},
		{"a query alone", cloud, "?startingAfter=2", &Link{Path: "/x", Query: "startingAfter=2", StartingAfter: "2"}},
		{"escaped", cloud, "https://api.meraki.com/api/v1/%6frganizations/a:b%3dc", &Link{Path: "/organizations/a%3Ab%3Dc"}},
		{"an escaped slash", cloud, "https://api.meraki.com/api/v1/a%2Fb/c", &Link{Refusal: "leads to no path of the API"}},
		{"an escape twice", cloud, "https://api.meraki.com/api/v1/a%252Fb/c", &Link{Refusal: "leads to no path of the API"}},
		{"a parameter of a segment", cloud, "https://api.meraki.com/api/v1/a;b/c", &Link{Refusal: "leads to no path of the API"}},
		{"an empty segment", cloud, "https://api.meraki.com/api/v1//a/c", &Link{Refusal: "leads to no path of the API"}},
		{"another API", cloud, "https://api.meraki.com/api/v0/x", &Link{Refusal: "leads to no path of the API"}},
		{"the root", cloud, "https://api.meraki.com/api/v1/", &Link{Refusal: "leads to no path of the API"}},
		{"dots", cloud, "https://api.meraki.com/api/v1/%2e%2e/x", &Link{Refusal: "leads to no path of the API"}},
		{"rubbish", cloud, "https://api.meraki.com:port/", &Link{Refusal: "cannot be read"}},
		{"through a proxy with its prefix", proxy, "http://127.0.0.1:8080/dash/api/v1/x", &Link{Path: "/x"}},
		{"through a proxy that passes links on", proxy, "https://api.meraki.com/api/v1/x", &Link{Host: "https://api.meraki.com", Path: "/x"}},
		{"another port", proxy, "http://127.0.0.1:8082/api/v1/x", &Link{Path: "/x"}},
	} {
		from := testURL(t, c.hosts.origin+c.hosts.prefix+"/x")
		got := c.hosts.link(from, c.ref)
		if *got != *c.want {
			t.Errorf("%s: %+v; want %+v", c.name, got, c.want)
		}
	}
}

func FuzzLink(f *testing.F) {
	f.Add(`<https://n1.meraki.com/api/v1/x?startingAfter=1>; rel=next, <b>; rel="prev"`, "https://n1.meraki.com/api/v1/x")
	f.Add(`<a>; title="\"x, y"; rel=next`, "/api/v1/%2e%2e/x?#")
	h := testHosts(f, "https://api.meraki.com/api/v1")
	from := testURL(f, "https://api.meraki.com/api/v1/x")
	f.Fuzz(func(t *testing.T, header, ref string) {
		next, prev := links([]string{header})
		for _, s := range []string{next, prev, ref} {
			if l := h.link(from, s); l.Refusal == "" {
				fits(t, h, l.Host, l.Path, l.Query)
			}
			if target, reason := h.target(from, s); target != nil {
				fits(t, h, target.Host, target.Path, target.Query)
			} else if reason == "" {
				t.Fatal("refused without a reason")
			}
		}
	})
}

// fits checks that what was learned from outside can be asked, and only of a
// host that may have the key.
func fits(t *testing.T, h *hosts, host, path, query string) {
	t.Helper()
	c := Client{hosts: h}
	u, err := c.url(&Request{Method: "GET", Host: host, Path: path, Query: query})
	if err != nil {
		t.Fatalf("%q %q %q: %v", host, path, query, err)
	}
	if h.refuse(u) != "" {
		t.Fatalf("%v must not have the key", u)
	}
	if !strings.HasPrefix(u.RequestURI(), apiRoot+"/") || strings.ContainsAny(u.RequestURI(), " \r\n#") {
		t.Fatalf("%q is not below the API", u.RequestURI())
	}
}
