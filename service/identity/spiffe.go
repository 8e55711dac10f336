package identity

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits of the SPIFFE standard: SPIFFE-ID sections 2.1 and 2.3.
const (
	spiffeScheme    = "spiffe://"
	maxSPIFFEID     = 2048
	maxTrustDomain  = 255
	maxShownInError = 80
)

// errNoURI tells a certificate that names no SPIFFE id from one that names a
// wrong one.
var errNoURI = errors.New("names no URI")

// spiffeID checks that s is a SPIFFE id of a workload: a trust domain and a path
// of at least one segment, and nothing of what else a URI may hold. What passes
// has exactly one spelling, so that rules may compare it as text.
func spiffeID(s string) error {
	rest, ok := strings.CutPrefix(s, spiffeScheme)
	if !ok {
		return fmt.Errorf("%q does not begin with %s", clip(s), spiffeScheme)
	}
	if len(s) > maxSPIFFEID {
		return fmt.Errorf("is longer than %d bytes", maxSPIFFEID)
	}
	domain, path, _ := strings.Cut(rest, "/")
	if !trustDomain(domain) {
		return fmt.Errorf("%q has no valid trust domain", clip(s))
	}
	if path == "" {
		return fmt.Errorf("%q names a trust domain, not a workload", clip(s))
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, notInPath) {
			return fmt.Errorf("%q has no valid path", clip(s))
		}
	}
	return nil
}

// trustDomain reports whether s is the name of a trust domain.
func trustDomain(s string) bool {
	return s != "" && len(s) <= maxTrustDomain && !strings.ContainsFunc(s, notInDomain)
}

// domainOf gives the trust domain of a valid SPIFFE id.
func domainOf(id string) string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(id, spiffeScheme), "/")
	return domain
}

func notInDomain(r rune) bool {
	return !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-' || r == '_')
}

func notInPath(r rune) bool { return notInDomain(r) && !('A' <= r && r <= 'Z') }

// certificateID is the SPIFFE id of a client certificate, which must name it as
// its one and only URI (X509-SVID section 2): with two, whoever reads it would
// choose whom to believe it is. The handshake checked the dates when the
// connection began; a connection outlives a certificate, so they are checked again.
func certificateID(c *x509.Certificate, now time.Time) (string, error) {
	switch {
	case now.After(c.NotAfter):
		return "", fmt.Errorf("expired at %s", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return "", fmt.Errorf("is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	case len(c.URIs) == 0:
		return "", errNoURI
	case len(c.URIs) > 1:
		return "", fmt.Errorf("names %d URIs; a caller has one", len(c.URIs))
	case c.IsCA:
		return "", errors.New("is an authority's, not a workload's")
	}
	id := c.URIs[0].String()
	if err := spiffeID(id); err != nil {
		return "", err
	}
	return id, nil
}

// clip bounds what of a foreign text is shown in an error.
func clip(s string) string {
	if len(s) > maxShownInError {
		return s[:maxShownInError] + "..."
	}
	return s
}
