package identity

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/merakibroker/merakibroker/service/fault"
)

// ReasonWebPage is the reason of a refusal of what a web page has a browser send. A
// browser sends it from its own machine, so that its address says nothing of who wrote
// the page.
const ReasonWebPage = "WEB_PAGE"

var sameOrigin = http.NewCrossOriginProtection()

// OtherOrigin refuses a write that a browser makes for a page of another origin; nil where
// it is none. It goes by what browsers say of their own accord: Sec-Fetch-Site and Origin.
func OtherOrigin(r *http.Request) *fault.Error {
	if sameOrigin.Check(r) == nil {
		return nil
	}
	return &fault.Error{Kind: fault.CallerNotAllowed, Reason: ReasonWebPage,
		Detail: "a browser makes this write for a page of another origin; nothing was sent; call from a program, or from a page of this address"}
}

// ForeignName refuses what a browser sends over the machine's loopback, in the clear, by a
// name that anyone may have pointed there: a page of that name reads the answer as its
// own. nil where it is none.
func ForeignName(r *http.Request) *fault.Error {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok || !local.IP.IsLoopback() || r.TLS != nil || !fromBrowser(r.Header) || ownHost(r.Host) {
		return nil
	}
	return &fault.Error{Kind: fault.CallerNotAllowed, Reason: ReasonWebPage,
		Detail: "a browser's request came over loopback by a name that is not this machine's: a web page may have pointed its name there; nothing was sent; use localhost or an address"}
}

// fromBrowser tells a browser by the headers that it sends whatever the page wants; a page
// can change some of them, and leave out none.
func fromBrowser(h http.Header) bool {
	for _, name := range [...]string{"Accept-Language", "Origin", "Sec-Fetch-Site"} {
		if _, there := h[name]; there {
			return true
		}
	}
	return strings.HasPrefix(h.Get("User-Agent"), "Mozilla/")
}

// ownHost tells a host that nobody else can point anywhere: an address, localhost, and
// names below internal, which the public DNS does not have. Docker's name of its host is
// one of those.
func ownHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	_, err := netip.ParseAddr(host)
	return host == "" || err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".internal")
}
