package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/owner"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A Dashboard makes one attempt. *dashboard.Client is the one that ships.
type Dashboard interface {
	Attempt(ctx context.Context, r *dashboard.Request) *dashboard.Result
}

// Config is what a Broker is made of. Dashboard and Budgets.Scheduler are needed;
// every other field has a usable zero value, named beside it.
type Config struct {
	Dashboard Dashboard
	// Budgets are what may be spent, and who waits for it how.
	Budgets lane.Config
	// Owners is whose budget a call spends.
	Owners owner.Config
	// KeyFor gives the key that the broker itself uses in an organization, for lists
	// that no caller has asked for; false for no list. Nil for the key at hand: of
	// Preload, or of the call whose look-ups made the list worth while.
	KeyFor func(organization string) (dashboard.Key, bool)
	// Holds are what an operator has stopped; nil for nothing ever.
	Holds *hold.Holds
	// Record takes every attempt; nil for a bounded one that nobody reads.
	Record *record.Record
	// Usage counts who spends what; nil for nobody.
	Usage *usage.Usage
	// Observer is told for metrics; nil for none.
	Observer Observer
	// Audit is told of every write, and of reads where it wants them; nil for none.
	Audit *audit.Log

	// Deadline of a call that comes without one: 60 s.
	Deadline time.Duration

	// CacheBytes bounds the answers kept for reuse: 32 MiB. Negative for none.
	CacheBytes int64

	// Batches is how many action batches an organization may have under way: 5,
	// as documented. BatchHold is how long new ones are held after the Dashboard
	// said that there are too many: 15 s.
	Batches   int
	BatchHold time.Duration
	// Redirects is how many redirects one call follows: 5.
	Redirects int
}

// complete fills in what was left zero and says what does not make sense.
func (c Config) complete() (Config, error) {
	if c.Dashboard == nil {
		return c, errors.New("broker: no Dashboard to ask")
	}
	if c.Observer == nil {
		c.Observer = noop{}
	}
	c.Budgets.Observer, c.Owners.Observer = c.Observer, c.Observer
	if c.Record == nil {
		c.Record = record.New(record.Config{Attempts: 1000, Organizations: 100})
	}
	c.Deadline, c.BatchHold = cmp.Or(c.Deadline, time.Minute), cmp.Or(c.BatchHold, 15*time.Second)
	c.Batches, c.Redirects = cmp.Or(c.Batches, 5), cmp.Or(c.Redirects, 5)
	c.CacheBytes = cmp.Or(c.CacheBytes, 32<<20)
	if c.Deadline < 0 || c.BatchHold < 0 || c.Batches < 1 || c.Redirects < 1 {
		return c, fmt.Errorf("broker: Deadline %v, BatchHold %v, Batches %d, Redirects %d: all must be above 0", c.Deadline, c.BatchHold, c.Batches, c.Redirects)
	}
	return c, nil
}

// An Observer is told what happens, for metrics. Its methods are called from many
// goroutines at once: they must be quick and must not call the broker. None of
// what they are given is a filled path.
type Observer interface {
	lane.Observer
	owner.Observer
	// Attempted: an attempt ended.
	Attempted(operation string, outcome fault.Outcome, status int, d time.Duration)
	// Judged: the verdict on an attempt: "done", "again" or "give up".
	Judged(operation, verdict string)
	// Cached: how a read came by its answer: "miss", "coalesced" or "hit".
	Cached(result string)
}

// noop is the observer of a broker that was given none.
type noop struct{}

func (noop) Waited(string, ratelimit.Priority, time.Duration)    {}
func (noop) Attempted(string, fault.Outcome, int, time.Duration) {}
func (noop) Judged(string, string)                               {}
func (noop) Refused(string, ratelimit.Priority, string)          {}
func (noop) Queued(string, ratelimit.Priority, int)              {}
func (noop) Cached(string)                                       {}
func (noop) LookedUp(string, string)                             {}
