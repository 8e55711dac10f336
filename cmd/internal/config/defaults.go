package config

import (
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

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
// flags; complete knows that.
func Default() *Config {
	return &Config{
		Listen: "127.0.0.1:50051", Admin: "127.0.0.1:9090", Upstream: "https://api.meraki.com/api/v1",
		UserAgent: "MerakiBroker/1.0 MerakiBroker",
		Budget: Budget{
			Rate: dashboardLimit.Rate, Share: 1, Burst: 8, Jitter: Duration(200 * time.Millisecond),
			AddressRate: addressLimit.Rate, CautiousRate: 1, Deadline: Duration(time.Minute),
			ActionBatches: 3,
		},
		Store:           Store{Prefix: "merakibroker"},
		Outcomes:        Outcomes{Life: Duration(24 * time.Hour), Grace: Duration(30 * time.Second)},
		Usage:           Usage{Callers: 50, Organizations: 50},
		Drain:           Drain{Timeout: Duration(75 * time.Second)},
		Log:             Log{Level: "info"},
		MaxRequestBytes: 4 << 20,
		CacheBytes:      32 << 20,
	}
}

// complete fills in what depends on other settings.
func (c *Config) complete() {
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
}
