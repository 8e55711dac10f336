package lane

import (
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// Config is what Lanes are made of. Scheduler and Observer are needed; every
// other field has a usable zero value, named beside it.
type Config struct {
	// Scheduler holds the budgets of organizations, of operations with a limit
	// of their own, and of credentials whose calls have no known owner.
	Scheduler ratelimit.Scheduler
	// Egress names the address through which several replicas leave, whose budget
	// Scheduler then holds for all of them, at a second round trip to the store for
	// an attempt. Empty for a budget of this process's own: right where each replica
	// has an address to itself, or AddressRate is its part.
	Egress   string
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

	// Length is how many calls may wait in one lane: 1000. When it is full, a
	// newcomer takes the place of the latest call of the caller who has most.
	Length int
	// Target is the wait above which a class of normal or critical priority is
	// shed from its head, when its oldest call has been above it for Interval:
	// 1 s and 1 s.
	Target, Interval time.Duration
	// Lanes is how many lanes are kept before idle ones are dropped, a little more
	// or less: 65536. Lanes of ids that do not exist go sooner.
	Lanes int
}

// complete fills in what was left zero and says what does not make sense.
func (c Config) complete() (Config, error) {
	if c.Scheduler == nil {
		return c, errors.New("lane: no Scheduler to hold the budgets")
	}
	if c.Observer == nil {
		return c, errors.New("lane: no Observer to tell what happens")
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
			return c, fmt.Errorf("lane: %s is %v: it must be above 0 and at most a million", f.name, *f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value *time.Duration
	}{{"Target", &c.Target}, {"Interval", &c.Interval}} {
		if *f.value == 0 {
			*f.value = time.Second
		}
		if *f.value < 0 {
			return c, fmt.Errorf("lane: %s is %v: it must be above 0", f.name, *f.value)
		}
	}
	for _, f := range []struct {
		name  string
		value *int
		usual int
	}{{"Length", &c.Length, 1000}, {"Lanes", &c.Lanes, 65536}} {
		if *f.value == 0 {
			*f.value = f.usual
		}
		if *f.value < 1 {
			return c, fmt.Errorf("lane: %s is %d: it must be at least 1", f.name, *f.value)
		}
	}
	return c, nil
}

// An Observer is told what happens in lanes, for metrics. Its methods are called
// from many goroutines at once, some with a lane's lock held: they must be quick
// and must not call the lanes. None of what they are given is a filled path.
type Observer interface {
	// Waited: a slot was granted after d. Budget is the kind of the budget:
	// "organization", "address", "unknown", "operation" or "share".
	Waited(budget string, priority ratelimit.Priority, d time.Duration)
	// Refused: a call was refused before an attempt: "deadline", "length",
	// "shed", "draining".
	Refused(budget string, priority ratelimit.Priority, why string)
	// Queued: the number of calls waiting in all lanes of a kind changed by n.
	Queued(budget string, priority ratelimit.Priority, n int)
}
