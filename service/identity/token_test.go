package identity

import (
	"context"
	"encoding/base64"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
)

// withFile makes a resolver whose keys are a file with these contents.
func withFile(t *testing.T, keys string, change func(*Config)) (r *Resolver, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "keys")
	writeFile(t, path, keys)
	files := secretfile.New(secretfile.Config{Log: quiet()})
	t.Cleanup(files.Close)
	c := Config{Token: &TokenConfig{
		KeysFile: path, Issuer: issuerName, Audiences: []string{audienceName, "other"},
		Algorithms: []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"},
	}}
	if change != nil {
		change(&c)
	}
	return newResolver(t, c, Wiring{Files: files}), path
}

func TestToken(t *testing.T) {
	t.Parallel()
	is, stranger := newIssuer(t), newIssuer(t)
	r, _ := withFile(t, is.jwks(), nil)
	want := Caller{"orders", Token}
	for alg := range is.keys {
		check(t, r, bearer(is.sign(alg, claims("orders"), nil)).context(), want, "")
		check(t, r, bearer(is.sign(alg, claims("orders"), map[string]any{"kid": nil})).context(), want, "")
		check(t, r, bearer(stranger.sign(alg, claims("orders"), nil)).context(), Caller{}, "its signature is not the issuer's")
	}

	with := func(key string, value any) jwt.MapClaims {
		c := claims("orders")
		if c[key] = value; value == nil {
			delete(c, key)
		}
		return c
	}
	good := is.sign("ES256", claims("orders"), nil)
	parts := strings.Split(good, ".")
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, claims("orders")).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	// The classic: HMAC with the public key for a secret.
	confused, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims("orders")).SignedString([]byte(is.pem("RS256")))
	if err != nil {
		t.Fatal(err)
	}
	mixed := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256","kid":"RS256"}`)) + "." + parts[1] + "." + parts[2]
	cases := []struct{ name, token, says string }{
		{"none", unsigned, "algorithm is not allowed"},
		{"HMAC with the public key", confused, "algorithm is not allowed"},
		{"another key's id", mixed, "no key of the issuer's fits"},
		{"unknown key id", is.sign("ES256", claims("orders"), map[string]any{"kid": "x"}), "no key of the issuer's fits"},
		{"crit", is.sign("ES256", claims("orders"), map[string]any{"crit": []string{"x"}}), "(crit)"},
		{"expired", is.sign("ES256", with("exp", time.Now().Add(-time.Hour).Unix()), nil), "it has expired"},
		{"no expiry", is.sign("ES256", with("exp", nil), nil), "lacks one of"},
		{"not yet", is.sign("ES256", with("nbf", time.Now().Add(time.Hour).Unix()), nil), "not valid yet"},
		{"another audience", is.sign("ES256", with("aud", "x"), nil), "for another audience"},
		{"no audience", is.sign("ES256", with("aud", nil), nil), "lacks one of"},
		{"another issuer", is.sign("ES256", with("iss", "x"), nil), "of another issuer"},
		{"no subject", is.sign("ES256", with("sub", nil), nil), "claim sub is missing"},
		{"a number for a subject", is.sign("ES256", with("sub", 1), nil), "claim sub is missing"},
		{"empty subject", is.sign("ES256", with("sub", ""), nil), "is empty or longer"},
		{"long subject", is.sign("ES256", with("sub", strings.Repeat("x", maxName+1)), nil), "is empty or longer"},
		{"newline", is.sign("ES256", with("sub", "a\nb"), nil), "cannot be printed"},
		{"posing as a certificate's", is.sign("ES256", with("sub", orders), nil), "form of a name that another source gives"},
		{"posing as Linkerd's", is.sign("ES256", with("sub", meshed), nil), "form of a name that another source gives"},
		{"posing as an operator", is.sign("ES256", with("sub", "operator"), nil), "form of a name that another source gives"},
		{"posing as nobody", is.sign("ES256", with("sub", "anonymous"), nil), "form of a name that another source gives"},
		{"changed claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"root"}`)) + "." + parts[2], "signature"},
		{"not a token", "abc", "not a JSON Web Token"},
		{"too long", strings.Repeat("x", maxToken+1), "not a bearer token"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { check(t, r, bearer(c.token).context(), Caller{}, c.says) })
	}
	check(t, r, visit{md: []string{headerAuthorization, "Basic abc"}}.context(), Caller{}, "not a bearer token")
	check(t, r, visit{md: []string{headerAuthorization, "Bearer " + good, headerAuthorization, "Bearer " + good}}.context(), Caller{}, "2 authorization headers")
	check(t, r, visit{md: []string{headerAuthorization, "bearer " + good}}.context(), want, "")
	check(t, r, visit{}.context(), Caller{}, "it takes a bearer token")
}

func TestTokenNames(t *testing.T) {
	t.Parallel()
	is := newIssuer(t)
	c := claims(orders)
	c["azp"] = "orders-service"
	cases := []struct {
		change func(*TokenConfig)
		want   string
		says   string
	}{
		{func(c *TokenConfig) { c.Claim = "azp" }, "orders-service", ""},
		{func(c *TokenConfig) { c.Prefix = "jwt:" }, "jwt:" + orders, ""},
		{func(c *TokenConfig) { c.SPIFFE = true }, orders, ""},
		{func(c *TokenConfig) { c.SPIFFE, c.Claim = true, "azp" }, "", "does not begin with spiffe://"},
	}
	for _, tc := range cases {
		r, _ := withFile(t, is.pem("EdDSA"), func(c *Config) { tc.change(c.Token) })
		check(t, r, bearer(is.sign("EdDSA", c, nil)).context(), Caller{tc.want, Token}, tc.says)
	}
}

// A token that is not valid is an error, however good the caller's certificate
// is; without a token the certificate counts.
func TestInvalidTokenBesideAnotherSource(t *testing.T) {
	t.Parallel()
	is := newIssuer(t)
	r, _ := withFile(t, is.jwks(), func(c *Config) { c.PeerCertificate = true })
	_, cert := newAuthority(t).issue(time.Now().Add(time.Hour), orders)
	v := visit{cert: cert}
	check(t, r, v.context(), Caller{orders, PeerCertificate}, "")
	v.md = bearer("a.b.c").md
	check(t, r, v.context(), Caller{}, "the bearer token is not accepted")
	v.md = bearer(is.sign("RS256", claims("other"), nil)).md
	check(t, r, v.context(), Caller{"other", Token}, "")
}

// Keys change in the file: the new issuer's tokens pass, and those of a key that
// has gone do not, though they were seen and remembered.
func TestTokenKeysChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		was, next := newIssuer(t), newIssuer(t)
		r, path := withFile(t, was.jwks(), nil)
		old, fresh := bearer(was.sign("ES256", claims("orders"), nil)).context(), bearer(next.sign("ES256", claims("orders"), nil)).context()
		check(t, r, old, Caller{"orders", Token}, "")
		check(t, r, fresh, Caller{}, "signature")
		writeFile(t, path, next.jwks())
		<-time.After(secretfile.DefaultInterval + time.Second)
		synctest.Wait()
		check(t, r, fresh, Caller{"orders", Token}, "")
		check(t, r, old, Caller{}, "signature")
		writeFile(t, path, "{}")
		<-time.After(2 * secretfile.DefaultInterval)
		synctest.Wait()
		check(t, r, fresh, Caller{"orders", Token}, "")
	})
}

func TestRememberedTokenExpires(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := newIssuer(t)
		r, _ := withFile(t, is.jwks(), nil)
		ctx := bearer(is.sign("ES256", claims("orders"), nil)).context()
		for range 2 {
			check(t, r, ctx, Caller{"orders", Token}, "")
		}
		if n := r.tokens.seen.tokens.Len(); n != 1 {
			t.Errorf("%d tokens remembered, want 1", n)
		}
		<-time.After(time.Hour + leeway + time.Second)
		check(t, r, ctx, Caller{}, "it has expired")
	})
}

func TestSeenTokensAreBounded(t *testing.T) {
	t.Parallel()
	var s seenTokens
	keys, now := new(keySet), time.Now()
	var sum [32]byte
	for i := range 2*maxSeenTokens + 5 {
		sum[0], sum[1], sum[2] = byte(i), byte(i>>8), byte(i>>16)
		s.put(sum, keys, seenToken{until: now.Add(time.Hour)}, now)
	}
	if n := s.tokens.Len(); n != maxSeenTokens {
		t.Errorf("%d remembered", n)
	}
	if _, ok := s.get(sum, keys, now); !ok {
		t.Error("the last one is forgotten")
	}
	if _, ok := s.get(sum, new(keySet), now); ok {
		t.Error("remembered for other keys")
	}
}

func TestKeySetErrors(t *testing.T) {
	t.Parallel()
	is := newIssuer(t)
	cases := []struct{ name, text, says string }{
		{"empty set", `{"keys":[]}`, "no public key"},
		{"not JSON", `{`, "is not a JSON Web Key Set"},
		{"private", `{"keys":[{"kty":"RSA","d":"AQ","n":"AQ","e":"AQ"}]}`, "cannot be read"},
		{"symmetric", `{"keys":[{"kty":"oct","k":"AQ"}]}`, "keys[0] is a secret key"},
		{"short RSA", `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`, "17 bits"},
		{"no exponent", `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQ"}]}`, "17 bits"},
		{"no modulus", `{"keys":[{"kty":"RSA","e":"AQAB"}]}`, "cannot be read"},
		{"not on the curve", `{"keys":[{"kty":"EC","crv":"P-256","x":"` + number(make([]byte, 32)) + `","y":"` + number(make([]byte, 32)) + `"}]}`, "keys[0] cannot"},
		{"short point", `{"keys":[{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"}]}`, "cannot be read"},
		{"short Edwards", `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AQ"}]}`, "length of an Ed25519"},
		{"no PEM", "hello", "neither a JSON Web Key Set nor keys in PEM"},
		{"private PEM", "-----BEGIN PRIVATE KEY-----\nAQ==\n-----END PRIVATE KEY-----", "private key"},
		{"other PEM", "-----BEGIN X-----\nAQ==\n-----END X-----", "holds no public key"},
		{"too many", strings.Repeat(is.pem("ES256"), maxTokenKeys+1), "more than 100"},
	}
	for _, c := range cases {
		set, _, err := parseKeySet([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d keys, error %v; want one that says %q", c.name, len(set), err, c.says)
		}
	}
	if set, _, err := parseKeySet([]byte(is.pem("ES256") + is.pem("RS256"))); err != nil || len(set) != 2 {
		t.Errorf("two PEM keys: %d, %v", len(set), err)
	}
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"},{"kty":"EC","crv":"P-256","x":"AQ","y":"AQ"},{"kty":"OKP","crv":"Ed25519","x":"AQ"}]}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAQ==\n-----END PUBLIC KEY-----"))
	f.Fuzz(func(t *testing.T, b []byte) {
		set, _, err := parseKeySet(b)
		if (err == nil) != (len(set) > 0) {
			t.Fatalf("%d keys and error %v", len(set), err)
		}
		for _, k := range set {
			if usable(k.public) != nil {
				t.Fatal("a key that is not usable")
			}
			for _, alg := range []string{"none", "HS256", ""} {
				if k.signs(alg) {
					t.Fatalf("a key signs %q", alg)
				}
			}
		}
	})
}

func BenchmarkToken(b *testing.B) {
	t := new(testing.T)
	is := newIssuer(t)
	set, _, err := parseKeySet([]byte(is.jwks()))
	if err != nil {
		b.Fatal(err)
	}
	tk := newTokens(&TokenConfig{Issuer: issuerName, Audiences: []string{audienceName}})
	tk.source.set.Store(&set)
	values := []string{"Bearer " + is.sign("RS256", claims("orders"), nil)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tk.resolve(context.Background(), values); err != nil {
			b.Fatal(err)
		}
	}
}
