// Package config is the configuration of merakid: the file that -config names, what
// holds where it says nothing, and what is wrong with it.
//
// The fields here and in the rooms, with their comments and tags, are the one source:
// the schema, its part in the chart's own, and docs/configuration.md are generated.
package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

//go:generate go run ./generate

// Config is the file that -config names, in YAML. An unknown key is an error.
// A key that is not there, or has no value, has its default; one that is there with
// a zero has that. Flags win over the file. Durations are written as 500ms, 10s, 2m.
// What looks like a number and is a name stands in quotes: organizations: ["123"].
type Config struct {
	// Listen is where gRPC is served. Default 127.0.0.1:50051. An address that
	// others can reach needs a source of identity, or AnonymousEverywhere.
	Listen string `yaml:"listen" jsonschema:"pattern=^[^/ ]*:[0-9]+$"`
	// Admin is where health, metrics and profiles are served. Default 127.0.0.1:9090.
	// It has no authentication of its own for what only reads.
	Admin string `yaml:"admin" jsonschema:"pattern=^[^/ ]*:[0-9]+$"`
	// OperatorsFile holds the tokens of those who may act on the port of Admin, such as
	// hold a caller's bulk: a map of names to SHA-256 sums, one line of which merakid
	// -new-token makes. It is read again when it changes. Without it that port only reads.
	OperatorsFile string `yaml:"operators_file" jsonschema:"minLength=1"`
	// REST is where the Dashboard's own API is served, for clients that are not on
	// gRPC: see docs/rest.md. Off when absent; 127.0.0.1:8081 with Sandbox. An address
	// that others can reach needs a source of identity, or AnonymousEverywhere.
	REST string `yaml:"rest" jsonschema:"pattern=^[^/ ]*:[0-9]+$"`
	// RESTAgents are clients of REST that give up after a while. The broker answers
	// before that: a tenth of the time before, half a second at the least. They stand
	// before those that are known: see docs/rest.md.
	RESTAgents []rest.Agent `yaml:"rest_agents" jsonschema:"minItems=1"`
	// RESTForwarded says whose X-Forwarded-Proto and X-Forwarded-Host count: those of a
	// proxy in front of REST that changes the address. Page links have to name the
	// address that the client used.
	RESTForwarded *identity.ProxyConfig `yaml:"rest_forwarded"`
	// RESTUnasked tells that nobody has asked for REST: it is left out where its
	// port is taken.
	RESTUnasked bool `yaml:"-"`
	// Upstream is the Dashboard's base address. Default https://api.meraki.com/api/v1.
	Upstream string `yaml:"upstream" jsonschema:"pattern=^https?://."`
	// UpstreamPlainHTTP allows an upstream with http on another machine than this
	// one. Everyone on the way there can then read the API key. A proxy is named
	// by HTTPS_PROXY, HTTP_PROXY and NO_PROXY in the environment.
	UpstreamPlainHTTP bool `yaml:"upstream_plain_http"`
	// UpstreamCAFile holds certificates of authorities, in PEM, that are trusted
	// for the upstream beside the system's: those of an egress proxy that opens
	// TLS to inspect it. It is read again when it changes.
	UpstreamCAFile string `yaml:"upstream_ca_file" jsonschema:"minLength=1"`
	// Sandbox serves a simulated Dashboard inside, and asks that one.
	Sandbox bool `yaml:"sandbox"`
	// Simulated says that Upstream is a sandbox on this machine (merakisim), which
	// may give more than the Dashboard does: the rates below are then not held
	// against the Dashboard's. A proxy to the Dashboard is not simulated.
	Simulated bool `yaml:"simulated"`
	// UserAgent in the vendor's form, "ApplicationName/1.0 VendorName".
	UserAgent string `yaml:"user_agent" jsonschema:"minLength=1"`
	// AnonymousEverywhere serves callers without identity on an address that
	// others can reach. Everyone who reaches it may then spend your budget.
	AnonymousEverywhere bool `yaml:"anonymous_everywhere"`

	Budget   Budget          `yaml:"budget"`
	Store    Store           `yaml:"store"`
	Outcomes Outcomes        `yaml:"outcomes"`
	Identity identity.Config `yaml:"identity"`
	// Policy lists the rules, which say what callers may do. What none allows is
	// refused. At least one is needed when a source of identity is on. The rules, and
	// nothing else of this file, are read again when it changes.
	Policy identity.Rules `yaml:"policy" jsonschema:"minItems=1"`
	// Credentials are the Dashboard keys. When absent: the key in the environment
	// variable MERAKI_DASHBOARD_API_KEY, for everything.
	Credentials credential.Config `yaml:"credentials"`
	// TLS of the ports for callers; plain text when absent.
	TLS     *credential.TLS   `yaml:"tls"`
	Usage   Usage             `yaml:"usage"`
	Drain   Drain             `yaml:"drain"`
	Log     Log               `yaml:"log"`
	Audit   Audit             `yaml:"audit"`
	Tracing telemetry.Tracing `yaml:"tracing"`
	// XDS serves as a control plane says, without a proxy: connections, routes and
	// certificates come from the one that GRPC_XDS_BOOTSTRAP leads to. Only in a
	// merakid built with -tags xds, which is half as large again.
	XDS bool `yaml:"xds"`
	// Preload lists organizations whose networks and devices are learned at
	// start, "*" for all that the key sees. It costs a few requests for each.
	Preload []string `yaml:"preload" jsonschema:"minItems=1"`
	// MaxRequestBytes bounds one request of a caller, also after it was decompressed.
	// Default 4 MiB; at the most 64 MiB. Requests of one caller may take 64 MiB
	// together, or four of the largest, those of all callers 256 MiB, or sixteen.
	MaxRequestBytes int `yaml:"max_request_bytes" jsonschema:"minimum=1,maximum=67108864"`
	// CacheBytes bounds the answers kept for reuse. Default 32 MiB; 0 keeps none.
	CacheBytes int64 `yaml:"cache_bytes" jsonschema:"minimum=0,maximum=1099511627776"`
}

// Budget is what the broker may spend.
type Budget struct {
	// Rate of an organization in requests a second. Default 10, what the
	// Dashboard gives; it cannot be more.
	Rate float64 `yaml:"rate" jsonschema:"minimum=0.01"`
	// Share of Rate that is the broker's, from 0.01 to 1, when other applications
	// reach the same organizations without it. Default 1.
	Share float64 `yaml:"share" jsonschema:"minimum=0.01,maximum=1"`
	// Burst of requests at one moment. Default 8.
	Burst float64 `yaml:"burst" jsonschema:"minimum=1"`
	// Jitter is the most by which the time to the Dashboard varies. Default
	// 200ms. Burst + Rate x Jitter must not exceed 10, what the Dashboard takes at once.
	Jitter Duration `yaml:"jitter"`
	// AddressRate of the egress address, in requests a second. Default 100. Where
	// several replicas leave through one address, each needs its part of it here, or
	// all of them need Egress. With Egress it is what all of them have together.
	AddressRate float64 `yaml:"address_rate" jsonschema:"minimum=0.01"`
	// Egress names the address through which this replica and others leave. Those with
	// one name share AddressRate through the store, whatever their load, at one more
	// round trip to the store for a call. While the store is gone each goes on with its
	// part. Replicas that leave through different addresses have different names. Needs
	// store.addresses. Off when absent.
	Egress string `yaml:"egress" jsonschema:"pattern=^[A-Za-z0-9][A-Za-z0-9._-]*$,maxLength=100"`
	// CautiousRate is what the calls of one key may spend together, in requests a
	// second, as long as nobody knows which organization owns what they are about:
	// look-ups of owners, and calls on ids that the Dashboard does not know. Whatever
	// it lets through comes on top of what an organization is known to receive.
	// Default 1.
	CautiousRate float64 `yaml:"cautious_rate" jsonschema:"minimum=0.01"`
	// Deadline of a call that comes without one. Default 60s.
	Deadline Duration `yaml:"deadline"`
	// ActionBatches is how many of the five action batches that an organization may
	// have under way a replica takes for lists of writes: see docs/batches.md. Default
	// 3, which leaves some for other applications.
	ActionBatches int `yaml:"action_batches" jsonschema:"minimum=1,maximum=5"`
}

// Outcomes says how long it is known what became of a write.
type Outcomes struct {
	// Life of the outcome of a named write (an idempotency key). Default 24h; from 1m
	// to 168h.
	Life Duration `yaml:"life"`
	// Grace is how long a write that has not been sent goes on waiting after its caller
	// has left, where the write is named or came over REST. Default 30s; from 1s to 5m.
	Grace Duration `yaml:"grace"`
}

// Usage says for whom there are metrics of what they spend: see docs/usage.md. What
// BrokerService.GetUsage tells does not depend on it.
type Usage struct {
	// Callers is how many callers have metrics of their own, those that came first; the
	// others are counted together, as "other". A caller that has been idle for an hour
	// gives its place to another. Default 50; 0 switches these metrics off.
	Callers int `yaml:"callers" jsonschema:"minimum=0,maximum=200"`
	// Organizations is the same for organizations, whose budgets are shown, too. Default
	// 50; 0 switches these metrics off.
	Organizations int `yaml:"organizations" jsonschema:"minimum=0,maximum=200"`
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
	Level string `yaml:"level" jsonschema:"enum=debug,enum=info,enum=warn,enum=error"`
	// Format: json or text. Default json; text with -sandbox.
	Format string `yaml:"format" jsonschema:"enum=json,enum=text"`
}

// Audit says where each write gets a line: who wrote what, when, and what became of it.
// See docs/audit.md.
type Audit struct {
	// To is a file, which is opened anew once it has been renamed, or stdout. Off when
	// absent.
	To string `yaml:"to" jsonschema:"minLength=1"`
	// Reads get a line, too.
	Reads bool `yaml:"reads"`
	// Required refuses writes while the file cannot be written. Without it they are made,
	// and their lines wait in memory, up to 4 MiB.
	Required bool `yaml:"required"`
}

// A Duration is written as Go writes it: 500ms, 10s, 2m.
type Duration time.Duration

// MarshalYAML writes a duration.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// UnmarshalYAML reads a duration.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return fmt.Errorf("line %d: %q is not a duration such as 500ms, 10s or 2m", n.Line, n.Value)
	}
	*d = Duration(v)
	return nil
}
