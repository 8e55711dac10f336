package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	issuerName   = "https://issuer.example"
	audienceName = "merakid"
)

// An issuer signs tokens for tests, with a key of each kind.
type issuer struct {
	t    *testing.T
	keys map[string]crypto.Signer // by algorithm; the kid is the algorithm too
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	is := &issuer{t: t, keys: make(map[string]crypto.Signer)}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	is.keys["RS256"], is.keys["PS256"], is.keys["EdDSA"], is.keys["ES256"] = r, r, e, newKey(t)
	if is.keys["ES384"], err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	return is
}

func number(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwks is the set of all keys.
func (is *issuer) jwks() string {
	is.t.Helper()
	type m = map[string]any
	keys := []m{{"kty": "oct", "use": "enc", "kid": "other"}, {"kty": "XYZ", "kid": "to come"}}
	for alg, key := range is.keys {
		switch p := key.Public().(type) {
		case *rsa.PublicKey:
			keys = append(keys, m{"kty": "RSA", "use": "sig", "kid": alg, "alg": alg, "n": number(p.N.Bytes()), "e": number(big.NewInt(int64(p.E)).Bytes())})
		case *ecdsa.PublicKey:
			point, err := p.Bytes()
			if err != nil {
				is.t.Fatal(err)
			}
			half := (len(point) - 1) / 2
			keys = append(keys, m{"kty": "EC", "kid": alg, "crv": p.Params().Name, "x": number(point[1 : 1+half]), "y": number(point[1+half:])})
		case ed25519.PublicKey:
			keys = append(keys, m{"kty": "OKP", "kid": alg, "crv": "Ed25519", "x": number(p), "key_ops": []string{"verify"}})
		}
	}
	text, err := json.Marshal(m{"keys": keys})
	if err != nil {
		is.t.Fatal(err)
	}
	return string(text)
}

// pem is one public key.
func (is *issuer) pem(alg string) string {
	is.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(is.keys[alg].Public())
	if err != nil {
		is.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// claims that are good for an hour.
func claims(subject string) jwt.MapClaims {
	return jwt.MapClaims{"iss": issuerName, "aud": audienceName, "sub": subject, "exp": time.Now().Add(time.Hour).Unix()}
}

// sign makes a token; header changes the header before it is signed.
func (is *issuer) sign(alg string, c jwt.MapClaims, header map[string]any) string {
	is.t.Helper()
	token := jwt.NewWithClaims(jwt.GetSigningMethod(alg), c)
	token.Header["kid"] = alg
	for k, v := range header {
		if v == nil {
			delete(token.Header, k)
			continue
		}
		token.Header[k] = v
	}
	text, err := token.SignedString(is.keys[alg])
	if err != nil {
		is.t.Fatal(err)
	}
	return text
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// bearer is the visit of a caller with a token and nothing else.
func bearer(token string) visit { return visit{md: []string{headerAuthorization, "Bearer " + token}} }
