package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/setting"
)

// A Resolver finds out who calls.
type Resolver struct {
	on        bool
	peer      bool
	forwarded *trust
	linkerd   *trust
	tokens    *tokens
	statics   *staticTokens // over REST
	as        *trust        // over REST: whose word counts for /as/NAME/
	domains   []string
	missing   string // what a caller without an identity is told
	// read are the headers of the trusted proxies, of which one is for many calls.
	read seenHeaders
}

// A Wiring is what a Resolver needs beside its Config. All of it may be empty,
// except for Files when keys come from a file.
type Wiring struct {
	// Files re-reads the file with the issuer's keys.
	Files *secretfile.Watcher
	// Client fetches the issuer's keys; one with the defaults when nil.
	Client *http.Client
	// Log gets a line when keys cannot be fetched.
	Log *slog.Logger
	// Fetched is told how each fetch of keys ended, for a counter.
	Fetched func(err error)
}

// NewResolver builds what the configuration says. Close ends what it started.
func NewResolver(c Config, w Wiring) (*Resolver, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Resolver{on: c.On(), peer: c.PeerCertificate, domains: c.TrustDomains}
	var ways []string
	if c.Token != nil {
		ways = append(ways, "a bearer token")
	}
	if p := c.ForwardedClientCert; p != nil {
		t, err := newTrust(keyForwarded, p.Trusted)
		if err != nil {
			return nil, err
		}
		r.forwarded = &t
		ways = append(ways, headerForwarded+" from a trusted proxy")
	}
	if p := c.LinkerdClientID; p != nil {
		t, err := newTrust(keyLinkerd, p.Trusted)
		if err != nil {
			return nil, err
		}
		r.linkerd = &t
		ways = append(ways, headerLinkerd+" from a trusted proxy")
	}
	if c.PeerCertificate {
		ways = append(ways, "a client certificate with a SPIFFE id")
	}
	if p := c.Path; p != nil {
		t, err := newTrust(keyPath, p.Trusted)
		if err != nil {
			return nil, err
		}
		r.as = &t
	}
	if c.StaticTokens != nil {
		if w.Files == nil {
			return nil, errors.New("static_tokens.file: nobody re-reads files") // a slip of the wiring
		}
		r.statics = new(staticTokens)
		if err := w.Files.Add(secretfile.Group{Name: "static tokens", Paths: []string{c.StaticTokens.File}, Load: r.statics.load}); err != nil {
			return nil, setting.Below("static_tokens.file", err)
		}
	}
	r.missing = "the call names no caller; it takes " + strings.Join(ways, ", or ")
	if c.Token == nil {
		return r, nil
	}
	t := newTokens(c.Token)
	if w.Log == nil {
		w.Log = slog.Default()
	}
	t.source.log = w.Log
	if file := c.Token.KeysFile; file != "" {
		if w.Files == nil {
			return nil, errors.New("token.keys_file: nobody re-reads files") // a slip of the wiring
		}
		if err := w.Files.Add(secretfile.Group{Name: "token keys", Paths: []string{file}, Load: t.source.load}); err != nil {
			return nil, setting.Below("token.keys_file", err)
		}
	} else {
		if w.Client == nil {
			w.Client = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
		}
		if w.Fetched == nil {
			w.Fetched = func(error) {}
		}
		t.source.fetchFrom(c.Token.KeysURL, w.Client, w.Fetched)
	}
	r.tokens = t
	return r, nil
}

// Ready is an error while there is no key to check tokens with. A replica that never
// had a key must not replace one that has, so it is not ready.
func (r *Resolver) Ready() error {
	if r.tokens != nil && r.tokens.source.keys() == nil {
		return errors.New("no key to check tokens with")
	}
	return nil
}

// TokenKeys is how many keys there are to check tokens with, and how many of the
// latest document are left out because they cannot be used.
func (r *Resolver) TokenKeys() (usable, leftOut int) {
	if r.tokens == nil {
		return 0, 0
	}
	if set := r.tokens.source.keys(); set != nil {
		usable = len(*set)
	}
	return usable, int(r.tokens.source.skipped.Load())
}

// Close ends the fetching of keys.
func (r *Resolver) Close() {
	if r.tokens != nil {
		r.tokens.source.close()
	}
}

// Resolve says who made the RPC that ctx belongs to. The error is a *fault.Error
// of kind CallerUnknown, or of kind Unreachable while there are no keys yet to
// check tokens with.
func (r *Resolver) Resolve(ctx context.Context) (Caller, error) {
	if !r.on {
		return Anonymous, nil
	}
	c, err := r.find(ctx)
	if err != nil {
		return Caller{}, err
	}
	if len(r.domains) > 0 && strings.HasPrefix(c.ID, spiffeScheme) && !slices.Contains(r.domains, domainOf(c.ID)) {
		return Caller{}, unknown("the caller is of trust domain %q, which is not one that the broker serves", clip(domainOf(c.ID)))
	}
	return c, nil
}

func (r *Resolver) find(ctx context.Context) (Caller, error) {
	if r.tokens != nil {
		if v := metadata.ValueFromIncomingContext(ctx, headerAuthorization); len(v) > 0 {
			return r.tokens.resolve(ctx, v)
		}
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, unknown("%s", r.missing)
	}
	certificate, certErr := peerID(p, time.Now())
	trusted := func(t *trust) bool {
		return t != nil && (t.address(p.Addr) || certErr == nil && t.ids.Match(certificate))
	}
	forwardedOK, linkerdOK := trusted(r.forwarded), trusted(r.linkerd)
	if forwardedOK || linkerdOK {
		return r.fromProxy(ctx, forwardedOK, linkerdOK)
	}
	if r.peer && !errors.Is(certErr, errNoCertificate) {
		if certErr != nil {
			return Caller{}, unknown("the client certificate %s", certErr)
		}
		return Caller{ID: certificate, Source: PeerCertificate}, nil
	}
	return Caller{}, unknown("%s", r.missing)
}

// fromProxy takes the caller from what a trusted proxy says. A proxy that names
// nobody has let in a caller that it does not know. The proxy's own certificate is no
// identity for that call: the proxy did not make it.
func (r *Resolver) fromProxy(ctx context.Context, forwardedOK, linkerdOK bool) (Caller, error) {
	var found []Caller
	if forwardedOK {
		if v := metadata.ValueFromIncomingContext(ctx, headerForwarded); len(v) > 0 {
			// Several headers of one name mean the same as one with commas: RFC 9110 section 5.3.
			id, err := r.read.id(strings.Join(v, ","))
			switch {
			case err == nil:
				found = append(found, Caller{ID: id, Source: ForwardedCertificate})
			case !errors.Is(err, errNoURI):
				return Caller{}, unknown("the header %s %s", headerForwarded, err)
			}
		}
	}
	if linkerdOK {
		if v := metadata.ValueFromIncomingContext(ctx, headerLinkerd); len(v) > 0 {
			if len(v) > 1 {
				return Caller{}, unknown("the call has %d headers %s; a proxy sets one", len(v), headerLinkerd)
			}
			if err := linkerdID(v[0]); err != nil {
				return Caller{}, unknown("the header %s %s", headerLinkerd, err)
			}
			found = append(found, Caller{ID: v[0], Source: LinkerdClient})
		}
	}
	switch {
	case len(found) == 0:
		return Caller{}, unknown("the proxy in front of the broker names no caller; call it with mutual TLS from inside of the mesh")
	case len(found) > 1 && found[0].ID != found[1].ID:
		return Caller{}, unknown("%s and %s name two callers; switch on the source that the mesh sets", headerForwarded, headerLinkerd)
	}
	return found[0], nil
}

// errNoCertificate: the peer showed none, or none that was checked.
var errNoCertificate = errors.New("is missing")

// peerID is the SPIFFE id of the peer's client certificate. One that the
// handshake did not verify is as good as none.
func peerID(p *peer.Peer, now time.Time) (string, error) {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return "", errNoCertificate
	}
	var leaf *x509.Certificate = info.State.VerifiedChains[0][0]
	return certificateID(leaf, now)
}

// unknown is a caller that is not known, with the reason.
func unknown(format string, args ...any) *fault.Error {
	return &fault.Error{Kind: fault.CallerUnknown, Detail: fmt.Sprintf(format, args...)}
}
