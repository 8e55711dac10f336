package identity

import (
	"errors"
	"strings"
)

// headerLinkerd is what Linkerd's inbound proxy sets to the identity of a meshed
// client, after it took away what a client sent under this name.
const headerLinkerd = "l5d-client-id"

// linkerdInfix stands in every identity that Linkerd gives a workload:
// <account>.<namespace>.serviceaccount.identity.<control plane>.<trust domain>
const linkerdInfix = ".serviceaccount.identity."

// maxDNSName: RFC 1035 section 2.3.4.
const maxDNSName = 253

// linkerdID checks that s is a Linkerd identity: a DNS name in lower case, or a
// SPIFFE id where the workload lives outside of Kubernetes.
func linkerdID(s string) error {
	if strings.HasPrefix(s, spiffeScheme) {
		return spiffeID(s)
	}
	if s == "" || len(s) > maxDNSName || strings.ContainsFunc(s, notInDomain) || !strings.Contains(s, ".") {
		return errors.New("is not an identity of Linkerd's")
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" {
			return errors.New("is not an identity of Linkerd's")
		}
	}
	return nil
}
