package dashboard

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errHTTP2 is why a pool gave no connection: the host prefers HTTP/2.
var errHTTP2 = errors.New("the host speaks HTTP/2")

// A pool keeps the HTTP/1.1 connections to one host. It starts no goroutine, and
// neither do its connections: an attempt dials, writes and reads in the caller's.
type pool struct {
	origin  string // scheme://host
	host    string // as the Host header has it
	address string // host:port to dial
	dialer  *net.Dialer
	tls     *tls.Config // nil for plain text
	most    int         // connections kept
	age     time.Duration

	// general: requests go through net/http, because a proxy stands in between, or
	// the host has turned out to speak HTTP/2.
	general atomic.Bool

	mu     sync.Mutex
	idle   []*connection // the longest idle first
	sweep  *time.Timer   // runs while anything is idle
	closed bool
}

// pools are those of a client, by scheme://host.
type pools struct {
	base *pool
	mu   sync.RWMutex
	m    map[string]*pool
}

// pool finds or makes the pool of a URL's host.
func (c *Client) pool(u *url.URL) *pool {
	ps := &c.pools
	if b := ps.base; b != nil && u.Host == b.host && u.Scheme == c.hosts.scheme {
		return b
	}
	key := u.Scheme + "://" + u.Host
	ps.mu.RLock()
	p := ps.m[key]
	ps.mu.RUnlock()
	if p != nil {
		return p
	}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p = ps.m[key]; p == nil {
		p = c.newPool(key, u)
		ps.m[key] = p
	}
	return p
}

func (c *Client) newPool(origin string, u *url.URL) *pool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	p := &pool{
		origin: origin, host: u.Host, address: net.JoinHostPort(u.Hostname(), port), dialer: c.dialer,
		most: c.config.MaxIdleConnsPerHost, age: c.config.IdleTimeout,
	}
	if u.Scheme == "https" {
		p.tls = &tls.Config{RootCAs: c.config.RootCAs, MinVersion: tls.VersionTLS12, ServerName: u.Hostname(), NextProtos: []string{"h2", "http/1.1"}}
		if c.config.DisableHTTP2 {
			p.tls.NextProtos = p.tls.NextProtos[1:]
		}
	}
	proxied := false
	if c.config.Proxy != nil {
		to, err := c.config.Proxy(&http.Request{URL: u})
		proxied = to != nil || err != nil
	}
	// Names beyond ASCII and addresses with a zone are written in another way on
	// the wire, which net/http knows.
	p.general.Store(!peeks || proxied || strings.Contains(u.Host, "%") || !printable(u.Host))
	return p
}

// get gives a connection that can be used until a time: the one used last, whose
// buffers and window are warm, or a new one.
func (p *pool) get(ctx context.Context, until time.Time) (*connection, error) {
	for {
		p.mu.Lock()
		last := len(p.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			return p.dial(ctx, until)
		}
		k := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		p.mu.Unlock()
		if k.quiet() && k.SetDeadline(until) == nil && k.alive() {
			k.until = until
			return k, nil
		}
		_ = k.Close()
	}
}

// put keeps a connection for the next attempt.
func (p *pool) put(k *connection) {
	k.since = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= p.most {
		_ = k.Close()
		return
	}
	p.idle = append(p.idle, k)
	if len(p.idle) > 1 {
		return // it is being swept
	}
	if p.sweep == nil {
		p.sweep = time.AfterFunc(p.age, p.sweepIdle)
	} else {
		p.sweep.Reset(p.age)
	}
}

// sweepIdle closes what nobody has used for long.
func (p *pool) sweepIdle() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	old := 0
	for old < len(p.idle) && now.Sub(p.idle[old].since) >= p.age {
		_ = p.idle[old].Close()
		old++
	}
	left := copy(p.idle, p.idle[old:])
	clear(p.idle[left:])
	p.idle = p.idle[:left]
	if left > 0 {
		p.sweep.Reset(p.age - now.Sub(p.idle[0].since))
	}
}

// close closes what is idle, and from now on what would be.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
	for _, k := range p.idle {
		_ = k.Close()
	}
	p.idle = nil
}

// dial makes a connection, TLS included.
func (p *pool) dial(ctx context.Context, until time.Time) (*connection, error) {
	limit := time.Now().Add(p.dialer.Timeout)
	if until.Before(limit) {
		limit = until
	}
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	c, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	k := &connection{Conn: c, until: until}
	if s, ok := c.(syscall.Conn); ok {
		k.raw, _ = s.SyscallConn()
	}
	if p.tls != nil {
		t := tls.Client(c, p.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		if t.ConnectionState().NegotiatedProtocol == "h2" {
			// net/http makes one of its own, once for a host.
			_ = t.Close()
			p.general.Store(true)
			return nil, errHTTP2
		}
		k.Conn = t
	}
	if err := k.SetDeadline(until); err != nil {
		_ = k.Close()
		return nil, err
	}
	k.reader = bufio.NewReader(k)
	k.interrupt = func() { _ = k.SetDeadline(time.Unix(1, 0)) }
	return k, nil
}
