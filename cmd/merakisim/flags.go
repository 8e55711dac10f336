package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// settings are the flags, read.
type settings struct {
	listen []listener
	sim    sandbox.Options
}

// A listener is an address to serve on. What arrives at one with a name comes
// from the source address of that name.
type listener struct{ name, address string }

func listeners(text string) []listener {
	var out []listener
	for entry := range strings.SplitSeq(text, ",") {
		name, address, named := strings.Cut(entry, "=")
		if !named {
			name, address = "", entry
		}
		out = append(out, listener{name, address})
	}
	return out
}

func read(args []string, out io.Writer) (settings, error) {
	var c settings
	var listen, keys, disabled, kinds, shards string
	var limits bool
	f := flag.NewFlagSet("merakisim", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&listen, "listen", "127.0.0.1:8080", "`address` to serve on, or several with commas between; NAME=ADDRESS: all that arrives there is of one source address, for replicas behind one egress")
	f.IntVar(&c.sim.Organizations, "organizations", 3, "how many organizations there are")
	f.IntVar(&c.sim.NetworksPerOrganization, "networks", 4, "networks of each organization")
	f.IntVar(&c.sim.DevicesPerNetwork, "devices", 5, "devices of each network")
	f.IntVar(&c.sim.Rows, "rows", 0, "rows of the other collections; 0: 3, and 7 to 12 where they are paginated")
	f.DurationVar(&c.sim.Jitter, "jitter", 0, "delay each request by a random time below this before it is counted")
	f.DurationVar(&c.sim.Latency, "latency", 0, "how long an answer takes")
	f.BoolVar(&limits, "limits", true, "enforce the rate limits")
	f.Float64Var(&c.sim.OrgRate, "rate", 10, "requests a second for an organization")
	f.Float64Var(&c.sim.OrgBurst, "burst", 10, "burst of an organization")
	f.StringVar(&c.sim.AddressHeader, "address-header", "", "a header whose value stands for the source address")
	f.StringVar(&shards, "shards", "", "schemes and hosts at which the organizations live, in turn, with commas between; others redirect there")
	f.BoolVar(&c.sim.AnyPath, "any-path", false, "answer paths that no operation has, as a store of JSON")
	f.BoolVar(&c.sim.Wire.Shapes, "wire-shapes", false, "answer as users have seen the Dashboard answer, where its document says otherwise")
	f.StringVar(&c.sim.LinkRelations, "link-relations", "", "relations in Link headers: quoted, mixed, or bare where empty")
	f.DurationVar(&c.sim.BatchTime, "batch-time", 2*time.Second, "how long an action batch runs")
	f.DurationVar(&c.sim.JobTime, "job-time", 2*time.Second, "how long live tools and other jobs take")
	f.Float64Var(&c.sim.AddressRate, "address-rate", 100, "requests a second for a source address; negative: no limit")
	f.StringVar(&keys, "keys", "", "API keys that are accepted, KEY or KEY=ORGANIZATION+ORGANIZATION, with commas between; empty: any")
	f.StringVar(&disabled, "api-disabled", "", "organizations that have switched API access off, with commas between")
	f.Float64Var(&c.sim.Faults.Share, "faults", 0, "share of the requests that go wrong, 0 to 1")
	f.StringVar(&kinds, "fault-kinds", "every", "which faults: every, or transient (those that pass when asked again)")
	f.Uint64Var(&c.sim.Seed, "seed", 1, "of everything that is made up or drawn")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(out, "merakisim serves a simulated Meraki Dashboard API. Flags:")
			f.SetOutput(out)
			f.PrintDefaults()
		}
		return c, err
	}
	if f.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q: there are only flags, see -help", f.Arg(0))
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"organizations", c.sim.Organizations}, {"networks", c.sim.NetworksPerOrganization}, {"devices", c.sim.DevicesPerNetwork}} {
		if n.value < 0 {
			return c, fmt.Errorf("-%s %d: cannot be negative", n.name, n.value)
		}
	}
	none := func(n *int) { // of a world, 0 means none here, and the usual number there
		if *n == 0 {
			*n = -1
		}
	}
	none(&c.sim.Organizations)
	none(&c.sim.NetworksPerOrganization)
	none(&c.sim.DevicesPerNetwork)
	c.sim.LimitsOff = !limits
	c.listen = listeners(listen)
	if shards != "" {
		c.sim.Shards = strings.Split(shards, ",")
	}
	if keys != "" {
		c.sim.Keys = make(map[string][]string)
		for i, entry := range strings.Split(keys, ",") {
			key, ids, named := strings.Cut(entry, "=")
			if key == "" {
				return c, fmt.Errorf("-keys: entry %d has no key", i+1)
			}
			if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
				return c, fmt.Errorf("-keys: the key of entry %d cannot stand in an HTTP header", i+1) // which key, is not shown
			}
			c.sim.Keys[key] = nil
			if named {
				c.sim.Keys[key] = strings.Split(ids, "+")
			}
		}
	}
	switch kinds {
	case "every":
	case "transient":
		c.sim.Faults.Kinds = sandbox.Alike(sandbox.TransientFaults())
	default:
		return c, fmt.Errorf("-fault-kinds %q: there are every and transient", kinds)
	}
	if disabled != "" {
		c.sim.APIDisabled = strings.Split(disabled, ",")
	}
	return c, nil
}
