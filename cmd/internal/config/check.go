package config

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/setting"
)

// check says what the schema cannot: what several keys say together, and what came
// by flags.
func (c *Config) check() setting.Errors {
	var wrong setting.Errors
	at := make(map[string]string)
	for _, a := range []struct{ key, address string }{{"listen", c.Listen}, {"admin", c.Admin}, {"rest", c.REST}} {
		if a.key == "rest" && a.address == "" {
			continue
		}
		_, port, err := net.SplitHostPort(a.address)
		n, tooLarge := strconv.ParseUint(port, 10, 16)
		switch other := at[a.address]; {
		case err != nil:
			wrong.Wrong(a.key, "%q is not host:port", a.address)
		case tooLarge != nil:
			wrong.Wrong(a.key, "%q is not host:port: a port is a number up to 65535", a.address)
		case other != "":
			wrong.Wrong(a.key, "%s is the address of %s too", a.address, other)
		case n != 0: // of 0 each gets another
			at[a.address] = a.key
		}
	}
	u, err := url.Parse(c.Upstream)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		wrong.Wrong("upstream", "%q is not an http or https address", c.Upstream)
		u = new(url.URL)
	}
	organization, address := dashboardLimit, addressLimit
	if c.Simulated {
		if !Loopback(net.JoinHostPort(u.Hostname(), "0")) {
			wrong.Wrong("simulated", "is for an upstream on this machine, and upstream is %q", c.Upstream)
		}
		organization = ratelimit.Limit{Rate: sandboxRate, Burst: 2 * sandboxRate}
		address = organization
	}
	if err := ratelimit.Check(c.Budget.Rate, c.Budget.Burst, time.Duration(c.Budget.Jitter), organization); err != nil {
		wrong.Add("budget", err)
	}
	if c.Budget.CautiousRate > organization.Rate {
		wrong.Wrong("budget.cautious_rate", "%g is above %g", c.Budget.CautiousRate, organization.Rate)
	}
	if c.Budget.AddressRate > address.Rate {
		wrong.Wrong("budget.address_rate", "%g is above %g", c.Budget.AddressRate, address.Rate)
	}
	c.checkEgress(&wrong)
	if c.Budget.Deadline <= 0 {
		wrong.Wrong("budget.deadline", "0s would end every call at once that comes without a deadline")
	}
	for i, a := range c.RESTAgents {
		if a.Patience < rest.LeastPatience {
			wrong.Wrong(fmt.Sprintf("rest_agents[%d].patience", i), "%v is too short to answer within; %v is the least", a.Patience, rest.LeastPatience)
		}
	}
	for _, d := range []struct {
		key                string
		value, least, most time.Duration
	}{
		{"outcomes.life", time.Duration(c.Outcomes.Life), time.Minute, 7 * 24 * time.Hour},
		{"outcomes.grace", time.Duration(c.Outcomes.Grace), time.Second, 5 * time.Minute},
	} {
		if d.value < d.least || d.value > d.most {
			wrong.Wrong(d.key, "%v is not from %v to %v", d.value, d.least, d.most)
		}
	}
	if c.Store.KeysFile != "" && len(c.Store.Addresses) == 0 {
		wrong.Wrong("store.keys_file", "there is nothing to encrypt: store.addresses is missing")
	}
	wrong.Add("tracing", c.Tracing.Validate())
	if len(c.Store.Addresses) > 0 {
		connection := c.Store.Connection()
		wrong.Add("store", connection.Check())
	}
	return wrong
}

// checkEgress holds budget.egress against what would contradict it.
func (c *Config) checkEgress(wrong *setting.Errors) {
	if c.Budget.Egress == "" {
		return
	}
	if len(c.Store.Addresses) == 0 {
		wrong.Wrong("budget.egress", "replicas share the budget of an egress through the store, and store.addresses is missing: name the store, or leave budget.egress away and give each replica its part as budget.address_rate")
	}
	if n := c.Store.Replicas; n > 1 && c.Budget.AddressRate*float64(n) <= addressLimit.Rate {
		wrong.Wrong("budget.address_rate", "%g for each of %d replicas is a part of the address's %g, and budget.egress %q shares the whole of it: leave out budget.address_rate, or budget.egress", c.Budget.AddressRate, n, addressLimit.Rate, c.Budget.Egress)
	}
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
