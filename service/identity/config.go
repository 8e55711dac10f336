package identity

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/setting"
)

// A Config says how callers are known. Everything is off when it is empty:
// everyone is anonymous, and the daemon then listens on loopback alone unless it
// is told otherwise.
//
// Several sources may be on. A token comes first: one that is not valid is an
// error, also where another source would know the caller. Then what a trusted
// proxy says, then the client certificate.
type Config struct {
	// PeerCertificate takes the caller from the client certificate of the
	// connection: its one SPIFFE id. For callers that speak mutual TLS with the
	// broker itself, without a mesh between.
	PeerCertificate bool `yaml:"peer_certificate"`
	// ForwardedClientCert takes it from x-forwarded-client-cert, the header of
	// Envoy and Istio.
	ForwardedClientCert *ProxyConfig `yaml:"forwarded_client_cert"`
	// LinkerdClientID takes it from l5d-client-id, the header of Linkerd.
	LinkerdClientID *ProxyConfig `yaml:"linkerd_client_id"`
	// Token takes it from a JWT in the authorization header.
	Token *TokenConfig `yaml:"token"`
	// StaticTokens takes it, over REST, from a token of the broker's own: for clients
	// that send one fixed text where they would send a Dashboard key.
	StaticTokens *StaticTokenConfig `yaml:"static_tokens"`
	// Path takes it, over REST, from the path: /as/NAME/api/v1 is the caller as:NAME.
	// For clients that can send nothing.
	Path *ProxyConfig `yaml:"path"`
	// TrustDomains are the SPIFFE trust domains that callers may be of, such as
	// cluster.local. Absent for every one that the certificates' authority signs for.
	TrustDomains []string `yaml:"trust_domains" jsonschema:"minItems=1,minLength=1"`
}

// A ProxyConfig says whose word about the caller counts.
type ProxyConfig struct {
	// Trusted are the proxies: addresses or networks (127.0.0.1, 10.1.0.0/16),
	// "unix" for every peer on a unix socket, SPIFFE ids of their client
	// certificates, exact or ending in "*". Loopback is not trusted unless it is
	// named: list 127.0.0.0/8 for a sidecar (Istio's comes from 127.0.0.6). From
	// everyone else the header is dropped unread.
	//
	// Each header has its own list, because a proxy that writes the one passes
	// on the other as a client sent it.
	Trusted []string `yaml:"trusted" jsonschema:"required,minItems=1"`
}

// A TokenConfig says which tokens count.
type TokenConfig struct {
	// KeysFile holds the issuer's public keys: a JSON Web Key Set, or PEM. It is
	// re-read when it changes. Either this or KeysURL.
	KeysFile string `yaml:"keys_file" jsonschema:"minLength=1"`
	// KeysURL is where the issuer publishes its key set (jwks_uri): https, or
	// http to a loopback address. Fetched every five minutes, and when a token
	// names a key that is not known.
	KeysURL string `yaml:"keys_url" jsonschema:"pattern=^https?://."`
	// Issuer is the iss that tokens must have. Required.
	Issuer string `yaml:"issuer" jsonschema:"required,minLength=1"`
	// Audiences: a token must be for one of them. Required: without it a token
	// that was meant for another service would count here.
	Audiences []string `yaml:"audiences" jsonschema:"required,minItems=1,minLength=1"`
	// Algorithms that tokens may be signed with: RS256, RS384, RS512, PS256,
	// PS384, PS512, ES256, ES384, ES512, EdDSA. Absent for RS256, ES256 and EdDSA.
	Algorithms []string `yaml:"algorithms" jsonschema:"minItems=1,enum=RS256,enum=RS384,enum=RS512,enum=PS256,enum=PS384,enum=PS512,enum=ES256,enum=ES384,enum=ES512,enum=EdDSA"`
	// Claim that names the caller; sub when absent.
	Claim string `yaml:"claim" jsonschema:"minLength=1"`
	// Prefix goes before the claim, so that an issuer's names cannot be mistaken
	// for another source's: with "jwt:" the caller is "jwt:orders". May be empty.
	Prefix string `yaml:"prefix"`
	// SPIFFE says that the claim is a SPIFFE id (JWT-SVID) and stands for the
	// same caller as a certificate with that id.
	SPIFFE bool `yaml:"spiffe"`
}

// A StaticTokenConfig says where the tokens of the broker's own are known from.
type StaticTokenConfig struct {
	// File holds the name of each token and the SHA-256 of it in hex, as YAML:
	// "exporter: 5e88…". The caller is then token:exporter. It is re-read when it
	// changes. merakid -new-token NAME makes a token and its line. Required.
	File string `yaml:"file" jsonschema:"required,minLength=1"`
}

// On reports whether a source is switched on.
func (c *Config) On() bool {
	return c.PeerCertificate || c.ForwardedClientCert != nil || c.LinkerdClientID != nil || c.Token != nil
}

// OnREST reports whether a source is switched on for the REST face.
func (c *Config) OnREST() bool { return c.On() || c.StaticTokens != nil || c.Path != nil }

// Validate says what is wrong, by key.
func (c *Config) Validate() error {
	var wrong setting.Errors
	for i, d := range c.TrustDomains {
		if !trustDomain(d) {
			wrong.Wrong(fmt.Sprintf("trust_domains[%d]", i), "%q is not a trust domain; write it without spiffe://, as in cluster.local", clip(d))
		}
	}
	for _, p := range []struct {
		key   string
		proxy *ProxyConfig
	}{{keyForwarded, c.ForwardedClientCert}, {keyLinkerd, c.LinkerdClientID}, {keyPath, c.Path}} {
		if p.proxy != nil {
			_, err := newTrust(p.key, p.proxy.Trusted)
			wrong.Add("", err)
		}
	}
	if c.StaticTokens != nil && c.StaticTokens.File == "" {
		wrong.Wrong("static_tokens.file", "is required; merakid -new-token NAME makes a token and its line")
	}
	if c.Token != nil {
		wrong.Add("token", c.Token.validate())
	}
	return wrong.Err()
}

// The keys of the lists of trusted peers, for errors.
const (
	keyForwarded = "forwarded_client_cert.trusted"
	keyLinkerd   = "linkerd_client_id.trusted"
	keyPath      = "path.trusted"
)

// algorithms gives those that are allowed.
func (c *TokenConfig) algorithms() []string {
	if len(c.Algorithms) == 0 {
		return []string{"RS256", "ES256", "EdDSA"}
	}
	return c.Algorithms
}

func (c *TokenConfig) validate() error {
	var wrong setting.Errors
	if (c.KeysFile == "") == (c.KeysURL == "") {
		wrong.Wrong("keys_file", "give either keys_file or keys_url")
	}
	if c.Issuer == "" {
		wrong.Wrong("issuer", "is required; it is the iss of the tokens that count")
	}
	if len(c.Audiences) == 0 || slices.Contains(c.Audiences, "") {
		wrong.Wrong("audiences", "name at least one, and none that is empty; a token for another service must not count here")
	}
	switch {
	case ownName(c.Prefix):
		wrong.Wrong("prefix", "%q stands before the names that tokens and paths of the REST face give; take another", c.Prefix)
	case c.SPIFFE && c.Prefix != "":
		wrong.Wrong("prefix", "does not go with spiffe: true, where the claim is the whole name")
	}
	for i, a := range c.Algorithms {
		if !slices.Contains(algorithms[:], a) {
			wrong.Wrong(fmt.Sprintf("algorithms[%d]", i), "%q is not one of %s", clip(a), strings.Join(algorithms[:], ", "))
		}
	}
	if c.KeysURL != "" {
		u, err := url.Parse(c.KeysURL)
		if err != nil || u.Host == "" || u.User != nil || !(u.Scheme == "https" || u.Scheme == "http" && loopback(u.Hostname())) {
			wrong.Wrong("keys_url", "must be an https address without a password in it (http goes to loopback alone)")
		}
	}
	return wrong.Err()
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
