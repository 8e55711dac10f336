package rest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// What a proxy in front says about the address that the client used. It counts where
// the proxy may say so; see Config.Forwarded.
const (
	headerForwardedProto = "X-Forwarded-Proto"
	headerForwardedHost  = "X-Forwarded-Host"
)

// addressed is scheme and host as the client used them. Links are written with
// these: a client that finds another host in them stops, or goes past the broker.
// Who has addressed the vendor's host has done so over TLS, which ended on the way
// here: a link in plain text would carry the credential in the clear.
func (h *Handler) addressed(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if name, port, _ := strings.Cut(host, ":"); r.TLS != nil || h.known(name) && (port == "" || port == "443") {
		scheme = "https"
	}
	if h.config.Forwarded == nil || !h.config.Forwarded(r) {
		return scheme, host
	}
	// Of several values nobody can say which the client used: they are as none.
	if v := only(r.Header, headerForwardedProto); strings.EqualFold(v, "http") || strings.EqualFold(v, "https") {
		scheme = strings.ToLower(v)
	}
	if v := only(r.Header, headerForwardedHost); isHost(v) {
		host = v
	}
	return scheme, host
}

// known tells a name by which clients reach the broker or the Dashboard, beside the
// one that a request was sent to.
func (h *Handler) known(host string) bool {
	return slices.ContainsFunc(h.config.Hosts, func(name string) bool { return strings.EqualFold(host, name) })
}

// foreignName refuses a web page by its name, where callers are known by their address
// or not at all. A proxy whose word counts about the address may pass any name on.
func (h *Handler) foreignName(r *http.Request, caller identity.Caller) *fault.Error {
	proven := caller.Source != identity.NoSource && caller.Source != identity.Path
	if proven || h.known(r.Host) || h.config.Forwarded != nil && h.config.Forwarded(r) {
		return nil
	}
	return identity.ForeignName(r)
}

// base is what the client puts in front of paths: scheme, host and prefix.
func (h *Handler) base(r *http.Request, t target) string {
	scheme, host := h.addressed(r)
	return scheme + "://" + host + t.base
}

// only gives the value of a header that has exactly one.
func only(header http.Header, name string) string {
	if v := header.Values(name); len(v) == 1 {
		return strings.TrimSpace(v[0])
	}
	return ""
}

// isHost tells a host, with or without a port, from what would change a link.
func isHost(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-._:[]", c) >= 0) {
			return false
		}
	}
	return s != "" && len(s) <= 260
}
