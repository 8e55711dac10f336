package dashboard

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/merakibroker/merakibroker/service/contract/canonical"
)

// vendorDomains are the vendor's domains, one for each of its clouds; a subdomain
// is a shard or a region. Source: the vendor's list of base URLs.
var vendorDomains = [...]string{"meraki.com", "meraki.ca", "meraki.cn", "meraki.in", "gov-meraki.com"}

// apiRoot is the path on the vendor's hosts below which the paths of the contract
// begin.
const apiRoot = "/api/v1"

// hosts knows which hosts may receive the API key, and where the API begins on
// each.
type hosts struct {
	scheme string
	base   string // host or host:port, lower case
	origin string // scheme://base
	prefix string // of BaseURL's path, without a slash at its end
}

// ErrPlainHTTP is the reason for which a base URL with http is refused.
var ErrPlainHTTP = errors.New("over http everyone on the way can read the API key")

// newHosts reads the base URL. plain allows http to other machines.
func newHosts(base string, plain bool) (*hosts, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("dashboard: the base URL cannot be read: %w", err)
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.Opaque != "" {
		return nil, fmt.Errorf("dashboard: the base URL %q is not http(s)://host/path", u.Redacted())
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("dashboard: the base URL of host %q must have no user, query or fragment", u.Host)
	}
	if u.Scheme == "http" && !plain && !local(u.Hostname()) {
		return nil, fmt.Errorf("dashboard: the base URL %q leads to another machine, and %w", base, ErrPlainHTTP)
	}
	h := &hosts{
		scheme: u.Scheme,
		base:   bareHost(u),
		prefix: strings.TrimRight(u.EscapedPath(), "/"),
	}
	h.origin = h.scheme + "://" + h.base
	if dotted(h.prefix) {
		return nil, fmt.Errorf("dashboard: the base URL's path %q has dot segments", h.prefix)
	}
	if vendors(strings.ToLower(u.Hostname())) && h.prefix != apiRoot {
		return nil, fmt.Errorf("dashboard: the base URL %q is one of the vendor's hosts, where the API begins at %s; write %s%s", base, apiRoot, h.origin, apiRoot)
	}
	return h, nil
}

// bareHost is the host of u in lower case, without the scheme's usual port.
func bareHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":")
}

// local tells whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// vendors tells whether a host, in lower case, is in one of the vendor's domains.
func vendors(host string) bool {
	for _, d := range vendorDomains {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// originOf is scheme://host of u. The host of u has to be as bareHost gives it.
func (h *hosts) originOf(u *url.URL) string {
	if u.Host == h.base && u.Scheme == h.scheme {
		return h.origin
	}
	return u.Scheme + "://" + u.Host
}

// refuse says why u must not receive the key; empty when it may.
func (h *hosts) refuse(u *url.URL) string {
	if u.Scheme != "https" && u.Scheme != "http" {
		return "leads to a scheme other than https"
	}
	if u.User != nil || u.Opaque != "" || u.Host == "" {
		return "names a user or no host"
	}
	host := bareHost(u)
	if u.Scheme == h.scheme && host == h.base {
		return ""
	}
	if !vendors(host) {
		return "leads to a host outside of the vendor's domains"
	}
	if u.Scheme != "https" {
		return "leads to plain http, where the key would be readable"
	}
	return ""
}

// below gives the path of u below the API's root, in the canonical form that the
// contract's paths have.
func (h *hosts) below(u *url.URL) (path string, ok bool) {
	rest, ok := h.cut(u)
	if !ok {
		return "", false
	}
	path, err := canonical.Path(rest)
	return path, err == nil
}

// cut removes the API's root from the front of u's path, and leaves the rest
// unchanged.
func (h *hosts) cut(u *url.URL) (rest string, ok bool) {
	p := u.EscapedPath()
	ours := bareHost(u) == h.base && u.Scheme == h.scheme
	switch {
	case ours && h.prefix != "" && strings.HasPrefix(p, h.prefix+"/"):
		return p[len(h.prefix):], true
	case strings.HasPrefix(p, apiRoot+"/"):
		// This holds for the base host too: a proxy with a prefix of its own may
		// pass the vendor's Link header on unchanged.
		return p[len(apiRoot):], true
	case ours && h.prefix == "":
		return p, true
	}
	return "", false
}

// Below gives the path below the API's root and the query of an address that the
// Dashboard named, both unchanged. ok is false where the address leads to no path
// of the API.
func (c *Client) Below(address string) (target string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || !cleanQuery(u.RawQuery) {
		return "", false
	}
	if _, ok := c.hosts.below(u); !ok {
		return "", false
	}
	target, _ = c.hosts.cut(u)
	if u.RawQuery != "" {
		target += "?" + u.RawQuery
	}
	return target, true
}

// hostOf names u's host in the form of Request.Host: empty for the base host.
func (h *hosts) hostOf(u *url.URL) string {
	host := bareHost(u)
	if host == h.base && u.Scheme == h.scheme {
		return ""
	}
	return u.Scheme + "://" + host
}

// link reads one URL of a Link header that came in answer to from. A host that
// may not receive the key is replaced by the base host, where the page is the
// same.
func (h *hosts) link(from *url.URL, ref string) *Link {
	u, err := from.Parse(ref)
	if err != nil {
		return &Link{Refusal: "cannot be read"}
	}
	path, ok := h.below(u)
	if !ok || !cleanQuery(u.RawQuery) {
		return &Link{Refusal: "leads to no path of the API"}
	}
	l := &Link{Path: path, Query: u.RawQuery}
	if h.refuse(u) == "" {
		l.Host = h.hostOf(u)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, value, _ := strings.Cut(pair, "=")
		switch name {
		case "startingAfter":
			l.StartingAfter = decoded(value)
		case "endingBefore":
			l.EndingBefore = decoded(value)
		}
	}
	return l
}

// target reads the Location of a redirect that came in answer to from, or gives
// the reason for which the redirect may not be followed.
func (h *hosts) target(from *url.URL, location string) (*Target, string) {
	if location == "" {
		return nil, "names no place to go to"
	}
	u, err := from.Parse(location)
	if err != nil {
		return nil, "names a place that cannot be read"
	}
	if reason := h.refuse(u); reason != "" {
		return nil, reason
	}
	path, ok := h.below(u)
	if !ok || !cleanQuery(u.RawQuery) {
		return nil, "leads out of " + apiRoot
	}
	return &Target{Host: h.hostOf(u), Path: path, Query: u.RawQuery}, ""
}

// decoded is a query value without its encoding. A value that is not properly
// encoded stays unchanged.
func decoded(value string) string {
	s, err := url.QueryUnescape(value)
	if err != nil {
		return value
	}
	return s
}

// dotted tells whether an escaped path has a segment . or .., which a server may
// resolve to a place above the API's root.
func dotted(path string) bool {
	for s := range strings.SplitSeq(path, "/") {
		if len(s) == 0 || len(s) > len("%2e%2e") {
			continue
		}
		if d, err := url.PathUnescape(s); err != nil || d == "." || d == ".." {
			return true
		}
	}
	return false
}

// cleanQuery tells whether an encoded query can stand in a request line.
func cleanQuery(q string) bool {
	for i := range len(q) {
		if q[i] <= ' ' || q[i] == 0x7f || q[i] == '#' {
			return false
		}
	}
	return true
}
