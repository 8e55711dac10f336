package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
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
)

var errNoTokenKey = errors.New("holds no public key that can check a token")

// parseKeySet reads a JSON Web Key Set (RFC 7517), or PEM blocks of public keys
// and certificates.
func parseKeySet(b []byte) (keySet, error) {
	b = bytes.TrimSpace(b)
	read := parsePEM
	if bytes.HasPrefix(b, []byte("{")) {
		read = parseJWKS
	}
	set, err := read(b)
	switch {
	case err != nil:
		return nil, err
	case len(set) == 0:
		return nil, errNoTokenKey
	case len(set) > maxTokenKeys:
		return nil, fmt.Errorf("holds more than %d keys", maxTokenKeys)
	}
	return set, nil
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

// A jwk is what is read of one key of a set: RFC 7517 section 4, RFC 7518
// section 6, RFC 8037 section 2.
type jwk struct {
	Kty, Use, Alg, Kid, Crv string
	KeyOps                  []string `json:"key_ops"`
	N, E, X, Y, D, K        string
}

func parseJWKS(b []byte) (keySet, error) {
	var doc struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, errors.New("is not a JSON Web Key Set")
	}
	var set keySet
	for i, k := range doc.Keys {
		// A set may hold keys for other uses, and of types to come: RFC 7517 section 5.
		if k.Use != "" && k.Use != "sig" || len(k.KeyOps) > 0 && !slices.Contains(k.KeyOps, "verify") {
			continue
		}
		if k.D != "" || k.K != "" {
			return nil, fmt.Errorf("keys[%d] is a secret key; checking a token takes the public one alone", i)
		}
		public, err := k.public()
		if err == nil && public != nil {
			err = usable(public)
		}
		if err != nil {
			return nil, fmt.Errorf("keys[%d]: %w", i, err)
		}
		if public != nil {
			set = append(set, tokenKey{id: k.Kid, alg: k.Alg, public: public})
		}
	}
	return set, nil
}

// public gives the key; nil for a type that is not known.
func (k *jwk) public() (crypto.PublicKey, error) {
	switch k.Kty {
	case "RSA":
		n, err := k.number("n", k.N)
		if err != nil {
			return nil, err
		}
		e, err := k.number("e", k.E)
		if err != nil {
			return nil, err
		}
		exponent := new(big.Int).SetBytes(e)
		if !exponent.IsInt64() || exponent.Int64() < 3 || exponent.Int64() > 1<<31-1 {
			return nil, errors.New("e is not an exponent")
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
	case "EC":
		return k.ecdsa()
	case "OKP":
		x, err := k.number("x", k.X)
		if err != nil || k.Crv != "Ed25519" {
			return nil, err
		}
		if len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x has not the length of an Ed25519 key")
		}
		return ed25519.PublicKey(x), nil
	}
	return nil, nil
}

func (k *jwk) ecdsa() (crypto.PublicKey, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve, ok := curves[k.Crv]
	if !ok {
		return nil, nil
	}
	x, err := k.number("x", k.X)
	if err != nil {
		return nil, err
	}
	y, err := k.number("y", k.Y)
	if err != nil {
		return nil, err
	}
	size := (curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y have not the length of %s", k.Crv)
	}
	// Checks that the point is on the curve.
	return ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, x, y))
}

func (k *jwk) number(name, text string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%s is missing or not base64url", name)
	}
	return b, nil
}

// usable refuses keys that are too weak or of no type that signs tokens.
func usable(public crypto.PublicKey) error {
	switch p := public.(type) {
	case *rsa.PublicKey:
		if p.N.BitLen() < minRSABits {
			return fmt.Errorf("is an RSA key of %d bits; %d are the least", p.N.BitLen(), minRSABits)
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
