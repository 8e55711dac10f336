package rest

import (
	"strings"
	"testing"
)

// vendorBelow knows the addresses that the tests' Dashboard sends.
func vendorBelow(address string) (string, bool) {
	for _, base := range []string{"https://n7.meraki.com/api/v1", "https://api.meraki.com/api/v1"} {
		if path, ok := strings.CutPrefix(address, base); ok {
			return path, true
		}
	}
	return "", false
}

func TestLinksKeepEveryByteButTheBase(t *testing.T) {
	const base = "http://broker:8080/as/a/api/v1"
	tests := []struct{ name, in, want string }{
		{"one", `<https://n7.meraki.com/api/v1/organizations?perPage=3&startingAfter=a>; rel=next`,
			`<http://broker:8080/as/a/api/v1/organizations?perPage=3&startingAfter=a>; rel=next`},
		{"bare relations, vendor's spaces", `<https://n7.meraki.com/api/v1/x?startingAfter=0>; rel=first, <https://n7.meraki.com/api/v1/x?endingBefore=Z>; rel=last`,
			`<http://broker:8080/as/a/api/v1/x?startingAfter=0>; rel=first, <http://broker:8080/as/a/api/v1/x?endingBefore=Z>; rel=last`},
		{"quoted relations and no spaces", `<https://api.meraki.com/api/v1/x>;rel="next",<https://api.meraki.com/api/v1/y>;rel="prev"`,
			`<http://broker:8080/as/a/api/v1/x>;rel="next",<http://broker:8080/as/a/api/v1/y>;rel="prev"`},
		{"commas and escapes in the address", `<https://n7.meraki.com/api/v1/x?t[]=a,b;c&n=%C3%A4>; rel=next; title="a, \"b\" <c>"`,
			`<http://broker:8080/as/a/api/v1/x?t[]=a,b;c&n=%C3%A4>; rel=next; title="a, \"b\" <c>"`},
		{"a host elsewhere first", `<https://evil/api/v1/x>; rel=first, <https://n7.meraki.com/api/v1/x>; rel=next`,
			`<http://broker:8080/as/a/api/v1/x>; rel=next`},
		{"a host elsewhere last", `<https://n7.meraki.com/api/v1/x>; rel=next, <https://evil/api/v1/x>; rel=last`,
			`<http://broker:8080/as/a/api/v1/x>; rel=next`},
		{"something in front", `x <https://n7.meraki.com/api/v1/x>; rel=next`, `x <http://broker:8080/as/a/api/v1/x>; rel=next`},
		{"none that can be read", `rel=next`, ``},
		{"an address without an end", `<https://n7.meraki.com/api/v1/x`, ``},
		{"empty", ``, ``},
	}
	for _, test := range tests {
		if got := rewriteLinks(test.in, base, vendorBelow); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// FuzzLinks: no address but the base's leaves, and what has nothing to rewrite is
// left out or comes out whole.
func FuzzLinks(f *testing.F) {
	f.Add(`<https://n7.meraki.com/api/v1/x>; rel=next, <https://evil/x>; rel="last, <"`)
	f.Add(`,,<>;`)
	f.Add(`0<https://n7.meraki.com/api/v1<>`)
	f.Fuzz(func(t *testing.T, header string) {
		out := rewriteLinks(header, "http://b/api/v1", vendorBelow)
		for rest := out; rest != ""; {
			var link string
			link, rest = cutLink(rest)
			if start := strings.IndexByte(link, '<'); start >= 0 && !strings.HasPrefix(link[start+1:], "http://b/api/v1") {
				t.Errorf("%q gave the link %q", header, link)
			}
		}
		if again := rewriteLinks(header, "https://n7.meraki.com/api/v1", vendorBelow); len(again) > len(header)+len("https://n7.meraki.com/api/v1")*strings.Count(header, "<") {
			t.Errorf("%q grew to %q", header, again)
		}
	})
}
