package record

import (
	"slices"
	"sync"
	"time"
)

// underWay are the attempts that have no answer yet. They have a lock of their own: an
// attempt that begins does not wait for somebody who reads the ring.
type underWay struct {
	mu  sync.Mutex
	all map[*Attempt]struct{}
}

// Begin notes that an attempt is on its way: when it started, what it is about and for
// whom. The function that it returns notes its end.
func (r *Record) Begin(a *Attempt) (end func()) {
	u := &r.underWay
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[*Attempt]struct{})
	}
	u.all[a] = struct{}{}
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.all, a)
	}
}

// UnderWay gives the attempts that have no answer yet, the oldest first, and how many
// there are; no more than limit.
func (r *Record) UnderWay(limit int) (oldest []Attempt, all int) {
	u := &r.underWay
	u.mu.Lock()
	for a := range u.all {
		oldest = append(oldest, *a)
	}
	u.mu.Unlock()
	slices.SortFunc(oldest, func(a, b Attempt) int { return a.Start.Compare(b.Start) })
	return oldest[:min(len(oldest), limit)], len(oldest)
}

// recentSlots is how many counts Recent gives: of the slots that are over.
const recentSlots = fineSlots - 1

// Recent counts the attempts of an organization of late, or of all with an empty id: one
// count for each ten seconds that are over, the oldest first; nil where there is none.
func (r *Record) Recent(now time.Time, organization string) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.all
	if organization != "" {
		e := r.orgs[cutText(organization)]
		if e == nil {
			return nil
		}
		s = e.Value.(*series)
	}
	counts := make([]int64, recentSlots)
	first := slotOf(now, fineSlot) - recentSlots
	for i := range s.fine {
		if n := s.fine[i].slot - first; n >= 0 && n < recentSlots {
			counts[n] = s.fine[i].tally.attempts
		}
	}
	return counts
}
