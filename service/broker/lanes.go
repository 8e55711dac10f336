package broker

import (
	"sync"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
)

// idleLane is how long a lane has to be unused before it may be dropped. It is
// far longer than any budget takes to fill up, so nothing is lost with it but
// its counts.
const idleLane = 15 * time.Minute

// doubtfulLane is the same for a lane through which nothing has come that the
// Dashboard answered well, as those of ids that do not exist: longer than a call
// takes. They are looked for when there are fewLanes already, while others stay
// until there are Config.Lanes.
const (
	doubtfulLane = 5 * time.Minute
	fewLanes     = 1024
)

// A laneKey names a lane without building a string for each call.
type laneKey struct {
	kind laneKind
	// id is the organization, the credential, or the operation's parameter; detail
	// is the operation, or the caller whose share it is.
	id, detail string
}

// lanes are all lanes of a broker.
type lanes struct {
	house   *house
	address *lane

	mu      sync.RWMutex
	m       map[laneKey]*lane
	sweepAt int // number of lanes at which those to drop are looked for
}

func newLanes(h *house) *lanes {
	ls := &lanes{house: h, m: make(map[laneKey]*lane), sweepAt: min(h.config.Lanes, fewLanes)}
	sched := h.config.Address
	if sched == nil {
		sched = ratelimit.NewLocal()
	}
	ls.address = ls.make(laneKey{kind: addressLane},
		ratelimit.Budget{Key: "address", Rate: h.config.AddressRate, Burst: h.config.AddressBurst}, sched)
	return ls
}

func (ls *lanes) make(k laneKey, budget ratelimit.Budget, sched ratelimit.Scheduler) *lane {
	l := &lane{kind: k.kind, id: k.id, sched: sched, house: ls.house, budget: budget}
	l.taker, _ = sched.(taker)
	if k.kind == organizationLane || k.kind == cautiousLane {
		l.address = ls.address
	}
	l.touch()
	return l
}

// find gives the lane of a key, made where there is none.
func (ls *lanes) find(k laneKey, fresh func() *lane) *lane {
	now := time.Now()
	ls.mu.RLock()
	l := ls.m[k]
	ls.mu.RUnlock()
	if l == nil {
		ls.mu.Lock()
		if l = ls.m[k]; l == nil {
			if len(ls.m) >= ls.sweepAt {
				ls.sweep(now)
			}
			l = fresh()
			ls.m[k] = l
		}
		ls.mu.Unlock()
	}
	l.used.Store(now.UnixNano())
	return l
}

// sweep drops idle lanes, with the lock held. A lane that somebody has found and
// not yet entered is not idle: it was used a moment ago.
func (ls *lanes) sweep(now time.Time) {
	most := ls.house.config.Lanes
	full := len(ls.m) >= most
	for k, l := range ls.m {
		unused, proved := time.Duration(now.UnixNano()-l.used.Load()), l.proved.Load()
		if proved && (!full || unused < idleLane) || unused < doubtfulLane {
			continue
		}
		l.mu.Lock()
		idle := !l.driving && l.queue.length == 0
		l.mu.Unlock()
		if idle {
			delete(ls.m, k)
		}
	}
	// Where all are in use, the next look is worth its time only after a while.
	ls.sweepAt = max(min(most, fewLanes), len(ls.m)+len(ls.m)/8)
}

// organization is the lane of an organization's budget.
func (ls *lanes) organization(id string) *lane {
	k := laneKey{kind: organizationLane, id: id}
	return ls.find(k, func() *lane {
		return ls.make(k, ls.budget(id), ls.house.config.Scheduler)
	})
}

// budget is what an organization may spend.
func (ls *lanes) budget(organization string) ratelimit.Budget {
	c := &ls.house.config
	return ratelimit.Budget{Key: "organization:" + organization, Rate: c.Rate, Burst: c.Burst}
}

// cautious is the lane of a credential's calls whose owner is not known.
func (ls *lanes) cautious(credential string) *lane {
	k := laneKey{kind: cautiousLane, id: credential}
	return ls.find(k, func() *lane {
		c := &ls.house.config
		return ls.make(k, ratelimit.Budget{Key: "unknown:" + credential, Rate: c.CautiousRate, Burst: c.CautiousBurst}, c.Scheduler)
	})
}

// operation is the lane of an operation's own limit; nil when it has none. Its
// burst is what the documentation allows; a slot of it may be held while the
// call waits for its organization's, so one is kept back where there are several.
func (ls *lanes) operation(o *apiv1.Operation, parameter string) *lane {
	limit := o.GetLimit()
	if limit.GetRequests() <= 0 || limit.GetSeconds() <= 0 {
		return nil
	}
	k := laneKey{kind: operationLane, id: parameter, detail: o.GetId()}
	return ls.find(k, func() *lane {
		return ls.make(k, ratelimit.Budget{
			Key:   "operation:" + o.GetId() + ":" + parameter,
			Rate:  float64(limit.GetRequests()) / float64(limit.GetSeconds()),
			Burst: float64(max(limit.GetBurst()-1, 1)),
		}, ls.house.config.Scheduler)
	})
}

// share is the lane of a caller's part of an organization's budget; nil when it
// may have all. The part is a bound, not a promise: the caller still takes its
// turn in the organization's lane.
func (ls *lanes) share(organization string, c *Call) *lane {
	if c.Share <= 0 || c.Share >= 1 {
		return nil
	}
	k := laneKey{kind: shareLane, id: organization, detail: c.Caller}
	return ls.find(k, func() *lane {
		whole := ls.budget(organization)
		return ls.make(k, ratelimit.Budget{
			Key:  "share:" + organization + ":" + c.Caller,
			Rate: whole.Rate * c.Share, Burst: max(1, whole.Burst*c.Share),
		}, ls.house.config.Scheduler)
	})
}

// all lists the lanes, the address's first.
func (ls *lanes) all() []*lane {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	out := make([]*lane, 1, len(ls.m)+1)
	out[0] = ls.address
	for _, l := range ls.m {
		out = append(out, l)
	}
	return out
}

// peek gives the lane of an organization if there is one.
func (ls *lanes) peek(id string) *lane {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.m[laneKey{kind: organizationLane, id: id}]
}
