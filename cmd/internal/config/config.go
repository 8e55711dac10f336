// Package config is the configuration of merakid: the file that -config names, what
// holds where it says nothing, and what is wrong with it.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

// Config is the file that -config names, in YAML. An unknown key is an error.
// A key that is not there has its default; one that is there with a zero has that. Flags win over the file. Durations are
// written as 500ms, 10s, 2m.
type Config struct {
	// Listen is where gRPC is served. Default 127.0.0.1:50051. An address that
	// others can reach needs a source of identity, or AnonymousEverywhere.
	Listen string `yaml:"listen"`
	// Admin is where health, metrics and profiles are served. Default 127.0.0.1:9090.
	// It has no authentication of its own.
	Admin string `yaml:"admin"`
	// REST is where the Dashboard's own API is served, for clients that are not on
	// gRPC: see docs/rest.md. Off when absent; 127.0.0.1:8081 with Sandbox. An address
	// that others can reach needs a source of identity, or AnonymousEverywhere.
	REST string `yaml:"rest"`
	// RESTUnasked tells that nobody has asked for REST: it is left out where its
	// port is taken.
	RESTUnasked bool `yaml:"-"`
	// Upstream is the Dashboard's base address. Default https://api.meraki.com/api/v1.
	Upstream string `yaml:"upstream"`
	// UpstreamPlainHTTP allows an upstream with http on another machine than this
	// one. Everyone on the way there can then read the API key. A proxy is named
	// by HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment.
	UpstreamPlainHTTP bool `yaml:"upstream_plain_http"`
	// UpstreamCAFile holds certificates of authorities, in PEM, that are trusted
	// for the upstream beside the system's: those of an egress proxy that opens
	// TLS to inspect it. It is read again when it changes.
	UpstreamCAFile string `yaml:"upstream_ca_file"`
	// Sandbox serves a simulated Dashboard inside, and asks that one.
	Sandbox bool `yaml:"sandbox"`
	// Simulated says that Upstream is a sandbox on this machine (merakisim), which
	// may give more than the Dashboard does: the rates below are then not held
	// against the Dashboard's. A proxy to the Dashboard is not simulated.
	Simulated bool `yaml:"simulated"`
	// UserAgent in the vendor's form, "ApplicationName/1.0 VendorName".
	UserAgent string `yaml:"user_agent"`
	// AnonymousEverywhere serves callers without identity on an address that
	// others can reach. Everyone who reaches it may then spend your budget.
	AnonymousEverywhere bool `yaml:"anonymous_everywhere"`

	Budget      Budget            `yaml:"budget"`
	Store       Store             `yaml:"store"`
	Identity    identity.Config   `yaml:"identity"`
	Policy      identity.Rules    `yaml:"policy"`
	Credentials credential.Config `yaml:"credentials"`
	TLS         *credential.TLS   `yaml:"tls"`
	Drain       Drain             `yaml:"drain"`
	Log         Log               `yaml:"log"`
	Tracing     telemetry.Tracing `yaml:"tracing"`
	// XDS serves as a control plane says, without a proxy: connections, routes and
	// certificates come from the one that GRPC_XDS_BOOTSTRAP leads to. Only in a
	// merakid built with -tags xds, which is half as large again.
	XDS bool `yaml:"xds"`
	// Preload lists organizations whose networks and devices are learned at
	// start, "*" for all that the key sees. It costs a few requests for each.
	Preload []string `yaml:"preload"`
	// MaxRequestBytes bounds one request of a caller, also after it was decompressed.
	// Default 4 MiB; at the most 64 MiB. Requests of one caller may take 64 MiB
	// together, or four of the largest, those of all callers 256 MiB, or sixteen.
	MaxRequestBytes int `yaml:"max_request_bytes"`
	// CacheBytes bounds the answers kept for reuse. Default 32 MiB; 0 keeps none.
	CacheBytes int64 `yaml:"cache_bytes"`
}

// Budget is what the broker may spend.
type Budget struct {
	// Rate of an organization in requests a second. Default 10, what the
	// Dashboard gives; it cannot be more.
	Rate float64 `yaml:"rate"`
	// Share of Rate that is the broker's, from above 0 to 1, when other applications
	// reach the same organizations without it. Default 1.
	Share float64 `yaml:"share"`
	// Burst of requests at one moment. Default 8.
	Burst float64 `yaml:"burst"`
	// Jitter is the most by which the time to the Dashboard varies. Default
	// 200ms. Burst + Rate x Jitter must not exceed 10, what the Dashboard takes at once.
	Jitter Duration `yaml:"jitter"`
	// AddressRate of the egress address, in requests a second. Default 100. With
	// several replicas behind one address each takes its part of it.
	AddressRate float64 `yaml:"address_rate"`
	// CautiousRate is what the calls of one key may spend together, in requests a
	// second, as long as nobody knows which organization owns what they are about:
	// look-ups of owners, and calls on ids that the Dashboard does not know. Whatever
	// it lets through comes on top of what an organization is known to receive.
	// Default 1.
	CautiousRate float64 `yaml:"cautious_rate"`
	// Deadline of a call that comes without one. Default 60s.
	Deadline Duration `yaml:"deadline"`
}

// Drain says how a replica stops.
type Drain struct {
	// Settle is how long it goes on answering after it has said that it will
	// stop, so that meshes notice. Default 5s; 0s with -sandbox.
	Settle *Duration `yaml:"settle"`
	// Timeout bounds the whole of it; what is still on its way then is cut off.
	// Default 75s; 0s cuts off at once.
	Timeout Duration `yaml:"timeout"`
}

// Log says what is logged to standard error.
type Log struct {
	// Level: debug, info, warn or error. Default info.
	Level string `yaml:"level"`
	// Format: json or text. Default json; text with -sandbox.
	Format string `yaml:"format"`
}

// A Duration is written as Go writes it: 500ms, 10s, 2m.
type Duration time.Duration

// UnmarshalYAML reads a duration.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return fmt.Errorf("line %d: %q is not a duration such as 500ms, 10s or 2m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}

// Read reads a file strictly, over the defaults: a key that the file has with a
// zero or empty value is not absent. No name gives the defaults.
func Read(file string) (*Config, error) {
	c := Default()
	if file == "" {
		return c, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("config %s: %s", file, strings.Join(strings.Fields(err.Error()), " "))
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("config %s: a second document begins with ---; the configuration is one document", file)
	}
	return c, nil
}

// dashboardLimit is what the Dashboard accepts of one organization: ten requests
// a second, and ten at once.
var dashboardLimit = ratelimit.Limit{Rate: 10, Burst: 10}

// addressLimit is what it accepts of one source address.
var addressLimit = ratelimit.Limit{Rate: 100, Burst: 100}

// sandboxREST is where REST is served beside a sandbox.
const sandboxREST = "127.0.0.1:8081"

// sandboxRate is more than anyone asks of a sandbox, requests a second.
const sandboxRate = 1e6

// Default is what holds where the file says nothing, but for what depends on the
// flags; Complete knows that.
func Default() *Config {
	return &Config{
		Listen: "127.0.0.1:50051", Admin: "127.0.0.1:9090", Upstream: "https://api.meraki.com/api/v1",
		UserAgent: "MerakiBroker/1.0 MerakiBroker",
		Budget: Budget{
			Rate: dashboardLimit.Rate, Share: 1, Burst: 8, Jitter: Duration(200 * time.Millisecond),
			AddressRate: addressLimit.Rate, CautiousRate: 1, Deadline: Duration(time.Minute),
		},
		Store:           Store{Prefix: "merakibroker"},
		Drain:           Drain{Timeout: Duration(75 * time.Second)},
		Log:             Log{Level: "info"},
		MaxRequestBytes: 4 << 20,
		CacheBytes:      32 << 20,
	}
}

// Complete fills in what depends on the flags, and says what cannot be.
func (c *Config) Complete() error {
	if c.Drain.Settle == nil {
		settle := Duration(5 * time.Second)
		if c.Sandbox {
			settle = 0
		}
		c.Drain.Settle = &settle
	}
	if c.Sandbox && c.REST == "" {
		c.REST, c.RESTUnasked = sandboxREST, true
	}
	if c.Log.Format == "" {
		c.Log.Format = "json"
		if c.Sandbox {
			c.Log.Format = "text"
		}
	}
	return c.check()
}

func (c *Config) check() error {
	for _, a := range []struct{ key, address string }{{"listen", c.Listen}, {"admin", c.Admin}, {"rest", c.REST}} {
		if a.key == "rest" && a.address == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(a.address); err != nil {
			return fmt.Errorf("%s is %q, which is not host:port", a.key, a.address)
		}
	}
	if u, err := url.Parse(c.Upstream); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("upstream is %q, which is not an http or https address", c.Upstream)
	}
	if c.Budget.Share <= 0 || c.Budget.Share > 1 {
		return fmt.Errorf("budget.share is %g; it goes from above 0 to 1", c.Budget.Share)
	}
	organization, address := dashboardLimit, addressLimit
	if c.Simulated {
		u, err := url.Parse(c.Upstream)
		if err != nil || !Loopback(net.JoinHostPort(u.Hostname(), "0")) {
			return fmt.Errorf("simulated is for an upstream on this machine, and upstream is %q", c.Upstream)
		}
		organization = ratelimit.Limit{Rate: sandboxRate, Burst: 2 * sandboxRate}
		address = organization
	}
	if err := ratelimit.Check(c.Budget.Rate, c.Budget.Burst, time.Duration(c.Budget.Jitter), organization); err != nil {
		return fmt.Errorf("budget: %w", err)
	}
	if c.Budget.CautiousRate <= 0 || c.Budget.CautiousRate > organization.Rate {
		return fmt.Errorf("budget.cautious_rate is %g; it goes from above 0 to %g", c.Budget.CautiousRate, organization.Rate)
	}
	if c.Budget.AddressRate <= 0 || c.Budget.AddressRate > address.Rate {
		return fmt.Errorf("budget.address_rate is %g; it goes from above 0 to %g", c.Budget.AddressRate, address.Rate)
	}
	if err := c.Tracing.Validate(); err != nil {
		return fmt.Errorf("tracing.%w", err)
	}
	if err := c.Store.check(); err != nil {
		return fmt.Errorf("store.%w", err)
	}
	if c.Log.Format != "json" && c.Log.Format != "text" {
		return fmt.Errorf("log.format is %q; it takes json or text", c.Log.Format)
	}
	if c.Budget.Deadline <= 0 {
		return errors.New("budget.deadline is 0s: every call that comes without a deadline would end at once")
	}
	if c.UserAgent == "" {
		return errors.New("user_agent is empty; the vendor asks for ApplicationName/1.0 VendorName")
	}
	if c.MaxRequestBytes < 1 || c.MaxRequestBytes > 64<<20 {
		return fmt.Errorf("max_request_bytes is %d; it goes from 1 to %d", c.MaxRequestBytes, 64<<20)
	}
	if c.CacheBytes < 0 {
		return fmt.Errorf("cache_bytes is %d; it is not below 0", c.CacheBytes)
	}
	return nil
}

// Loopback tells whether an address can be reached from this machine only.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
