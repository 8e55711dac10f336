package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// A keySet is public keys that tokens are checked with. It does not change.
type keySet []tokenKey

// A tokenKey is one of them.
type tokenKey struct {
	id     string // kid; empty for a key of a PEM file
	alg    string // the one algorithm it is for; empty for every one of its type
	public crypto.PublicKey
}

const (
	// maxTokenKeys bounds a set: an issuer publishes two or three.
	maxTokenKeys = 100
	// minRSABits is what NIST SP 800-131A asks for.
	minRSABits = 2048
	// maxRSABits bounds the work that one token asks for.
	maxRSABits = 16384
)

var errNoTokenKey = errors.New("holds no public key that can check a token")

// parseKeySet reads a JSON Web Key Set (RFC 7517), or PEM blocks of public keys
// and certificates. skipped says which keys of a set cannot be used, and why; it is an
// error only where none can.
func parseKeySet(b []byte) (set keySet, skipped []error, err error) {
	b = bytes.TrimSpace(bytes.TrimPrefix(b, []byte("\ufeff"))) // some editors begin a file so
	switch {
	case bytes.HasPrefix(b, []byte("{")):
		set, skipped, err = parseJWKS(b)
	case bytes.HasPrefix(b, []byte("<")):
		err = errors.New("is a page in HTML or XML, and no JSON Web Key Set")
	case bytes.Contains(b, []byte("-----BEGIN ")):
		set, err = parsePEM(b)
	case len(b) == 0:
		err = errors.New("is empty")
	default:
		err = errors.New("is neither a JSON Web Key Set nor keys in PEM")
	}
	switch {
	case err != nil:
		return nil, nil, err
	case len(set) == 0 && len(skipped) > 0:
		return nil, skipped, fmt.Errorf("%w: %w", errNoTokenKey, errors.Join(skipped[:min(len(skipped), 3)]...))
	case len(set) == 0:
		return nil, nil, errNoTokenKey
	case len(set) > maxTokenKeys:
		return nil, skipped, fmt.Errorf("holds more than %d keys", maxTokenKeys)
	}
	return set, skipped, nil
}

func parsePEM(b []byte) (keySet, error) {
	var set keySet
	for {
		var block *pem.Block
		block, b = pem.Decode(b)
		if block == nil {
			return set, nil
		}
		var public crypto.PublicKey
		var err error
		switch block.Type {
		case "PUBLIC KEY":
			public, err = x509.ParsePKIXPublicKey(block.Bytes)
		case "RSA PUBLIC KEY":
			public, err = x509.ParsePKCS1PublicKey(block.Bytes)
		case "CERTIFICATE":
			var c *x509.Certificate
			if c, err = x509.ParseCertificate(block.Bytes); err == nil {
				public = c.PublicKey
			}
		default:
			if strings.Contains(block.Type, "PRIVATE KEY") {
				return nil, errors.New("holds a private key; checking a token takes the public one alone")
			}
			err = errors.New("is of a type that holds no public key")
		}
		if err == nil {
			err = usable(public)
		}
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(set)+1, err)
		}
		set = append(set, tokenKey{public: public})
	}
}

// parseJWKS reads a set key by key: one that cannot be used costs only itself. A set
// may hold keys for other uses and of types to come (RFC 7517 section 5), and an issuer
// may publish one that is too weak beside a good one.
func parseJWKS(b []byte) (set keySet, skipped []error, err error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
		Set  string            `json:"jwks_uri"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, nil, errors.New("is not a JSON Web Key Set")
	}
	if doc.Keys == nil && doc.Set != "" {
		return nil, nil, fmt.Errorf("is the issuer's configuration; the keys are where it says, at %q", clip(doc.Set))
	}
	for i, raw := range doc.Keys {
		key, used, err := parseJWK(raw)
		switch {
		case err != nil:
			skipped = append(skipped, fmt.Errorf("keys[%d] %w", i, err))
		case used:
			set = append(set, key)
		}
	}
	return set, skipped, nil
}

// parseJWK reads one key; used is false for one that is meant for something else
// than signatures.
func parseJWK(raw json.RawMessage) (key tokenKey, used bool, err error) {
	var meant struct {
		Type string   `json:"kty"`
		Use  string   `json:"use"`
		Ops  []string `json:"key_ops"`
		X    string   `json:"x"`
	}
	if err := json.Unmarshal(raw, &meant); err != nil {
		return tokenKey{}, false, errors.New("is not a key")
	}
	if meant.Use != "" && meant.Use != "sig" || len(meant.Ops) > 0 && !slices.Contains(meant.Ops, "verify") {
		return tokenKey{}, false, nil
	}
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		// The library's text may quote the document.
		return tokenKey{}, false, errors.New("cannot be read, or is of a type that is not known")
	}
	if !k.IsPublic() {
		return tokenKey{}, false, errors.New("is a secret key; checking a token takes the public one alone")
	}
	if err := usable(k.Key); err != nil {
		return tokenKey{}, false, err
	}
	// The library fills a short Edwards key up with zeros.
	if meant.Type == "OKP" && base64.RawURLEncoding.DecodedLen(len(strings.TrimRight(meant.X, "="))) != ed25519.PublicKeySize {
		return tokenKey{}, false, errors.New("has not the length of an Ed25519 key")
	}
	key = tokenKey{id: k.KeyID, alg: k.Algorithm, public: k.Key}
	if key.alg != "" && !(slices.Contains(algorithms[:], key.alg) && key.signs(key.alg)) {
		// One for encryption, say, whose use is not told: no token can be its.
		return tokenKey{}, false, fmt.Errorf("is for the algorithm %q, and no token that is signed by it is taken", clip(key.alg))
	}
	return key, true, nil
}

// usable refuses keys that are too weak or of no type that signs tokens.
func usable(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		switch {
		case p.N.BitLen() < minRSABits:
			return fmt.Errorf("is an RSA key of %d bits; %d are the least", p.N.BitLen(), minRSABits)
		case p.N.BitLen() > maxRSABits:
			return fmt.Errorf("is an RSA key of %d bits; %d are the most", p.N.BitLen(), maxRSABits)
		case p.E < 3 || p.E%2 == 0 || p.E > 1<<31-1 || p.N.Bit(0) == 0:
			return errors.New("is an RSA key with an exponent or a modulus that none has")
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return fmt.Errorf("is of a type that signs no tokens: %T", public)
	}
	return nil
}

// find gives the keys that may have signed a token: those of its kid, where it
// names one and the keys have names; of its algorithm's type in any case.
func (s keySet) find(kid, alg string) []tokenKey {
	var out []tokenKey
	for _, k := range s {
		if (kid == "" || k.id == "" || k.id == kid) && k.signs(alg) {
			out = append(out, k)
		}
	}
	return out
}

// signs reports whether a token signed with alg can be this key's.
func (k tokenKey) signs(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	switch p := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(alg, "RS") || strings.HasPrefix(alg, "PS")
	case *ecdsa.PublicKey:
		// Each ES algorithm is bound to one curve: RFC 7518 section 3.4.
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] == p.Params().BitSize
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}
