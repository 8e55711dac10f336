package rest

import (
	"strings"
	"time"
)

// An Agent is a client that gives up after a while, whatever the server does. It
// is told by the beginning of its User-Agent.
type Agent struct {
	// Prefix is the beginning of its User-Agent, such as "python-meraki/".
	Prefix string `yaml:"prefix" jsonschema:"required,minLength=1"`
	// Patience is how long it waits for an answer; 1s at the least.
	Patience time.Duration `yaml:"patience" jsonschema:"required"`
}

// LeastPatience is the shortest that can be kept: half a second of it is the answer's.
const LeastPatience = time.Second

// agents are the clients whose default time-outs are known from their sources.
// Those that can be told another do not say so; the configuration can.
//
// Ansible's collection cisco.meraki has no row of its own: the vendor's SDK underneath
// makes its User-Agent, and names the collection further on, as the caller.
var agents = []Agent{
	{Prefix: "python-meraki/", Patience: 60 * time.Second},  // single_request_timeout of the vendor's SDK, and of cisco.meraki
	{Prefix: "MerakiTerraform/", Patience: 5 * time.Second}, // CiscoDevNet's HTTP client
	{Prefix: "ansible-httpget", Patience: 30 * time.Second}, // the older modules' open_url
}

// answerTime is kept back of a client's patience for the answer itself: it has to
// reach the client before its timer does. A tenth of it, half a second at the least.
func answerTime(patience time.Duration) time.Duration {
	return max(patience/10, 500*time.Millisecond)
}

// patience is how long the broker may take to answer a client; fallback for one
// that is not known.
func patience(known []Agent, userAgent string, fallback time.Duration) time.Duration {
	for _, a := range known {
		if strings.HasPrefix(userAgent, a.Prefix) {
			return a.Patience - answerTime(a.Patience)
		}
	}
	return fallback
}
