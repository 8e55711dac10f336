package lane

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
)

// idleLane is how long a lane has to be unused before it may be dropped. Every
// budget fills up in far less time, so a dropped lane loses nothing but its
// counts.
const idleLane = 15 * time.Minute

// doubtfulLane is how long a lane has to be unused when the Dashboard has
// answered none of its calls well, such as the lane of an id that does not exist.
// It is longer than a call takes. These lanes are dropped when there are fewLanes
// already; other lanes stay until there are Config.Lanes.
const (
	doubtfulLane = 5 * time.Minute
	fewLanes     = 1024
)

// A laneKey names a lane without building a string for each call.
type laneKey struct {
	kind laneKind
	// id is the organization, the credential, or the operation's parameter.
	// detail is the operation, or the caller who has a share.
	id, detail string
}

// Lanes are the lanes of all budgets.
type Lanes struct {
	config  Config
	life    *Lifecycle
	address *lane
	seed    maphash.Seed // of the calls' fingerprints

	mu      sync.RWMutex
	m       map[laneKey]*lane
	sweepAt int // number of lanes at which sweep runs

	// granted counts slots that were given to calls.
	granted atomic.Int64
	// changes counts the changes of all lanes, so that a watcher can ask for the
	// lanes that have changed since a count. It is written with changing held.
	changing sync.Mutex
	changes  atomic.Uint64
}

// New makes Lanes whose goroutines belong to a Lifecycle.
func New(c Config, life *Lifecycle) (*Lanes, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	ls := &Lanes{config: c, life: life, seed: maphash.MakeSeed(), m: make(map[laneKey]*lane), sweepAt: min(c.Lanes, fewLanes)}
	budget := ratelimit.Budget{Key: "address", Rate: c.AddressRate, Burst: c.AddressBurst}
	sched := ratelimit.Scheduler(ratelimit.NewLocal())
	if c.Egress != "" {
		budget.Key += ":" + c.Egress
		sched = c.Scheduler
	}
	ls.address = ls.make(laneKey{kind: addressLane}, budget, sched)
	return ls, nil
}

// Drain refuses calls that wait and have sent nothing. The Lifecycle is drained
// before, and keeps new calls out.
func (ls *Lanes) Drain() {
	for _, l := range ls.all() {
		l.mu.Lock()
		l.refuseAll(refusedDraining, false)
		l.mu.Unlock()
	}
}

// Granted is the number of slots that were given to calls and not given back.
func (ls *Lanes) Granted() int64 { return ls.granted.Load() }

// change counts a change, and writes the count into the stamp of the thing that
// has changed. The stamp is written before the count, so a watcher that knows the
// count finds the stamp.
func (ls *Lanes) change(stamp *atomic.Uint64) {
	ls.changing.Lock()
	defer ls.changing.Unlock()
	n := ls.changes.Load() + 1
	stamp.Store(n)
	ls.changes.Store(n)
}

func (ls *Lanes) make(k laneKey, budget ratelimit.Budget, sched ratelimit.Scheduler) *lane {
	l := &lane{kind: k.kind, id: k.id, sched: sched, set: ls, budget: budget}
	l.taker, _ = sched.(taker)
	if k.kind == organizationLane || k.kind == cautiousLane {
		l.address = ls.address
	}
	l.touch()
	return l
}

// find gives the lane of a key, and makes it where there is none.
func (ls *Lanes) find(k laneKey, fresh func() *lane) *lane {
	now := time.Now()
	ls.mu.RLock()
	l := ls.m[k]
	if l != nil {
		l.used.Store(now.UnixNano()) // before sweep can look at it
	}
	ls.mu.RUnlock()
	if l != nil {
		return l
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l = ls.m[k]; l == nil {
		if len(ls.m) >= ls.sweepAt {
			ls.sweep(now)
		}
		l = fresh()
		ls.m[k] = l
	}
	l.used.Store(now.UnixNano())
	return l
}

// sweep drops idle lanes, with the lock held. A lane that a call has found and
// not yet entered is not idle: it was used a moment ago.
func (ls *Lanes) sweep(now time.Time) {
	most := ls.config.Lanes
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
	// Where all lanes are in use, the next sweep is worth its time only when
	// there are an eighth more.
	ls.sweepAt = max(min(most, fewLanes), len(ls.m)+len(ls.m)/8)
}

// organization is the lane of an organization's budget.
func (ls *Lanes) organization(id string) *lane {
	k := laneKey{kind: organizationLane, id: id}
	return ls.find(k, func() *lane {
		return ls.make(k, ls.budget(id), ls.config.Scheduler)
	})
}

// budget is the budget of an organization.
func (ls *Lanes) budget(organization string) ratelimit.Budget {
	c := &ls.config
	return ratelimit.Budget{Key: "organization:" + organization, Rate: c.Rate, Burst: c.Burst}
}

// cautious is the lane for a credential's calls about resources whose owner is
// not known.
func (ls *Lanes) cautious(credential string) *lane {
	k := laneKey{kind: cautiousLane, id: credential}
	return ls.find(k, func() *lane {
		c := &ls.config
		return ls.make(k, ratelimit.Budget{Key: "unknown:" + credential, Rate: c.CautiousRate, Burst: c.CautiousBurst}, c.Scheduler)
	})
}

// operation is the lane of an operation's own limit; nil when the operation has
// none. The lane's burst is the documented burst less one, but at least one: a
// call may hold a slot of this lane while it waits for its organization's slot,
// so one slot is kept back where there are several.
func (ls *Lanes) operation(o *apiv1.Operation, parameter string) *lane {
	limit := o.GetLimit()
	if limit == nil {
		return nil
	}
	k := laneKey{kind: operationLane, id: parameter, detail: o.GetId()}
	return ls.find(k, func() *lane {
		return ls.make(k, ratelimit.Budget{
			Key:   "operation:" + o.GetId() + ":" + parameter,
			Rate:  float64(limit.GetRequests()) / float64(limit.GetSeconds()),
			Burst: float64(max(limit.GetBurst()-1, 1)),
		}, ls.config.Scheduler)
	})
}

// share is the lane of a caller's part of an organization's budget; nil when the
// caller may spend all of it. The part is a bound, not a promise: the caller
// still takes its turn in the organization's lane.
func (ls *Lanes) share(organization, caller string, part float64) *lane {
	if part <= 0 || part >= 1 {
		return nil
	}
	k := laneKey{kind: shareLane, id: organization, detail: caller}
	return ls.find(k, func() *lane {
		whole := ls.budget(organization)
		return ls.make(k, ratelimit.Budget{
			Key:  "share:" + organization + ":" + caller,
			Rate: whole.Rate * part, Burst: max(1, whole.Burst*part),
		}, ls.config.Scheduler)
	})
}

// all lists the lanes, the address's first.
func (ls *Lanes) all() []*lane {
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
func (ls *Lanes) peek(id string) *lane {
	ls.mu.RLock()
	defer ls.mu.RUnlock()
	return ls.m[laneKey{kind: organizationLane, id: id}]
}
