package sandbox

import (
	"math"
	"time"
)

// Stats is what really arrived. Tests and benchmarks compare with it.
type Stats struct {
	Since time.Time `json:"since"`
	Now   time.Time `json:"now"`
	Total Count     `json:"total"`
	// Organizations by id; "" holds what no organization pays for.
	Organizations map[string]OrganizationStats `json:"organizations"`
	// Addresses are the source addresses that requests came from.
	Addresses map[string]AddressStats `json:"addresses"`
	// UserAgents counts requests by their User-Agent: one for each application
	// that reaches the Dashboard, and the broker's alone where all go through it.
	UserAgents map[string]int `json:"userAgents"`
}

// AddressStats is what came from one source address.
type AddressStats struct {
	Arrived int `json:"arrived"`
	// Limited were refused because the address was over its limit.
	Limited int `json:"limited"`
	// MostInSecond is the most arrivals in any one second, WorstOverdraft how far
	// they went beyond 100 a second and a burst of 100.
	MostInSecond   int     `json:"mostInSecond"`
	WorstOverdraft float64 `json:"worstOverdraft"`
}

// Count is requests, by what became of them.
type Count struct {
	Arrived int `json:"arrived"`
	// Answered by status; 0 is no answer at all.
	Answered map[int]int `json:"answered"`
	// Executed writes: those that took effect, whatever the client saw of it.
	Executed int `json:"executed"`
	// 429s, by the bucket that was empty.
	LimitedByOrganization int       `json:"limitedByOrganization"`
	LimitedByAddress      int       `json:"limitedByAddress"`
	LimitedByOperation    int       `json:"limitedByOperation"`
	First                 time.Time `json:"first,omitzero"`
	Last                  time.Time `json:"last,omitzero"`
}

// OrganizationStats is one organization's requests.
type OrganizationStats struct {
	Count
	// MostInSecond is the most arrivals in any one second.
	MostInSecond int `json:"mostInSecond"`
	// WorstOverdraft is the maximum over all windows of
	// arrivals - (rate x length + burst); not above 0: never over the budget.
	WorstOverdraft float64 `json:"worstOverdraft"`
	InFlight       int     `json:"inFlight"`
	MostInFlight   int     `json:"mostInFlight"`
	// Batches are action batches under way; MostBatches is the most at a time.
	Batches     int `json:"batches"`
	MostBatches int `json:"mostBatches"`
	// Left counts clients that went away before the answer.
	Left int `json:"left"`
	// Outside is what other applications were told to take, in requests.
	Outside    float64          `json:"outside,omitempty"`
	Operations map[string]Count `json:"operations"`
}

func (c *counts) public() Count {
	out := Count{
		Arrived: c.arrived, Answered: make(map[int]int, len(c.status)), Executed: c.executed,
		LimitedByOrganization: c.byOrg, LimitedByAddress: c.byAddress, LimitedByOperation: c.byOwn, First: c.first, Last: c.last,
	}
	for k, v := range c.status {
		out.Answered[k] = v
	}
	return out
}

func (c *Count) add(o Count) {
	c.Arrived += o.Arrived
	c.Executed += o.Executed
	c.LimitedByOrganization += o.LimitedByOrganization
	c.LimitedByAddress += o.LimitedByAddress
	c.LimitedByOperation += o.LimitedByOperation
	for k, v := range o.Answered {
		c.Answered[k] += v
	}
	if !o.First.IsZero() && (c.First.IsZero() || o.First.Before(c.First)) {
		c.First = o.First
	}
	if o.Last.After(c.Last) {
		c.Last = o.Last
	}
}

// Stats gives what has arrived so far. Organizations without requests are left out.
func (s *Sandbox) Stats() Stats { return s.statsOf("", true) }

// Organization gives the statistics of one organization.
func (s *Sandbox) Organization(id string) OrganizationStats {
	return s.statsOf(id, false).Organizations[id]
}

func (s *Sandbox) statsOf(id string, all bool) Stats {
	s.settle()
	out := Stats{Since: s.started, Now: s.opts.Now(), Total: Count{Answered: map[int]int{}}, Organizations: map[string]OrganizationStats{}, Addresses: s.addresses.stats(), UserAgents: s.agents.stats()}
	s.orgStates.Range(func(_, v any) bool {
		a := v.(*orgState)
		if !all && a.id != id {
			return true
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.counts.arrived == 0 && a.outside == 0 {
			return true
		}
		o := OrganizationStats{
			Count: a.counts.public(), MostInSecond: a.meter.most, InFlight: a.inFlight, MostInFlight: a.mostFlight,
			Left: a.left, Outside: a.outside, Operations: make(map[string]Count, len(a.perOp)),
			WorstOverdraft: math.Max(0, a.meter.worst), Batches: a.batches, MostBatches: a.mostBatches,
		}
		for i, c := range a.perOp {
			name := "unknown"
			if i >= 0 {
				name = s.router.routes[i].op.GetId()
			}
			o.Operations[name] = c.public()
		}
		out.Organizations[a.id] = o
		out.Total.add(o.Count)
		return true
	})
	return out
}

// Executions lists the writes that took effect, with how often each did.
func (s *Sandbox) Executions() []Execution {
	s.settle()
	return s.store.executions()
}

// Executed says how often a write took effect: the path is the one below
// /api/v1, the body the bytes that were sent.
func (s *Sandbox) Executed(method, path string, body []byte) int {
	s.settle()
	return s.store.times(method, path, body)
}

// Reset forgets what was counted and written, refills the buckets, and ends all
// faults, rejections, scripts and changes. Times and shapes are those of Options
// again. Requests under way are counted as if they had arrived after it.
func (s *Sandbox) Reset() {
	s.ClearFaults()
	s.ClearRejections()
	s.ClearJobScripts()
	s.effects.reset()
	s.SetTimes(s.opts.times())
	s.wire.Store(&s.opts.Wire)
	s.orgStates.Range(func(_, v any) bool {
		a := v.(*orgState)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.bucket, a.meter, a.counts, a.perOp, a.intervals = bucket{}, meter{}, counts{}, nil, intervalCounts{}
		a.mostFlight, a.left, a.outside, a.batches, a.mostBatches = a.inFlight, 0, 0, 0, 0
		a.version.Add(1)
		return true
	})
	s.addresses.reset()
	s.own.reset()
	s.agents.reset()
	s.changes.reset()
	s.inventory.Reset()
	s.store.reset()
	s.requests.reset()
	s.cache.reset()
}

func (a *addresses) stats() map[string]AddressStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]AddressStats, len(a.seen))
	for name, e := range a.seen {
		out[name] = AddressStats{Arrived: e.arrived, Limited: e.limited, MostInSecond: e.meter.most, WorstOverdraft: math.Max(0, e.meter.worst)}
	}
	return out
}

func (a *agents) stats() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]int, len(a.of))
	for name, n := range a.of {
		out[name] = n
	}
	return out
}
