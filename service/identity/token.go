package identity

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"github.com/merakibroker/merakibroker/service/fault"
)

const (
	headerAuthorization = "authorization"
	// maxToken bounds a token; the server bounds all headers together.
	maxToken = 16 << 10
	// maxName bounds a caller's name that comes from a claim.
	maxName = 256
	// leeway for clocks that differ between the issuer and here.
	leeway = 30 * time.Second
)

// algorithms that may be allowed. "none" and the HMAC family are not among them:
// with a public key for a secret, anybody could sign.
var algorithms = [...]string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
}

// tokens checks JSON Web Tokens and takes the caller from a claim.
type tokens struct {
	parser *jwt.Parser
	source keySource
	claim  string
	prefix string
	spiffe bool
	seen   seenTokens
}

func newTokens(c *TokenConfig) *tokens {
	t := &tokens{claim: c.Claim, prefix: c.Prefix, spiffe: c.SPIFFE}
	if t.claim == "" {
		t.claim = "sub"
	}
	t.parser = jwt.NewParser(
		jwt.WithValidMethods(c.algorithms()),
		jwt.WithIssuer(c.Issuer),
		jwt.WithAudience(c.Audiences...),
		jwt.WithExpirationRequired(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
	)
	return t
}

// resolve takes the caller from the values of the authorization header.
func (t *tokens) resolve(ctx context.Context, values []string) (Caller, error) {
	if len(values) > 1 {
		return Caller{}, unknown("the call has %d authorization headers; send one", len(values))
	}
	scheme, text, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") || text == "" || len(text) > maxToken {
		return Caller{}, unknown("the authorization header is not a bearer token; send \"Bearer \" and the token")
	}
	keys, now := t.source.keys(), time.Now()
	sum := sha256.Sum256([]byte(text))
	if c, ok := t.seen.get(sum, keys, now); ok {
		return c, nil
	}
	claims, err := t.parse(text, keys)
	if errors.Is(err, errNoKey) && t.source.renew(ctx) {
		keys = t.source.keys()
		claims, err = t.parse(text, keys)
	}
	switch {
	case err == nil:
	case keys == nil:
		return Caller{}, &fault.Error{
			Kind: fault.Unreachable, Reason: "TOKEN_KEYS_UNAVAILABLE", RetryAfter: keysAgain, Cause: err,
			Detail: "the issuer's keys could not be fetched yet, so no token can be checked; try again in a moment",
		}
	default:
		f := unknown("the bearer token is not accepted: %s", refusal(err))
		f.Cause = err
		return Caller{}, f
	}
	name, err := t.name(claims)
	if err != nil {
		return Caller{}, unknown("the bearer token is not accepted: its claim %s %s", t.claim, err)
	}
	c := Caller{ID: name, Source: Token}
	if expires, err := claims.GetExpirationTime(); err == nil && expires != nil {
		t.seen.put(sum, keys, seenToken{caller: c, until: expires.Add(leeway)}, now)
	}
	return c, nil
}

var (
	errNoKey    = errors.New("no key of the issuer's fits it")
	errCritical = errors.New("it asks for an extension that is not known (crit)")
)

func (t *tokens) parse(text string, keys *keySet) (jwt.MapClaims, error) {
	claims := jwt.MapClaims{}
	_, err := t.parser.ParseWithClaims(text, claims, func(token *jwt.Token) (any, error) {
		if _, ok := token.Header["crit"]; ok {
			return nil, errCritical // RFC 7515 section 4.1.11
		}
		if keys == nil {
			return nil, errNoKey
		}
		kid, _ := token.Header["kid"].(string)
		fit := keys.find(kid, token.Method.Alg())
		if len(fit) == 0 {
			return nil, errNoKey
		}
		var set jwt.VerificationKeySet
		for _, k := range fit {
			set.Keys = append(set.Keys, k.public)
		}
		return set, nil
	})
	return claims, err
}

// refusal says why in words that tell a caller what to do, and an attacker
// nothing. What the library says stays in the cause.
func refusal(err error) string {
	reasons := []struct {
		is   error
		text string
	}{
		{errCritical, errCritical.Error()},
		{errNoKey, "no key of the issuer's fits its key id and algorithm"},
		{jwt.ErrTokenMalformed, "it is not a JSON Web Token"},
		{jwt.ErrTokenSignatureInvalid, "its signature is not the issuer's, or its algorithm is not allowed"},
		{jwt.ErrTokenRequiredClaimMissing, "it lacks one of exp, iss and aud"},
		{jwt.ErrTokenExpired, "it has expired; fetch a new one"},
		{jwt.ErrTokenNotValidYet, "it is not valid yet"},
		{jwt.ErrTokenInvalidAudience, "it is for another audience"},
		{jwt.ErrTokenInvalidIssuer, "it is of another issuer"},
	}
	for _, r := range reasons {
		if errors.Is(err, r.is) {
			return r.text
		}
	}
	return "it cannot be checked"
}

// name takes the caller's name from the claim. A name of the kind that another
// source gives out must not come from a token's issuer, unless the configuration
// says that it gives out SPIFFE ids (JWT-SVIDs) or puts a prefix before it.
func (t *tokens) name(claims jwt.MapClaims) (string, error) {
	name, ok := claims[t.claim].(string)
	switch {
	case !ok:
		return "", errors.New("is missing or not a text")
	case name == "" || len(name) > maxName && !t.spiffe || len(name) > maxSPIFFEID:
		return "", fmt.Errorf("is empty or longer than %d bytes", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", errors.New("holds characters that cannot be printed")
	}
	if t.spiffe {
		return name, spiffeID(name)
	}
	given := t.prefix + name // a prefix may be the beginning of another source's
	if given == anonymousID || given == Operator.ID || ownName(given) ||
		strings.HasPrefix(given, spiffeScheme) && !strings.HasPrefix(t.prefix, spiffeScheme) ||
		linkerdID(given) == nil && strings.Contains(given, linkerdInfix) {
		return "", errors.New("has the form of a name that another source gives; set a prefix, or spiffe: true where the issuer is a SPIFFE one")
	}
	return given, nil
}
