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
	"sync/atomic"
	"time"
)

// Config says where the Dashboard is and how far one attempt may go. The zero
// Config is the vendor's public cloud with the defaults named below.
type Config struct {
	// BaseURL ends where the vendor's paths begin. Default https://api.meraki.com/api/v1.
	BaseURL string
	// PlainHTTP allows a BaseURL with http at another machine than this one, where
	// everyone on the way can read the key.
	PlainHTTP bool
	// UserAgent in the vendor's form, "ApplicationName/1.0 VendorName": it shows
	// in the vendor's telemetry. Default "MerakiBroker/1.0 MerakiBroker".
	UserAgent string
	// Timeout bounds one attempt, body included. Default 60 s.
	Timeout time.Duration
	// DialTimeout bounds making a connection, and TLS on it once more. Default 10 s.
	DialTimeout time.Duration
	// ErrorBodyTimeout bounds the body of an answer that is not 2xx: its status
	// is worth more than its text. Default 5 s.
	ErrorBodyTimeout time.Duration
	// MaxBody bounds the body of a 2xx, decompressed, in bytes. Default 64 MiB.
	MaxBody int64
	// MaxErrorBody bounds what is read of any other body, in bytes. Default 64 KiB.
	MaxErrorBody int64
	// IdleTimeout is how long an unused connection is kept. Default 50 s, below
	// the 60 to 75 s after which usual servers close one.
	IdleTimeout time.Duration
	// RootCAs to trust instead of the system's; nil for those.
	RootCAs *x509.CertPool
	// Proxy chooses a proxy for a request, by its URL's scheme and host; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
}

// A Client makes attempts. It is safe for concurrent use.
type Client struct {
	config Config
	hosts  *hosts
	// transport is exchanged, not changed, when other authorities are to be trusted.
	transport atomic.Pointer[http.Transport]
	reader    reader
	closed    atomic.Bool
}

// New makes a Client, or says what is wrong with its configuration.
func New(c Config) (*Client, error) {
	c.defaults()
	h, err := newHosts(c.BaseURL, c.PlainHTTP)
	if err != nil {
		return nil, err
	}
	if c.UserAgent == "" || !printable(c.UserAgent) {
		return nil, fmt.Errorf("dashboard: the user agent %q is not printable ASCII", c.UserAgent)
	}
	if c.Timeout < 0 || c.DialTimeout < 0 || c.ErrorBodyTimeout < 0 || c.IdleTimeout < 0 || c.MaxBody < 0 || c.MaxErrorBody < 0 {
		return nil, errors.New("dashboard: a timeout or a bound is negative")
	}
	if c.Proxy != nil {
		if _, err := c.Proxy(&http.Request{URL: &url.URL{Scheme: h.scheme, Host: h.base}}); err != nil {
			// Its text would show the password that the address may hold.
			return nil, errors.New("dashboard: the address of the proxy (HTTPS_PROXY or HTTP_PROXY) cannot be read")
		}
	}
	client := &Client{config: c, hosts: h}
	client.transport.Store(c.transport())
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
}

const (
	// maxResponseHeader bounds the header of an answer together with the interim
	// answers (1xx) before it, in bytes.
	maxResponseHeader = 256 << 10
	// maxIdleConnections is how many connections to one host are kept. An attempt
	// has a connection to itself, and one address may make 100 attempts a second.
	maxIdleConnections = 256
)

// transport is HTTP/1.1 only: with one request on a connection, what has been
// written says whether the request can have been executed.
func (c *Config) transport() *http.Transport {
	dialer := &net.Dialer{Timeout: c.DialTimeout, KeepAlive: 30 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:       c.Proxy,
		DialContext: dialing(dialer.DialContext),
		TLSClientConfig: &tls.Config{
			RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12,
			// Many connections at once are for the same few hosts; one that resumes a
			// session needs no certificate checked.
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
		TLSHandshakeTimeout:    c.DialTimeout,
		Protocols:              protocols,
		DisableCompression:     true, // ours, so that what comes out of it can be bounded
		MaxIdleConns:           0,    // no bound in all: shards are few
		MaxIdleConnsPerHost:    maxIdleConnections,
		IdleConnTimeout:        c.IdleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
	}
}

// Trust makes every attempt from now on trust these authorities instead of the
// ones before, and nil the system's.
func (c *Client) Trust(authorities *x509.CertPool) {
	config := c.config
	config.RootCAs = authorities
	// Attempts under way end on connections of the old one, which keeps none.
	c.transport.Swap(config.transport()).CloseIdleConnections()
}

// printable tells whether s can be the value of a header.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Close closes the connections that are not in use. An attempt that is made later
// leaves none behind.
func (c *Client) Close() {
	c.closed.Store(true)
	c.transport.Load().CloseIdleConnections()
}
