package dashboard

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says where the Dashboard is and how far one attempt may go. The zero
// Config is the vendor's public cloud with the defaults named below.
type Config struct {
	// BaseURL ends where the vendor's paths begin. Default https://api.meraki.com/api/v1.
	BaseURL string
	// UserAgent in the vendor's form, "ApplicationName/1.0 VendorName": it shows
	// in the vendor's telemetry. Default "MerakiBroker/1.0 MerakiBroker".
	UserAgent string
	// Timeout bounds one attempt, body included. Default 60 s.
	Timeout time.Duration
	// DialTimeout bounds making a connection, TLS included. Default 10 s.
	DialTimeout time.Duration
	// ErrorBodyTimeout bounds the body of an answer that is not 2xx: its status
	// is worth more than its text. Default 5 s.
	ErrorBodyTimeout time.Duration
	// MaxBody bounds the body of a 2xx, decompressed, in bytes. Default 64 MiB.
	MaxBody int64
	// MaxErrorBody bounds what is read of any other body, in bytes. Default 64 KiB.
	MaxErrorBody int64
	// MaxIdleConnsPerHost is how many connections are kept for the next attempt.
	// Default 256: with HTTP/1.1 an attempt has a connection to itself.
	MaxIdleConnsPerHost int
	// IdleTimeout is how long an unused connection is kept. Default 50 s, below
	// the 60 to 75 s after which usual servers close one.
	IdleTimeout time.Duration
	// ExtraHosts are further hosts that may have the key, each as host or
	// host:port, compared exactly, with the scheme of BaseURL.
	ExtraHosts []string
	// RootCAs to trust instead of the system's; nil for those.
	RootCAs *x509.CertPool
	// Proxy chooses a proxy for a request, by its URL's scheme and host; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// DisableHTTP2 keeps to HTTP/1.1.
	DisableHTTP2 bool
}

// A Client makes attempts. It is safe for concurrent use.
type Client struct {
	config    Config
	hosts     *hosts
	dialer    *net.Dialer
	pools     pools
	transport *http.Transport
	reader    reader
	// fixed is what is the same in the header of every request, behind the host.
	fixed string
}

// New makes a Client, or says what is wrong with its configuration.
func New(c Config) (*Client, error) {
	c.defaults()
	h, err := newHosts(c.BaseURL, c.ExtraHosts)
	if err != nil {
		return nil, err
	}
	if c.UserAgent == "" || !printable(c.UserAgent) {
		return nil, fmt.Errorf("dashboard: the user agent %q is not printable ASCII", c.UserAgent)
	}
	if c.Timeout < 0 || c.DialTimeout < 0 || c.ErrorBodyTimeout < 0 || c.IdleTimeout < 0 || c.MaxBody < 0 || c.MaxErrorBody < 0 {
		return nil, errors.New("dashboard: a timeout or a bound is negative")
	}
	dialer := &net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}
	client := &Client{
		config: c, hosts: h, dialer: dialer, transport: transport(c, dialer),
		fixed: "\r\nUser-Agent: " + c.UserAgent + "\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n",
	}
	base := &url.URL{Scheme: h.scheme, Host: h.base}
	client.pools.m = make(map[string]*pool)
	client.pools.base = client.pool(base)
	return client, nil
}

func (c *Config) defaults() {
	c.BaseURL = cmp.Or(c.BaseURL, "https://api.meraki.com/api/v1")
	c.UserAgent = cmp.Or(c.UserAgent, "MerakiBroker/1.0 MerakiBroker")
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	c.DialTimeout = cmp.Or(c.DialTimeout, 10*time.Second)
	c.ErrorBodyTimeout = cmp.Or(c.ErrorBodyTimeout, 5*time.Second)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, 50*time.Second)
	c.MaxBody = cmp.Or(c.MaxBody, 64<<20)
	c.MaxErrorBody = cmp.Or(c.MaxErrorBody, 64<<10)
	c.MaxIdleConnsPerHost = cmp.Or(c.MaxIdleConnsPerHost, 256)
}

// maxResponseHeader bounds the header of an answer, in bytes.
const maxResponseHeader = 256 << 10

// transport is for what connections of our own do not carry: HTTP/2, proxies, and
// large bodies.
func transport(c Config, dialer *net.Dialer) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!c.DisableHTTP2)
	return &http.Transport{
		Proxy:                  c.Proxy,
		DialContext:            counting(dialer.DialContext),
		TLSClientConfig:        &tls.Config{RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.DialTimeout,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		DisableCompression:     true, // ours, so that what comes out of it can be bounded
		MaxIdleConns:           0,    // no bound in all: shards are few
		MaxIdleConnsPerHost:    c.MaxIdleConnsPerHost,
		IdleConnTimeout:        c.IdleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// printable tells whether s can be the value of a header.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Close closes the connections that are not in use.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.pools.mu.RLock()
	defer c.pools.mu.RUnlock()
	for _, p := range c.pools.m {
		p.close()
	}
}
