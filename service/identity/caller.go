// Package identity says who calls, as a typed value in the context, and what
// that caller may do. The caller comes from the client certificate, from what a
// trusted proxy says about it, or from a token; the policy is rules, and what no
// rule allows is refused. Nothing else in the service reads certificates,
// tokens or the headers of a mesh.
package identity

import (
	"context"
	"strings"

	"google.golang.org/grpc/metadata"
)

// A Source is where a caller's name comes from.
type Source uint8

// The sources.
const (
	// NoSource: no source is switched on, and everyone is anonymous.
	NoSource Source = iota
	// PeerCertificate: the SPIFFE id of the client certificate of the connection.
	PeerCertificate
	// ForwardedCertificate: x-forwarded-client-cert, from a trusted Envoy.
	ForwardedCertificate
	// LinkerdClient: l5d-client-id, from a trusted Linkerd proxy.
	LinkerdClient
	// Token: a JSON Web Token in the authorization header.
	Token
	// StaticToken: a token of the broker's own, over REST.
	StaticToken
	// Path: the name in the path /as/NAME/, over REST.
	Path
	// OwnKey: nothing but a Dashboard key of the caller's own, over REST. Such a
	// caller is never given a key of the broker's.
	OwnKey
	// OwnPort: whoever reaches the operator's port, which has no other callers.
	OwnPort
)

var sources = [...]string{
	NoSource: "none", PeerCertificate: "peer certificate", ForwardedCertificate: "x-forwarded-client-cert",
	LinkerdClient: "l5d-client-id", Token: "token", StaticToken: "static token", Path: "path", OwnKey: "own key", OwnPort: "operator's port",
}

// String names the source as logs do.
func (s Source) String() string {
	if int(s) < len(sources) {
		return sources[s]
	}
	return "unknown"
}

// A Caller is a service that calls. It is comparable.
type Caller struct {
	// ID is the name that rules, fairness and the record of attempts go by:
	// spiffe://mesh.example/ns/shop/sa/orders, a Linkerd identity, a token's subject.
	ID     string
	Source Source
}

// Anonymous is the caller where no source is switched on, and the answer to who
// calls where nobody has asked yet.
var Anonymous = Caller{ID: anonymousID}

const anonymousID = "anonymous"

// Operator is the caller on the operator's port. No rule is about it: it may do whatever
// that port serves.
var Operator = Caller{ID: "operator", Source: OwnPort}

// String gives the caller's name.
func (c Caller) String() string { return c.ID }

// An introduced is a context that holds the caller, made by With.
type introduced struct {
	context.Context
	caller Caller
}

type contextKey struct{}

// With gives a context that holds the caller. Its metadata no longer has the headers
// that name a caller, so that no later stage can believe them or pass them on.
func With(ctx context.Context, c Caller) context.Context { return &introduced{ctx, c} }

// Value gives the caller, and the metadata without the headers that name one. Few
// later stages read the metadata, so the headers are removed only when one does.
func (k *introduced) Value(key any) any {
	if key == (contextKey{}) {
		return &k.caller
	}
	value := k.Context.Value(key)
	if md, ok := value.(metadata.MD); ok {
		return sanitized(md)
	}
	return value
}

// sanitized is the metadata without the headers that name a caller. The values are
// shared: package metadata copies what it gives away.
func sanitized(md metadata.MD) metadata.MD {
	out := make(metadata.MD, len(md))
	for key, values := range md {
		switch strings.ToLower(key) {
		case headerForwarded, headerLinkerd, headerAuthorization:
		default:
			out[key] = values
		}
	}
	return out
}

// From asks the context who calls. Anonymous when it does not know.
func From(ctx context.Context) Caller {
	if c, ok := ctx.Value(contextKey{}).(*Caller); ok {
		return *c
	}
	return Anonymous
}
