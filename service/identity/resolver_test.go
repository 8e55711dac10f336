package identity

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/service/fault"
)

const (
	orders  = "spiffe://mesh.example/ns/shop/sa/orders"
	gateway = "spiffe://mesh.example/ns/istio-system/sa/gateway"
	forged  = "spiffe://mesh.example/ns/admin/sa/root"
	meshed  = "orders.shop.serviceaccount.identity.linkerd.cluster.local"
)

func newResolver(t *testing.T, c Config, w Wiring) *Resolver {
	t.Helper()
	r, err := NewResolver(c, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// check resolves and compares; says is what a refusal has to say, empty for none.
func check(t *testing.T, r *Resolver, ctx context.Context, want Caller, says string) {
	t.Helper()
	got, err := r.Resolve(ctx)
	if says == "" {
		if err != nil || got != want {
			t.Errorf("caller %v (error %v), want %v", got, err, want)
		}
		return
	}
	f := fault.As(err)
	if f == nil || f.Kind != fault.CallerUnknown || !strings.Contains(f.Detail, says) {
		t.Errorf("caller %v, error %v; want CallerUnknown that says %q", got, err, says)
	}
	if got != (Caller{}) {
		t.Errorf("a refusal comes with caller %v", got)
	}
}

func TestNoSource(t *testing.T) {
	t.Parallel()
	r := newResolver(t, Config{}, Wiring{})
	check(t, r, visit{md: []string{headerForwarded, "URI=" + forged, headerLinkerd, meshed, headerAuthorization, "Bearer x"}}.context(), Anonymous, "")
	check(t, r, context.Background(), Anonymous, "")
}

func TestResolve(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	hour := time.Now().Add(time.Hour)
	_, ordersCert := a.issue(hour, orders)
	_, gatewayCert := a.issue(hour, gateway)
	_, expired := a.issue(time.Now().Add(-time.Minute), orders)
	_, none := a.issue(hour)
	_, two := a.issue(hour, orders, "https://orders.example")
	_, web := a.issue(hour, "https://orders.example/x")
	_, elsewhere := a.issue(hour, "spiffe://other.example/a")

	sidecar, pod := tcp("127.0.0.6"), tcp("10.1.2.3")
	xfcc, l5d := &ProxyConfig{Trusted: []string{"127.0.0.0/8"}}, &ProxyConfig{Trusted: []string{"127.0.0.0/8"}}
	says := func(id string) []string { return []string{headerForwarded, "Hash=1;URI=" + id} }
	byCert, byXFCC, byLinkerd := Caller{orders, PeerCertificate}, Caller{orders, ForwardedCertificate}, Caller{meshed, LinkerdClient}

	cases := []struct {
		name   string
		config Config
		visit  visit
		want   Caller
		says   string
	}{
		// The certificate of the connection.
		{"certificate", Config{PeerCertificate: true}, visit{cert: ordersCert}, byCert, ""},
		{"no TLS", Config{PeerCertificate: true}, visit{}, Caller{}, "it takes a client certificate"},
		{"no URI", Config{PeerCertificate: true}, visit{cert: none}, Caller{}, "names no URI"},
		{"two URIs", Config{PeerCertificate: true}, visit{cert: two}, Caller{}, "names 2 URIs"},
		{"a URI that is no SPIFFE id", Config{PeerCertificate: true}, visit{cert: web}, Caller{}, "does not begin with spiffe://"},
		{"expired while connected", Config{PeerCertificate: true}, visit{cert: expired}, Caller{}, "expired at"},
		{"an authority's own", Config{PeerCertificate: true}, visit{cert: withURI(a, orders)}, Caller{}, "an authority's"},
		{"not verified", Config{PeerCertificate: true}, visit{unproven: ordersCert}, Caller{}, "it takes a client certificate"},
		{"a trust domain that is served", Config{PeerCertificate: true, TrustDomains: []string{"x", "mesh.example"}}, visit{cert: ordersCert}, byCert, ""},
		{"one that is not", Config{PeerCertificate: true, TrustDomains: []string{"mesh.example"}}, visit{cert: elsewhere}, Caller{}, `trust domain "other.example"`},

		// Forged headers: from peers that are not trusted they count for nothing.
		{"header not switched on", Config{PeerCertificate: true}, visit{cert: ordersCert, addr: sidecar, md: says(forged)}, byCert, ""},
		{"forged, with a certificate", Config{PeerCertificate: true, ForwardedClientCert: xfcc}, visit{cert: ordersCert, addr: pod, md: says(forged)}, byCert, ""},
		{"forged, with nothing", Config{ForwardedClientCert: xfcc}, visit{addr: pod, md: says(forged)}, Caller{}, "names no caller"},
		{"forged and broken", Config{PeerCertificate: true, ForwardedClientCert: xfcc}, visit{cert: ordersCert, addr: pod, md: []string{headerForwarded, `"`}}, byCert, ""},
		{"loopback is not trusted by itself", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{"10.0.0.0/8"}}}, visit{addr: tcp("127.0.0.1"), md: says(forged)}, Caller{}, "names no caller"},
		{"Linkerd's, forged", Config{LinkerdClientID: l5d}, visit{addr: pod, md: []string{headerLinkerd, meshed}}, Caller{}, "names no caller"},
		{"Linkerd's through an Envoy", Config{ForwardedClientCert: xfcc, LinkerdClientID: &ProxyConfig{Trusted: []string{"10.9.9.9"}}},
			visit{addr: sidecar, md: append(says(orders), headerLinkerd, forged)}, byXFCC, ""},
		{"forged in front of the proxy's own element", Config{ForwardedClientCert: xfcc}, visit{addr: sidecar, md: []string{headerForwarded, "URI=" + forged + ",Hash=1;URI=" + orders}}, byXFCC, ""},
		{"forged as a header of its own", Config{ForwardedClientCert: xfcc}, visit{addr: sidecar, md: []string{headerForwarded, "URI=" + forged, headerForwarded, "URI=" + orders}}, byXFCC, ""},
		{"an open quote to swallow the proxy's", Config{ForwardedClientCert: xfcc}, visit{addr: sidecar, md: []string{headerForwarded, "URI=" + forged + `;Subject=",Hash=1;Subject="";URI=` + orders}}, Caller{}, "behind a closing quote"},
		{"a certificate not verified is no proxy's", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{gateway}}}, visit{unproven: gatewayCert, md: says(forged)}, Caller{}, "names no caller"},

		// Headers from trusted proxies.
		{"sidecar", Config{ForwardedClientCert: xfcc}, visit{addr: sidecar, md: says(orders)}, byXFCC, ""},
		{"IPv4 in IPv6", Config{ForwardedClientCert: xfcc}, visit{addr: tcp("::ffff:127.0.0.1"), md: says(orders)}, byXFCC, ""},
		{"proxy by its SPIFFE id", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{gateway}}}, visit{cert: gatewayCert, md: says(orders)}, byXFCC, ""},
		{"by the beginning of it", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{"spiffe://mesh.example/ns/istio-system/*"}}}, visit{cert: gatewayCert, md: says(orders)}, byXFCC, ""},
		{"another's certificate", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{gateway}}}, visit{cert: ordersCert, md: says(forged)}, Caller{}, "names no caller"},
		{"unix socket", Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{"unix"}}}, visit{addr: &net.UnixAddr{Name: "@", Net: "unix"}, md: says(orders)}, byXFCC, ""},
		{"unix socket, not trusted", Config{ForwardedClientCert: xfcc}, visit{addr: &net.UnixAddr{Name: "@", Net: "unix"}, md: says(orders)}, Caller{}, "names no caller"},
		{"two URIs in the header", Config{ForwardedClientCert: xfcc}, visit{addr: sidecar, md: []string{headerForwarded, "URI=" + orders + ";URI=" + forged}}, Caller{}, "names 2 URIs"},
		{"the proxy knows nobody", Config{PeerCertificate: true, ForwardedClientCert: xfcc}, visit{addr: sidecar, cert: gatewayCert, md: []string{headerForwarded, "Hash=1"}}, Caller{}, "names no caller"},
		{"no header from a proxy", Config{PeerCertificate: true, ForwardedClientCert: xfcc}, visit{addr: sidecar, cert: gatewayCert}, Caller{}, "names no caller"},
		{"a trust domain that is not served", Config{ForwardedClientCert: xfcc, TrustDomains: []string{"x.example"}}, visit{addr: sidecar, md: says(orders)}, Caller{}, "trust domain"},
		{"Linkerd", Config{LinkerdClientID: l5d}, visit{addr: sidecar, md: []string{headerLinkerd, meshed}}, byLinkerd, ""},
		{"Linkerd with a SPIFFE id", Config{LinkerdClientID: l5d}, visit{addr: sidecar, md: []string{headerLinkerd, orders}}, Caller{orders, LinkerdClient}, ""},
		{"Linkerd twice", Config{LinkerdClientID: l5d}, visit{addr: sidecar, md: []string{headerLinkerd, meshed, headerLinkerd, meshed}}, Caller{}, "2 headers"},
		{"Linkerd with something else", Config{LinkerdClientID: l5d}, visit{addr: sidecar, md: []string{headerLinkerd, "a b"}}, Caller{}, "not an identity of Linkerd's"},
		{"two proxies, two names", Config{ForwardedClientCert: xfcc, LinkerdClientID: l5d}, visit{addr: sidecar, md: append(says(orders), headerLinkerd, meshed)}, Caller{}, "name two callers"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			check(t, newResolver(t, c.config, Wiring{}), c.visit.context(), c.want, c.says)
		})
	}
}

// A certificate that was good at the handshake is looked at again with each call.
func TestCertificateExpiresDuringTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, cert := newAuthority(t).issue(time.Now().Add(time.Hour), orders)
		r, ctx := newResolver(t, Config{PeerCertificate: true}, Wiring{}), visit{cert: cert}.context()
		check(t, r, ctx, Caller{orders, PeerCertificate}, "")
		<-time.After(time.Hour + time.Second)
		check(t, r, ctx, Caller{}, "expired at")
	})
}

func TestContextHoldsNoOtherName(t *testing.T) {
	t.Parallel()
	ctx := visit{md: []string{headerForwarded, "URI=" + forged, headerLinkerd, meshed, headerAuthorization, "Bearer x", "meraki-priority", "bulk"}}.context()
	md, _ := metadata.FromIncomingContext(With(ctx, Caller{ID: orders}))
	if len(md) != 1 || !slices.Equal(md["meraki-priority"], []string{"bulk"}) {
		t.Errorf("left: %v", md)
	}
	if was, _ := metadata.FromIncomingContext(ctx); len(was) != 4 {
		t.Errorf("the caller's own context has changed: %v", was)
	}
	for _, h := range []string{headerForwarded, headerLinkerd, headerAuthorization} {
		if v := metadata.ValueFromIncomingContext(With(ctx, Caller{ID: orders}), h); v != nil {
			t.Errorf("%s is left: %v", h, v)
		}
	}
	if _, ok := metadata.FromIncomingContext(With(context.Background(), Caller{ID: orders})); ok {
		t.Error("there is metadata where there was none")
	}
}

func TestContext(t *testing.T) {
	t.Parallel()
	if got := From(context.Background()); got != Anonymous {
		t.Errorf("nobody asked: %v", got)
	}
	c := Caller{orders, Token}
	if got := From(With(context.Background(), c)); got != c || got.String() != orders || got.Source.String() != "token" {
		t.Errorf("got %v", got)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	token := func(change func(*TokenConfig)) Config {
		c := &TokenConfig{KeysFile: "k", Issuer: "https://issuer.example", Audiences: []string{"merakid"}}
		change(c)
		return Config{Token: c}
	}
	trusted := func(s ...string) Config { return Config{ForwardedClientCert: &ProxyConfig{Trusted: s}} }
	cases := []struct {
		config Config
		says   string
	}{
		{trusted(), "forwarded_client_cert.trusted: names nobody"},
		{Config{LinkerdClientID: &ProxyConfig{}}, "linkerd_client_id.trusted: names nobody"},
		{trusted("10.0.0.0/8", "0.0.0.0/0"), "forwarded_client_cert.trusted[1]: 0.0.0.0/0 trusts the whole world"},
		{trusted("::/0"), "trusts the whole world"},
		{trusted("localhost"), "is neither a network"},
		{trusted("fe80::1%eth0"), "is neither a network"},
		{trusted("10.1.2.3/8"), "write 10.0.0.0/8"},
		{trusted("::ffff:10.0.0.0/104"), "write it as IPv4"},
		{trusted("spiffe://*"), "leaves the trust domain open"},
		{trusted("spiffe://mesh*"), "leaves the trust domain open"},
		{trusted("spiffe://mesh.example/*/sa"), "not at its end"},
		{Config{TrustDomains: []string{"spiffe://a"}}, "trust_domains[0]: "},
		{token(func(c *TokenConfig) { c.KeysURL = "https://a" }), "token.keys_file: give either"},
		{token(func(c *TokenConfig) { c.KeysFile = "" }), "token.keys_file: give either"},
		{token(func(c *TokenConfig) { c.Issuer = "" }), "token.issuer: "},
		{token(func(c *TokenConfig) { c.Audiences = nil }), "token.audiences: "},
		{token(func(c *TokenConfig) { c.Algorithms = []string{"RS256", "HS256"} }), "token.algorithms[1]: "},
		{token(func(c *TokenConfig) { c.Algorithms = []string{"none"} }), "token.algorithms[0]: "},
		{token(func(c *TokenConfig) { c.SPIFFE, c.Prefix = true, "jwt:" }), "token.prefix: "},
		{token(func(c *TokenConfig) { c.KeysFile, c.KeysURL = "", "http://issuer.example/keys" }), "token.keys_url: "},
		{token(func(c *TokenConfig) { c.KeysFile, c.KeysURL = "", "https://u:p@issuer.example/keys" }), "token.keys_url: "},
	}
	for _, c := range cases {
		err := c.config.Validate()
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line that says %q", err, c.says)
		}
		if _, err := NewResolver(c.config, Wiring{}); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("a resolver was made of what is refused with %q", c.says)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	r, err := NewResolver(Config{ForwardedClientCert: &ProxyConfig{Trusted: []string{"127.0.0.0/8"}}}, Wiring{})
	if err != nil {
		b.Fatal(err)
	}
	header := `By=spiffe://mesh.example/ns/broker/sa/merakid;Hash=` + strings.Repeat("0a", 32) + `;Subject="";URI=` + orders
	ctx := visit{addr: tcp("127.0.0.6"), md: []string{headerForwarded, header, "content-type", "application/grpc"}}.context()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Resolve(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
