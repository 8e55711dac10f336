package identity

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
)

// tokenFile writes a file of tokens for the names, and gives the tokens by name.
func tokenFile(t *testing.T, names ...string) (file string, tokens map[string]string) {
	t.Helper()
	tokens = make(map[string]string)
	var text strings.Builder
	for _, name := range names {
		token, line, err := NewToken(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(token) != 40 || strings.Contains(line, token) {
			t.Errorf("token %q, line %q", token, line)
		}
		tokens[name] = token
		text.WriteString(line + "\n")
	}
	file = filepath.Join(t.TempDir(), "tokens.yaml")
	writeFile(t, file, text.String())
	return file, tokens
}

func files(t *testing.T) *secretfile.Watcher {
	t.Helper()
	w := secretfile.New(secretfile.Config{})
	t.Cleanup(w.Close)
	return w
}

func TestWhoCallsOverREST(t *testing.T) {
	t.Parallel()
	file, tokens := tokenFile(t, "exporter", "ansible")
	is := newIssuer(t)
	keys := filepath.Join(t.TempDir(), "keys")
	writeFile(t, keys, is.jwks())
	r := newResolver(t, Config{
		StaticTokens:        &StaticTokenConfig{File: file},
		Path:                &ProxyConfig{Trusted: []string{"10.1.0.0/16"}},
		ForwardedClientCert: &ProxyConfig{Trusted: []string{"127.0.0.6"}},
		Token:               &TokenConfig{KeysFile: keys, Issuer: issuerName, Audiences: []string{audienceName}},
	}, Wiring{Files: files(t)})
	jwt := is.sign("ES256", claims("orders"), nil)
	key := strings.Repeat("0f", 20)
	tests := []struct {
		name    string
		from    string
		as      string
		headers []string
		want    string
		source  Source
		ownKey  string
		says    string
	}{
		{name: "a token", headers: []string{"Authorization", "Bearer " + tokens["exporter"]}, want: "token:exporter", source: StaticToken},
		{name: "a token in the older header", headers: []string{headerKey, tokens["ansible"]}, want: "token:ansible", source: StaticToken},
		{name: "a token in both", headers: []string{headerKey, tokens["ansible"], "Authorization", "bearer " + tokens["ansible"]}, want: "token:ansible", source: StaticToken},
		{name: "two tokens", headers: []string{headerKey, tokens["ansible"], "Authorization", "Bearer " + tokens["exporter"]}, says: "two credentials that differ"},
		{name: "a token on its own path", from: "10.1.2.3", as: "exporter", headers: []string{headerKey, tokens["exporter"]}, want: "token:exporter", source: StaticToken},
		{name: "a token of another caller's path", from: "10.1.2.3", as: "exporter", headers: []string{headerKey, tokens["ansible"]}, says: "another caller"},
		{name: "a path", from: "10.1.2.3", as: "exporter", want: "as:exporter", source: Path},
		{name: "a path with a key", from: "10.1.2.3", as: "exporter", headers: []string{headerKey, key}, want: "as:exporter", source: Path, ownKey: key},
		{name: "a path from elsewhere", from: "10.2.2.3", as: "exporter", says: "none whose word counts"},
		{name: "a path and a JWT", from: "10.1.2.3", as: "exporter", headers: []string{"Authorization", "Bearer " + jwt}, says: "twice"},
		{name: "a JWT", headers: []string{"Authorization", "Bearer " + jwt}, want: "orders", source: Token},
		{name: "a JWT in the older header", headers: []string{headerKey, jwt}, want: "orders", source: Token},
		{name: "a JWT that is not valid", from: "127.0.0.6", headers: []string{"Authorization", "Bearer a.b.c", headerForwarded, "URI=" + orders}, says: "not accepted"},
		{name: "the mesh", from: "127.0.0.6", headers: []string{headerForwarded, "URI=" + orders}, want: orders, source: ForwardedCertificate},
		{name: "the mesh with a key", from: "127.0.0.6", headers: []string{headerForwarded, "URI=" + orders, "Authorization", "Bearer " + key}, want: orders, source: ForwardedCertificate, ownKey: key},
		{name: "a forged header of the mesh", headers: []string{headerForwarded, "URI=" + forged}, says: "names no caller"},
		{name: "a key alone", headers: []string{"Authorization", "Bearer " + key}, want: "key:", source: OwnKey, ownKey: key},
		{name: "nothing", says: "names no caller"},
		{name: "basic", headers: []string{"Authorization", "Basic dTpw"}, says: "not a bearer token"},
		{name: "an empty token", headers: []string{"Authorization", "Bearer "}, says: "not a bearer token"},
		{name: "an empty key", headers: []string{headerKey, " "}, says: "empty"},
	}
	for _, test := range tests {
		req := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
		req.RemoteAddr = "192.0.2.1:1234"
		if test.from != "" {
			req.RemoteAddr = test.from + ":1234"
		}
		for i := 0; i < len(test.headers); i += 2 {
			req.Header.Add(test.headers[i], test.headers[i+1])
		}
		got, ownKey, err := r.ResolveHTTP(req, test.as)
		if test.says != "" {
			f := fault.As(err)
			if f == nil || f.Kind != fault.CallerUnknown || !strings.Contains(f.Detail, test.says) || got != (Caller{}) || ownKey != "" {
				t.Errorf("%s: %v, %v; want a refusal that says %q", test.name, got, err, test.says)
			}
			if f != nil && strings.Contains(f.Error(), key) {
				t.Errorf("%s: the refusal holds the key", test.name)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(got.ID, test.want) || test.source != OwnKey && got.ID != test.want || got.Source != test.source || ownKey != test.ownKey {
			t.Errorf("%s: %v (%v), own key %q, error %v", test.name, got, got.Source, ownKey, err)
		}
		if strings.Contains(got.ID, key) {
			t.Errorf("%s: the name holds the key", test.name)
		}
	}
}

// TestPathsOfProxiesWithCertificates: a proxy may name a caller by the path where its
// certificate says that it is one, wherever it comes from.
func TestPathsOfProxiesWithCertificates(t *testing.T) {
	t.Parallel()
	const gateway = "spiffe://mesh.example/ns/edge/sa/gateway"
	r := newResolver(t, Config{Path: &ProxyConfig{Trusted: []string{"spiffe://mesh.example/ns/edge/*"}}}, Wiring{})
	a := newAuthority(t)
	_, is := a.issue(time.Now().Add(time.Hour), gateway)
	_, other := a.issue(time.Now().Add(time.Hour), orders)
	for _, test := range []struct {
		name    string
		shown   []*x509.Certificate
		checked bool
		want    string
	}{
		{"the proxy's", []*x509.Certificate{is}, true, "as:exporter"},
		{"one that nobody has checked", []*x509.Certificate{is}, false, ""},
		{"another one", []*x509.Certificate{other}, true, ""},
		{"none", nil, true, ""},
	} {
		req := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
		req.TLS = &tls.ConnectionState{PeerCertificates: test.shown}
		if test.checked && test.shown != nil {
			req.TLS.VerifiedChains = [][]*x509.Certificate{test.shown}
		}
		if c, _, err := r.ResolveHTTP(req, "exporter"); c.ID != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %v, %v", test.name, c, err)
		}
	}
}

func TestRESTWithoutSourcesIsAnonymous(t *testing.T) {
	t.Parallel()
	r := newResolver(t, Config{}, Wiring{})
	req := httptest.NewRequest(http.MethodGet, "/api/v1/organizations", nil)
	if c, _, err := r.ResolveHTTP(req, ""); c != Anonymous || err != nil {
		t.Errorf("%v %v", c, err)
	}
	if _, _, err := r.ResolveHTTP(req, "exporter"); err == nil {
		t.Error("a path names a caller although no address may")
	}
}

func TestTokensOfTheBrokersOwnAreNoMetadata(t *testing.T) {
	t.Parallel()
	file, tokens := tokenFile(t, "exporter")
	r := newResolver(t, Config{PeerCertificate: true, StaticTokens: &StaticTokenConfig{File: file}}, Wiring{Files: files(t)})
	check(t, r, visit{addr: tcp("10.0.0.1"), md: []string{headerAuthorization, "Bearer " + tokens["exporter"]}}.context(), Caller{}, "names no caller")
}

func TestFilesOfTokensThatAreWrong(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("0a", 32)
	for _, test := range []struct{ text, says string }{
		{"- a\n", "is not a map"},
		{"a: {b: c}\n", "is not a map"},
		{"a: " + sum[1:], "not a SHA-256"},
		{"a: " + strings.Repeat("0a", 20), "not a SHA-256"},
		{"a b: " + sum, "no name for a token"},
		{strings.Repeat("0a", 20) + ": a", "a token stands in the place of a name"},
		{"..: " + sum, "no name for a token"},
		{"a: " + sum + "\nb: " + strings.ToUpper(sum), "the same token"},
		{"a: " + sum + "\n---\nb: " + sum, "more than one document"},
	} {
		s := new(staticTokens)
		err := s.load([][]byte{[]byte(test.text)})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%q: %v, want an error that says %q", test.text, err, test.says)
		}
		if err != nil && strings.Contains(err.Error(), strings.Repeat("0a", 20)) {
			t.Errorf("%q: %v tells what may be a token", test.text, err)
		}
	}
	if _, _, err := NewToken("a/b"); err == nil {
		t.Error("a token for a name with a slash")
	}
}

func TestNoIssuerGivesTheNamesOfREST(t *testing.T) {
	t.Parallel()
	is := newIssuer(t)
	keys := filepath.Join(t.TempDir(), "keys")
	writeFile(t, keys, is.jwks())
	config := TokenConfig{KeysFile: keys, Issuer: issuerName, Audiences: []string{audienceName}}
	r := newResolver(t, Config{Token: &config}, Wiring{Files: files(t)})
	for _, name := range []string{"token:exporter", "as:exporter", "key:0a"} {
		ctx := visit{md: []string{headerAuthorization, "Bearer " + is.sign("ES256", claims(name), nil)}}.context()
		check(t, r, ctx, Caller{}, "another source gives")
	}
	for _, test := range []struct{ prefix, name, want string }{
		{"token", ":exporter", ""}, {"token", "exporter", "tokenexporter"}, {"spiffe", "://mesh.example/ns/shop/sa/orders", ""},
		{"x", "yz" + linkerdInfix + "linkerd.cluster.local", ""}, {"jwt:", "yz" + linkerdInfix + "linkerd.cluster.local", "jwt:yz" + linkerdInfix + "linkerd.cluster.local"},
		{"spiffe://mesh.example/jwt/", "orders", "spiffe://mesh.example/jwt/orders"},
	} {
		half := config
		half.Prefix = test.prefix
		r := newResolver(t, Config{Token: &half}, Wiring{Files: files(t)})
		ctx := visit{md: []string{headerAuthorization, "Bearer " + is.sign("ES256", claims(test.name), nil)}}.context()
		if c, err := r.Resolve(ctx); c.ID != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%q behind %q is %v, %v", test.name, test.prefix, c, err)
		}
	}
	config.Prefix = "token:"
	if err := (&Config{Token: &config}).Validate(); err == nil {
		t.Error("a prefix that makes an issuer's names tokens of the broker's")
	}
}
