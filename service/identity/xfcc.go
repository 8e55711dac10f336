package identity

import (
	"errors"
	"fmt"
	"strings"
)

// headerForwarded is Envoy's header about client certificates:
//
//	By=spiffe://b;Hash=0a1b;Subject="CN=x, O=\"y\"";URI=spiffe://a,By=...;URI=...
//
// An element for each hop, oldest first, separated by commas; in an element
// key=value pairs, separated by semicolons; a value that holds one of , ; = stands
// in double quotes, in which a backslash takes the next character's meaning away.
//
// The *last* element is what counts: it is the one that the nearest proxy, the
// trusted one, wrote about the connection that it accepted. A proxy told to
// SANITIZE_SET writes the only element; one told to APPEND_FORWARD (Istio's
// sidecars) writes the last one and passes on what came before, which nobody
// here can vouch for. FORWARD_ONLY and ALWAYS_FORWARD_ONLY pass the client's
// own header on: a proxy so configured must not be trusted.
const headerForwarded = "x-forwarded-client-cert"

// maxForwarded bounds the header. With Cert and Chain forwarded it holds whole
// certificates; the server's own limit of header size comes before this one.
const maxForwarded = 64 << 10

// A forwarded is one element: what one proxy said about its client. Hash, Cert,
// Chain and Subject stand in it once at the most.
type forwarded struct {
	By, URI, DNS, Hash, Cert, Chain, Subject []string
}

// parseForwarded reads all elements. It is strict: a header that can be read in
// two ways, such as one with a quote that a client left open for the proxy's own
// element to close, is an error.
func parseForwarded(s string) ([]forwarded, error) {
	if len(s) > maxForwarded {
		return nil, fmt.Errorf("is longer than %d bytes", maxForwarded)
	}
	var elements []forwarded
	var e forwarded
	for {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			return nil, errors.New("has a part without a value")
		}
		value, after, err := forwardedValue(rest)
		if err != nil {
			return nil, err
		}
		if err := e.set(strings.TrimLeft(key, " \t"), value); err != nil {
			return nil, err
		}
		after = strings.TrimLeft(after, " \t")
		if after == "" {
			return append(elements, e), nil
		}
		if after[0] == ',' {
			elements = append(elements, e)
			e = forwarded{}
		}
		s = after[1:]
	}
}

// forwardedValue takes one value off the front of s. What is left begins with a
// comma, a semicolon, or is empty.
func forwardedValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, `,;"`)
		switch {
		case i < 0:
			return s, "", nil
		case s[i] == '"':
			return "", "", errors.New("has a quote inside a value")
		}
		return s[:i], s[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i+1 == len(s) {
				return "", "", errors.New("ends in a backslash")
			}
			i++
			// \" is a quote; of an escape of the subject's own both bytes stay.
			if s[i] != '"' {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case '"':
			rest := s[i+1:]
			if rest != "" && rest[0] != ',' && rest[0] != ';' {
				return "", "", errors.New("goes on behind a closing quote")
			}
			return b.String(), rest, nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("has a quote that is not closed")
}

// set adds one pair. Keys are compared without regard to case; one that is not
// known is a newer Envoy's and is passed over.
func (e *forwarded) set(key, value string) error {
	var to *[]string
	once := false
	switch strings.ToLower(key) {
	case "by":
		to = &e.By
	case "uri":
		to = &e.URI
	case "dns":
		to = &e.DNS
	case "hash":
		to, once = &e.Hash, true
	case "cert":
		to, once = &e.Cert, true
	case "chain":
		to, once = &e.Chain, true
	case "subject":
		to, once = &e.Subject, true
	default:
		if key == "" || strings.ContainsFunc(key, notInKey) {
			return errors.New("has a value whose name is none")
		}
		return nil
	}
	if once && len(*to) > 0 {
		return fmt.Errorf("names %s twice in one element", key)
	}
	// Envoy writes a key without a value where the certificate has nothing to say.
	if value != "" || once {
		*to = append(*to, value)
	}
	return nil
}

func notInKey(r rune) bool { return notInPath(r) }

// forwardedID is the SPIFFE id of the client that the nearest proxy saw. It is
// errNoURI when the proxy saw no client certificate, or one without a URI.
func forwardedID(header string) (string, error) {
	elements, err := parseForwarded(header)
	if err != nil {
		return "", err
	}
	last := elements[len(elements)-1]
	switch {
	case len(last.URI) == 0:
		return "", errNoURI
	case len(last.URI) > 1:
		return "", fmt.Errorf("names %d URIs; a caller has one", len(last.URI))
	}
	if err := spiffeID(last.URI[0]); err != nil {
		return "", err
	}
	return last.URI[0], nil
}
