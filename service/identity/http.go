package identity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
)

// headerKey is where older clients of the Dashboard send their key.
const headerKey = "X-Cisco-Meraki-API-Key"

// ResolveHTTP says who made an HTTP request, and gives the credential that came
// with it where that is none of the broker's: perhaps a Dashboard key of the
// caller's own. as is the name in a path of the form /as/NAME/; empty without one.
// The error is as Resolve's.
func (r *Resolver) ResolveHTTP(req *http.Request, as string) (c Caller, ownKey string, err error) {
	credential, err := credentialOf(req.Header)
	if err != nil {
		return Caller{}, "", err
	}
	if credential != "" && r.statics != nil {
		if c, ok := r.statics.find(credential); ok {
			if as != "" && c.ID != tokenPrefix+as {
				return Caller{}, "", unknown("the token is of another caller than the path /as/%s names", as)
			}
			return c, "", nil
		}
	}
	ctx := r.contextOf(req)
	jwt := r.tokens != nil && strings.Count(credential, ".") == 2
	if as != "" {
		p, _ := peer.FromContext(ctx)
		switch {
		case jwt:
			return Caller{}, "", unknown("the call names a caller twice: by a token and by the path /as/%s", as)
		case r.as == nil || !r.as.peer(p):
			return Caller{}, "", unknown("the path /as/%s names a caller, and this client is none whose word counts for that; see identity.path.trusted", as)
		}
		return Caller{ID: asPrefix + as, Source: Path}, credential, nil
	}
	if !r.on {
		if r.statics == nil && r.as == nil {
			return Anonymous, credential, nil
		}
	} else {
		md, _ := metadata.FromIncomingContext(ctx)
		if jwt {
			md.Set(headerAuthorization, "Bearer "+credential)
			credential = ""
		} else {
			md.Delete(headerAuthorization)
		}
		c, err = r.Resolve(metadata.NewIncomingContext(ctx, md))
		if err == nil || jwt || credential == "" {
			return c, credential, err
		}
	}
	if credential == "" {
		return Caller{}, "", unknown("the call names no caller; send a token of the broker's as Authorization: Bearer, or as %s", headerKey)
	}
	// Whoever is known by nothing but a Dashboard key is named by it. Such a caller
	// gets no key of the broker's: see Source OwnKey.
	sum := sha256.Sum256([]byte(credential))
	return Caller{ID: keyPrefix + hex.EncodeToString(sum[:8]), Source: OwnKey}, credential, nil
}

// credentialOf takes the credential from the two headers in which clients send one.
func credentialOf(h http.Header) (string, error) {
	var found string
	for _, value := range h.Values("Authorization") {
		scheme, text, _ := strings.Cut(value, " ")
		text = strings.TrimSpace(text)
		if !strings.EqualFold(scheme, "bearer") || text == "" || len(text) > maxToken {
			return "", unknown("the authorization header is not a bearer token; send \"Bearer \" and the token")
		}
		if found != "" && found != text {
			return "", unknown("the call has two credentials that differ; send one")
		}
		found = text
	}
	for _, value := range h.Values(headerKey) {
		text := strings.TrimSpace(value)
		if text == "" || len(text) > maxToken {
			return "", unknown("the header %s is empty or too long", headerKey)
		}
		if found != "" && found != text {
			return "", unknown("the call has two credentials that differ; send one")
		}
		found = text
	}
	return found, nil
}

// contextOf gives a request the form that the other sources read: the peer with its
// certificate, and the headers as metadata.
func (r *Resolver) contextOf(req *http.Request) context.Context {
	md := make(metadata.MD, 4)
	for _, key := range [...]string{headerForwarded, headerLinkerd, headerAuthorization} {
		if v := req.Header.Values(key); len(v) > 0 {
			md[key] = v
		}
	}
	return metadata.NewIncomingContext(peer.NewContext(req.Context(), peerOf(req)), md)
}

// peerOf is who a request came from, with the certificate of the connection.
func peerOf(req *http.Request) *peer.Peer {
	p := &peer.Peer{Addr: addrOf(req)}
	if req.TLS != nil {
		p.AuthInfo = credentials.TLSInfo{State: *req.TLS}
	}
	return p
}

// addrOf is where a request came from.
func addrOf(req *http.Request) net.Addr {
	if local, ok := req.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok {
		return local
	}
	at, err := netip.ParseAddrPort(req.RemoteAddr)
	if err != nil {
		return &net.TCPAddr{}
	}
	return net.TCPAddrFromAddrPort(at)
}
