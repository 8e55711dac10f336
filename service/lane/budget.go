package lane

import (
	"cmp"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A BudgetState is what an organization, or the egress address, may spend at one
// moment, and who waits for it at this replica.
type BudgetState struct {
	// Organization is empty for the egress address.
	Organization string
	// Key names the budget: "organization:123", "address", "address:east" where an
	// egress shares it.
	Key string
	ratelimit.State
	// Waiting counts calls; Classes says whose they are, in the order of priority.
	Waiting int
	Classes []ClassState
	// Attempts since the lane was made, and 429s among them. A lane that has been
	// idle for long may be dropped, and begins anew.
	Attempts, RateLimited int64
}

// A ClassState is the waiting calls of one caller at one priority.
type ClassState struct {
	ratelimit.Class
	Weight  float64
	Waiting int
	// Oldest is how long the first of them has waited.
	Oldest time.Duration
}

// Budget is the state of an organization's budget, or for an empty id the egress
// address's. Of one that nobody has drawn on it tells what it would be.
func (ls *Lanes) Budget(organization string) BudgetState {
	now := time.Now()
	if organization == "" {
		return ls.address.state(now)
	}
	if l := ls.peek(organization); l != nil {
		return l.state(now)
	}
	budget := ls.budget(organization)
	return BudgetState{Organization: organization, Key: budget.Key, State: ls.config.Scheduler.Peek(now, budget)}
}

// Budgets gives the budgets of organizations and of the egress address that have
// changed since a version, and the version to ask with next time; 0 for all there
// are. A change is a call that came to wait or does no longer, or an attempt; the
// tokens of an idle budget refill without one. With organizations it is limited
// to these; an empty id among them is the address.
func (ls *Lanes) Budgets(since uint64, organizations ...string) (changed []BudgetState, version uint64) {
	version = ls.changes.Load()
	if version == since {
		return nil, version
	}
	now := time.Now()
	for _, l := range ls.all() {
		if l.kind != organizationLane && l.kind != addressLane || l.stamp.Load() <= since {
			continue
		}
		if len(organizations) > 0 && !slices.Contains(organizations, l.id) {
			continue
		}
		changed = append(changed, l.state(now))
	}
	slices.SortFunc(changed, func(x, y BudgetState) int { return cmp.Compare(x.Organization, y.Organization) })
	return changed, version
}

// Waiting counts the calls that wait in all lanes, by the kind of the budget:
// "organization", "address", "unknown", "operation" and "share".
func (ls *Lanes) Waiting() map[string]int {
	n := make(map[string]int)
	for _, l := range ls.all() {
		l.mu.Lock()
		n[l.kind.String()] += l.queue.calls
		l.mu.Unlock()
	}
	return n
}

// state is the lane at a glance.
func (l *lane) state(now time.Time) BudgetState {
	s := BudgetState{
		Organization: l.id, Key: l.budget.Key, State: l.sched.Peek(now, l.budget),
		Attempts: l.attempts.Load(), RateLimited: l.limited.Load(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Waiting = l.queue.calls
	s.Classes = l.classes(now, ratelimit.Bulk)
	return s
}

// classes lists what waits at a priority or above, with the lock held, in the
// order of priority and name.
func (l *lane) classes(now time.Time, lowest ratelimit.Priority) []ClassState {
	var out []ClassState
	for _, c := range l.queue.classes {
		if c.class.Priority > lowest {
			continue
		}
		out = append(out, ClassState{Class: c.class, Weight: c.weight, Waiting: c.count, Oldest: max(0, now.Sub(c.head.since))})
	}
	slices.SortFunc(out, func(x, y ClassState) int {
		return cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(x.Caller, y.Caller))
	})
	return out
}

// A Forecast is what a call would meet if it came now.
type Forecast struct {
	// Budget is the key of the budget in whose lane it would wait.
	Budget string
	// Wait is how long it would wait for its slot.
	Wait time.Duration
	// Behind is what waits in that lane and would be served before it or beside it.
	Behind []ClassState
	// Full: the lane has no place for it.
	Full bool

	lane *lane
}

// Forecast tells what a call of a class would meet now. It spends nothing.
func (ls *Lanes) Forecast(now time.Time, p Payer, class ratelimit.Class, weight float64) Forecast {
	var s Slot
	ls.Assign(&s, p)
	l := s.payer
	f := Forecast{Budget: l.budget.Key, lane: l}
	for _, own := range [...]*lane{s.operation, s.share} {
		if own != nil {
			own.mu.Lock()
			f.Wait = max(f.Wait, own.foresee(now, class, weight))
			own.mu.Unlock()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	f.Wait = max(f.Wait, l.foresee(now, class, weight))
	f.Behind = l.classes(now, class.Priority)
	f.Full = l.queue.calls >= ls.config.Length && l.queue.longest(class, weight) == nil
	return f
}

// Refusal is what a call would be told that has left for everything and takes
// service once it has its slot; nil when it would be served.
func (f Forecast) Refusal(operation string, service, left time.Duration) *fault.Error {
	switch {
	case f.Full:
		return f.lane.refuse(operation, &refusal{why: refusedLength, after: f.Wait})
	case f.Wait+max(service, shortestAttempt) > left:
		return f.lane.refuse(operation, &refusal{why: refusedDeadline, wait: f.Wait, after: f.Wait + service - left})
	}
	return nil
}

// CautiousPace is the time between two attempts of one credential's whose owner is
// not known.
func (ls *Lanes) CautiousPace() time.Duration { return seconds(1 / ls.config.CautiousRate) }
