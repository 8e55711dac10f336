package canonical

import (
	"net/url"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/organizations":                    "/organizations",
		"/organizations/1/devices":          "/organizations/1/devices",
		"/%6frganizations/%31":              "/organizations/1",
		"/%6Frganizations/1":                "/organizations/1",
		"/%6eetworks/N%5F1":                 "/networks/N_1",
		"/%64evices/Q2%2dAB":                "/devices/Q2-AB",
		"/networks/N/clients/aa:bb":         "/networks/N/clients/aa%3Abb",
		"/networks/N/clients/aa%3abb":       "/networks/N/clients/aa%3Abb",
		"/networks/N/users/aGk%3d":          "/networks/N/users/aGk%3D",
		"/networks/N/users/aGk=":            "/networks/N/users/aGk%3D",
		"/devices/Q2/switch/ports/1_MOD_1.": "",
		"/devices/Q2/switch/ports/1.5":      "/devices/Q2/switch/ports/1.5",
	} {
		got, err := Path(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
}

// hostile are segments that a proxy or a server may read as something else than one
// segment with that text.
var hostile = []string{
	"", ".", "..", "%2e", "%2E%2e", ".%2e", "...", "a.", "a%2e", "%2e%2e%2f",
	"a%2Fb", "a%2fb", "a%5Cb", `a\b`, "%2F..%2F",
	"%252F", "%252e%252e", "%25", "a%25b", "%25252f",
	"%c0%af", "%C0%AE", "%e0%80%af", "%f0%80%80%af", "%ff", "%c0",
	";a=b", "a;b", "..;", "%3b", "..%3B",
	"a%3Fb", "a?b", "a%23b", "a#b",
	"a b", "a%20b", "%20", "a%20", "+%20", "a%09b", "a%0d%0aHost:%20x", "%00", "a%00", "a%7f", "%c2%80",
	"%ef%bc%8f", "%ef%bc%8e%ef%bc%8e", "%e2%88%95", "%e2%81%84", "%e2%80%a4", "%e2%80%a5", "%e2%80%a6", "%ef%bc%85", "%ef%bc%bc",
	"\u2025", "\uff0f", "organi\u017fations", "%ef%bb%bf", "%e2%80%8b", "%d0%be",
	"%", "%4", "%zz", "%u002f", "%u2215", "a%", "%%32%66", "%%32f",
	"1.json", "networks.json", "1.JSON", "a.xml", `"`, "<a>", "a|b", "a^b", "{a}", "`",
}

// TestHostileSegments: the kinds of a double escape, an overlong form, a dot, a
// parameter, a look-alike, a format: each is refused, wherever it stands.
func TestHostileSegments(t *testing.T) {
	t.Parallel()
	for _, segment := range hostile {
		for _, path := range []string{"/" + segment, "/organizations/" + segment, "/" + segment + "/1", "/networks/" + segment + "/clients"} {
			if got, err := Path(path); err == nil {
				t.Errorf("%q became %q", path, got)
			}
		}
	}
	for _, path := range []string{"", "organizations", "//organizations/1", "/organizations//1", "/organizations/1/", "https://api.meraki.com/organizations/1", "*", "/"} {
		if got, err := Path(path); err == nil {
			t.Errorf("%q became %q", path, got)
		}
	}
}

// FuzzPath: what passes is the same path for every reader, however often it
// unescapes, cleans and escapes it on the way.
func FuzzPath(f *testing.F) {
	for _, segment := range hostile {
		f.Add("/organizations/" + segment + "/networks")
	}
	f.Add("/%6frganizations/1/%64evices")
	f.Add("/networks/N_1/clients/aa:bb%3acc")
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := Path(raw)
		if err != nil {
			return
		}
		if again, err := Path(path); err != nil || again != path {
			t.Fatalf("%q became %q, which becomes %q, %v", raw, path, again, err)
		}
		once, err := url.PathUnescape(raw)
		if err != nil {
			t.Fatalf("%q passed although it cannot be unescaped: %v", raw, err)
		}
		plain, err := url.PathUnescape(path)
		if err != nil || plain != once {
			t.Fatalf("%q became %q, which is %q to a reader and not %q", raw, path, plain, once)
		}
		if twice, err := url.PathUnescape(plain); err != nil || twice != plain {
			t.Fatalf("%q unescaped twice is %q", path, twice)
		}
		if strings.Count(path, "/") != strings.Count(raw, "/") || strings.Count(plain, "/") != strings.Count(raw, "/") {
			t.Fatalf("%q has another number of segments in %q", raw, path)
		}
		u, err := url.Parse("http://h" + plain)
		if err != nil || u.Path != plain || u.RawQuery != "" || u.JoinPath("/").Path != plain+"/" {
			t.Fatalf("%q is read as %v, %v", plain, u, err)
		}
	})
}
