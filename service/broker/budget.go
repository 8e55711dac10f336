package broker

import (
	"cmp"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// A BudgetState is what an organization, or the egress address, may spend at one
// moment, and who waits for it at this replica.
type BudgetState struct {
	// Organization is empty for the egress address.
	Organization string
	// Key names the budget: "organization:123", "address".
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
func (b *Broker) Budget(organization string) BudgetState {
	now := time.Now()
	if organization == "" {
		return b.lanes.address.state(now)
	}
	if l := b.lanes.peek(organization); l != nil {
		return l.state(now)
	}
	budget := b.lanes.budget(organization)
	return BudgetState{Organization: organization, Key: budget.Key, State: b.config.Scheduler.Peek(now, budget)}
}

// Budgets gives the budgets of organizations and of the egress address that have
// changed since a version, and the version to ask with next time; 0 for all there
// are. A change is a call that came to wait or does no longer, or an attempt; the
// tokens of an idle budget refill without one. With organizations it is limited
// to these; an empty id among them is the address.
func (b *Broker) Budgets(since uint64, organizations ...string) (changed []BudgetState, version uint64) {
	version = b.house.changes.Load()
	if version == since {
		return nil, version
	}
	now := time.Now()
	for _, l := range b.lanes.all() {
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
func (b *Broker) Waiting() map[string]int {
	n := make(map[string]int)
	for _, l := range b.lanes.all() {
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
