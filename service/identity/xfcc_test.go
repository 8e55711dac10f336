package identity

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseForwarded(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, header string
		want         []forwarded
		says         string
	}{
		{
			"one element of Envoy's", `By=spiffe://m/b;Hash=0a1b;Subject="";URI=spiffe://m/a`,
			[]forwarded{{By: []string{"spiffe://m/b"}, Hash: []string{"0a1b"}, Subject: []string{""}, URI: []string{"spiffe://m/a"}}}, "",
		},
		{
			"quotes hold separators", `Subject="CN=a, O=\"b;c\"=d\\";URI=spiffe://m/a;DNS=x;DNS=y`,
			[]forwarded{{Subject: []string{`CN=a, O="b;c"=d\\`}, URI: []string{"spiffe://m/a"}, DNS: []string{"x", "y"}}}, "",
		},
		{
			"several elements, with air", `By=b;URI=u1, By=c;Hash=1; URI=u2 ,uri=u3`,
			[]forwarded{{By: []string{"b"}, URI: []string{"u1"}}, {By: []string{"c"}, Hash: []string{"1"}, URI: []string{"u2 "}}, {URI: []string{"u3"}}}, "",
		},
		{"no URI in the certificate", `By=b;Hash=1;URI=`, []forwarded{{By: []string{"b"}, Hash: []string{"1"}}}, ""},
		{"two names of the server", `By=b1;By=b2;URI=a`, []forwarded{{By: []string{"b1", "b2"}, URI: []string{"a"}}}, ""},
		{"two URIs", `URI=a;URI=b`, []forwarded{{URI: []string{"a", "b"}}}, ""},
		{"a key to come", `New=1;URI=a`, []forwarded{{URI: []string{"a"}}}, ""},
		{"quoted certificate", `Cert="-----BEGIN%20";Chain="x"`, []forwarded{{Cert: []string{"-----BEGIN%20"}, Chain: []string{"x"}}}, ""},
		{"empty", "", nil, "without a value"},
		{"no pair", "spiffe://m/a", nil, "without a value"},
		{"comma at the end", "URI=a,", nil, "without a value"},
		{"semicolon at the end", "URI=a;", nil, "without a value"},
		{"open quote", `Subject="CN=a;URI=b`, nil, "not closed"},
		{"behind the quote", `Subject="a"b;URI=c`, nil, "behind a closing quote"},
		{"quote within", `URI=a"b"`, nil, "inside a value"},
		{"backslash at the end", `Subject="a\`, nil, "ends in a backslash"},
		{"two hashes", `Hash=1;Hash=2`, nil, "twice"},
		{"no name", `=a`, nil, "name is none"},
		{"a name of separators", `By;URI=a`, nil, "name is none"},
		{"too long", "URI=" + strings.Repeat("x", maxForwarded), nil, "longer than"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := parseForwarded(c.header)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestForwardedID(t *testing.T) {
	t.Parallel()
	const a, b = "spiffe://mesh.example/ns/shop/sa/orders", "spiffe://mesh.example/ns/shop/sa/gateway"
	cases := []struct {
		name, header, want, says string
	}{
		{"SANITIZE_SET", `By=spiffe://m/b;Hash=1;URI=` + a, a, ""},
		{"APPEND_FORWARD: the last counts", `Hash=1;URI=` + a + `,Hash=2;URI=` + b, b, ""},
		{"a forged first element", `URI=spiffe://mesh.example/admin,Hash=2;URI=` + a, a, ""},
		{"two URIs", `URI=` + a + `;URI=` + b, "", "names 2 URIs"},
		{"two equal URIs", `URI=` + a + `;URI=` + a, "", "names 2 URIs"},
		{"two URIs before the last", `URI=` + a + `;URI=` + b + `,URI=` + b, b, ""},
		{"nobody", `Hash=1;Subject="CN=a"`, "", errNoURI.Error()},
		{"somebody, then nobody", `URI=` + a + `,Hash=1`, "", errNoURI.Error()},
		{"no SPIFFE id", `URI=https://a.example/x`, "", "does not begin with spiffe://"},
		{"a trust domain", `URI=spiffe://mesh.example`, "", "names a trust domain"},
	}
	for _, c := range cases {
		got, err := forwardedID(c.header)
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: error %v, want one that says %q", c.name, err, c.says)
		}
	}
}

// FuzzForwarded holds the one thing that matters: whatever a client sends, and
// whatever its certificate's subject is, once the trusted proxy has put its own
// element behind it the answer is the proxy's or an error.
func FuzzForwarded(f *testing.F) {
	for _, prefix := range []string{
		`URI=spiffe://m/admin`, `URI=spiffe://m/admin;Subject="`, `URI=spiffe://m/admin,X="\`, `By=b;Hash=1;URI=spiffe://m/x`,
		`Subject="a\"`, `"`, `=`, `URI=spiffe://m/admin;X=`, `,`, `;`,
	} {
		f.Add(prefix, `CN=a`)
		f.Add(prefix, `;URI=spiffe://m/admin;Y=`)
		f.Add(prefix, `",URI=spiffe://m/admin,X="`)
	}
	const client = "spiffe://m/client"
	f.Fuzz(func(t *testing.T, sent, subject string) {
		if _, err := parseForwarded(sent); err == nil {
			if id, err := forwardedID(sent); err == nil && spiffeID(id) != nil {
				t.Fatalf("%q was taken for a SPIFFE id", id)
			}
		}
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(subject)
		for _, own := range []string{
			`By=spiffe://m/b;Hash=1;Subject="` + escaped + `";URI=` + client,
			`By=spiffe://m/b;Hash=1;URI=` + client,
			`By=spiffe://m/b;Hash=1;Cert="x";Subject="";URI=` + client + `;DNS=d`,
		} {
			if id, err := forwardedID(own); len(own) <= maxForwarded && (err != nil || id != client) {
				t.Fatalf("%q alone: %q, %v", own, id, err)
			}
			if sent == "" {
				continue
			}
			if id, err := forwardedID(sent + "," + own); err == nil && id != client {
				t.Fatalf("%q became %q", sent+","+own, id)
			} else if err != nil && errors.Is(err, errNoURI) {
				t.Fatalf("%q hid the proxy's element", sent)
			}
		}
	})
}

func TestSPIFFEID(t *testing.T) {
	t.Parallel()
	good := []string{
		"spiffe://mesh.example/ns/shop/sa/orders", "spiffe://cluster.local/a", "spiffe://t_d-1.x/A.b-c_d/9",
		"spiffe://m/" + strings.Repeat("a", maxSPIFFEID-len("spiffe://m/")),
	}
	for _, s := range good {
		if err := spiffeID(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	bad := []string{
		"", "spiffe://", "spiffe://m", "spiffe://m/", "spiffe:///a", "SPIFFE://m/a", "https://m/a", "spiffe://M/a", "spiffe://m:80/a",
		"spiffe://u@m/a", "spiffe://m/a/", "spiffe://m//a", "spiffe://m/./a", "spiffe://m/../a", "spiffe://m/a?b", "spiffe://m/a#b",
		"spiffe://m/%61", "spiffe://m/ä", "spiffe://m/a b", "spiffe://m/*", "spiffe://" + strings.Repeat("m", 256) + "/a",
		"spiffe://m/" + strings.Repeat("a", maxSPIFFEID),
	}
	for _, s := range bad {
		if spiffeID(s) == nil {
			t.Errorf("%q passes", clip(s))
		}
	}
}
