package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/dashboard"
)

// A Dashboard makes one attempt. *dashboard.Client is the one that ships.
type Dashboard interface {
	Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Answer
}

// Config is what a Broker is made of. Dashboard and Scheduler are needed; every
// other field has a usable zero value, named beside it.
type Config struct {
	Dashboard Dashboard
	// Scheduler holds the budgets of organizations, of operations with a limit
	// of their own, and of credentials whose calls have no known owner.
	Scheduler ratelimit.Scheduler
	// Address holds the budget of the egress address. Nil for one of this
	// process's own: right where each replica leaves through an address of its
	// own. Replicas behind one address share it by giving Scheduler here, at a
	// second round trip to the store for each attempt, or each have a part of
	// AddressRate.
	Address ratelimit.Scheduler
	// Record takes every attempt; nil for a bounded one that nobody reads.
	Record *Record
	// Observer is told for metrics; nil for none.
	Observer Observer

	// Rate and Burst of an organization: requests a second, and requests at
	// once. 10 and 8: the Dashboard's bucket is 10/s with 10, and 8 leaves room
	// for 200 ms of jitter on the way (burst + rate x jitter <= 10).
	Rate, Burst float64
	// AddressRate and AddressBurst of the egress address: 100 and 80, by the
	// same sum.
	AddressRate, AddressBurst float64
	// CautiousRate and CautiousBurst of each credential's calls whose owner is
	// not known: 1 and 1.
	CautiousRate, CautiousBurst float64

	// Deadline of a call that comes without one: 60 s.
	Deadline time.Duration
	// LaneLength is how many calls may wait in one lane: 1000. When it is full,
	// a newcomer takes the place of the latest call of the caller who has most.
	LaneLength int
	// Target is the wait above which a class of normal or critical priority is
	// shed from its head, when its oldest call has been above it for Interval:
	// 1 s and 1 s.
	Target, Interval time.Duration
	// Lanes is how many lanes are kept before idle ones are dropped, a little more
	// or less: 65536. Lanes of ids that do not exist go sooner.
	Lanes int

	// Owners is how many networks and devices are remembered at the least; up to
	// twice as many are: 100,000.
	Owners int
	// OwnerAge is how long an owner is remembered, MissAge how long it is
	// remembered that there is none: 24 h and 30 s.
	OwnerAge, MissAge time.Duration
	// HydrateAfter is how many look-ups an organization needs before its
	// networks or devices are all listed instead, at bulk priority: 3. Negative for never.
	HydrateAfter int

	// CacheBytes bounds the answers kept for reuse: 32 MiB. Negative for none.
	CacheBytes int64

	// Batches is how many action batches an organization may have under way: 5,
	// as documented. BatchHold is how long new ones are held after the Dashboard
	// said that there are too many: 15 s.
	Batches   int
	BatchHold time.Duration
	// Redirects is how many redirects one call follows: 5.
	Redirects int
	// HostAge is how long a shard that a redirect taught is asked directly: 1 h.
	HostAge time.Duration
}

// complete fills in what was left zero and says what does not make sense.
func (c Config) complete() (Config, error) {
	if c.Dashboard == nil {
		return c, errors.New("broker: no Dashboard to ask")
	}
	if c.Scheduler == nil {
		return c, errors.New("broker: no Scheduler to hold the budgets")
	}
	if c.Observer == nil {
		c.Observer = deaf{}
	}
	for _, f := range []struct {
		name  string
		value *float64
		usual float64
	}{
		{"Rate", &c.Rate, 10}, {"Burst", &c.Burst, 8},
		{"AddressRate", &c.AddressRate, 100}, {"AddressBurst", &c.AddressBurst, 80},
		{"CautiousRate", &c.CautiousRate, 1}, {"CautiousBurst", &c.CautiousBurst, 1},
	} {
		if *f.value == 0 {
			*f.value = f.usual
		}
		if !(*f.value > 0) || *f.value > 1e6 {
			return c, fmt.Errorf("broker: %s is %v: it must be above 0 and at most a million", f.name, *f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"Deadline", &c.Deadline, time.Minute},
		{"Target", &c.Target, time.Second}, {"Interval", &c.Interval, time.Second},
		{"OwnerAge", &c.OwnerAge, 24 * time.Hour}, {"MissAge", &c.MissAge, 30 * time.Second},
		{"BatchHold", &c.BatchHold, 15 * time.Second}, {"HostAge", &c.HostAge, time.Hour},
	} {
		if *f.value == 0 {
			*f.value = f.usual
		}
		if *f.value < 0 {
			return c, fmt.Errorf("broker: %s is %v: it must be above 0", f.name, *f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value *int
		usual int
	}{
		{"LaneLength", &c.LaneLength, 1000}, {"Lanes", &c.Lanes, 65536}, {"Owners", &c.Owners, 100_000},
		{"Batches", &c.Batches, 5}, {"Redirects", &c.Redirects, 5},
	} {
		if *f.value == 0 {
			*f.value = f.usual
		}
		if *f.value < 1 {
			return c, fmt.Errorf("broker: %s is %d: it must be at least 1", f.name, *f.value)
		}
	}
	if c.HydrateAfter == 0 {
		c.HydrateAfter = 3
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 32 << 20
	}
	return c, nil
}
