package identity

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc/peer"

	"github.com/merakibroker/merakibroker/service/setting"
)

// A trust says which peers are believed about who calls.
type trust struct {
	unix     bool
	prefixes []netip.Prefix
	ids      Names
}

// trustUnix in a list of trusted peers stands for every peer on a unix socket.
const trustUnix = "unix"

// newTrust reads a list of trusted peers: networks (10.1.0.0/16) or addresses,
// "unix", SPIFFE ids, exact or ending in "*". Loopback is trusted only when it
// is in the list: what else runs in the pod may be anything.
func newTrust(key string, list []string) (trust, error) {
	var t trust
	var wrong setting.Errors
	for i, entry := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case entry == trustUnix:
			t.unix = true
		case strings.HasPrefix(entry, spiffeScheme):
			wrong.Add(at, t.ids.add(entry))
		default:
			p, err := prefixOf(entry)
			wrong.Add(at, err)
			t.prefixes = append(t.prefixes, p)
		}
	}
	if len(list) == 0 {
		wrong.Wrong(key, "names nobody; name the proxies whose word counts: networks, SPIFFE ids or %q", trustUnix)
	}
	return t, wrong.Err()
}

func prefixOf(entry string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(entry)
	if err != nil {
		a, err := netip.ParseAddr(entry)
		if err != nil || a.Zone() != "" {
			return p, fmt.Errorf("%q is neither a network such as 10.1.0.0/16, nor a SPIFFE id, nor %q", clip(entry), trustUnix)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	switch {
	case p.Bits() == 0:
		return p, fmt.Errorf("%s trusts the whole world: then everyone may claim to be anyone", entry)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 network in IPv6 writing; write it as IPv4", clip(entry))
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set behind its length; write %s", entry, p.Masked())
	}
	return p, nil
}

// Proxies tells of a request whether it came straight from one of the trusted: by its
// address, or by the SPIFFE id of its client certificate. key names the list in errors.
func Proxies(key string, c ProxyConfig) (func(*http.Request) bool, error) {
	t, err := newTrust(key+".trusted", c.Trusted)
	if err != nil {
		return nil, err
	}
	return func(r *http.Request) bool { return t.peer(peerOf(r)) }, nil
}

// peer reports whether a peer is trusted, for where it is or for the SPIFFE id of its
// client certificate.
func (t *trust) peer(p *peer.Peer) bool {
	if t.address(p.Addr) {
		return true
	}
	id, err := peerID(p, time.Now())
	return err == nil && t.ids.Match(id)
}

// address reports whether the peer at a is trusted for where it is.
func (t *trust) address(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return t.unix
	case *net.TCPAddr:
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			return false
		}
		ip = ip.Unmap()
		for _, p := range t.prefixes {
			if p.Contains(ip) {
				return true
			}
		}
	}
	return false
}
