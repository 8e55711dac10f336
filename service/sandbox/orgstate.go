package sandbox

import (
	"sync"
	"sync/atomic"
	"time"
)

// An orgState is what the sandbox keeps for one organization: its bucket, its
// counts, its running batches. Number -1 is for requests that no organization
// pays for.
type orgState struct {
	id      string
	version atomic.Uint64 // counts what was written

	mu         sync.Mutex
	bucket     bucket
	meter      meter
	counts     counts
	inFlight   int
	mostFlight int
	left       int
	outside    float64 // a second, added up; for the statistics
	perOp      map[int]*counts
	deletes    int // network deletes under way
	// Action batches that are confirmed and have not ended; the most at a time.
	batches, mostBatches int
	intervals            intervalCounts
}

// counts are the requests of one organization, or of one operation of it.
type counts struct {
	arrived, executed       int
	byOrg, byAddress, byOwn int // 429s, by what refused them
	status                  map[int]int
	first, last             time.Time
}

func (c *counts) arrive(now time.Time) {
	c.arrived++
	if c.first.IsZero() {
		c.first = now
	}
	c.last = now
}

func (c *counts) answer(status int) {
	if c.status == nil {
		c.status = make(map[int]int, 4)
	}
	c.status[status]++
}

// orgState finds the state of an organization, and makes it when there is none.
func (s *Sandbox) orgState(org int) *orgState {
	if a, ok := s.orgStates.Load(org); ok {
		return a.(*orgState)
	}
	id := ""
	if org >= 0 {
		id = s.inventory.OrgID(org)
	}
	a, _ := s.orgStates.LoadOrStore(org, &orgState{id: id})
	return a.(*orgState)
}

// operation finds the counts of one operation; nil is for paths that are no
// operation.
func (a *orgState) operation(r *route) *counts {
	i := -1
	if r != nil {
		i = r.index
	}
	c := a.perOp[i]
	if c == nil {
		if a.perOp == nil {
			a.perOp = make(map[int]*counts, 4)
		}
		c = &counts{}
		a.perOp[i] = c
	}
	return c
}

// A limiter is what refused a request.
type limiter uint8

const (
	byOrganization limiter = iota
	byAddress
	byOperation
)

// limited counts a request that a bucket refused.
func (a *orgState) limited(r *route, by limiter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range [...]*counts{&a.counts, a.operation(r)} {
		switch by {
		case byOrganization:
			c.byOrg++
		case byAddress:
			c.byAddress++
		default:
			c.byOwn++
		}
	}
}

// written counts a write that took effect. The answers of the organization that
// the cache holds are old from then on.
func (a *orgState) written(r *route) {
	a.version.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts.executed++
	a.operation(r).executed++
}

// finish counts the answer of a request; status 0 is no answer at all. It is called
// before the answer leaves, so that a client which has the answer finds it counted.
func (s *Sandbox) finish(c *request, status int, unseen bool) {
	if c.done != nil {
		c.done()
	}
	gone := c.r.Context().Err() != nil
	a := c.org
	a.mu.Lock()
	a.inFlight--
	a.counts.answer(status)
	a.operation(c.route).answer(status)
	if gone {
		a.left++
	}
	if !unseen && status != 0 && status <= 500 {
		a.intervals.add(c, status)
	}
	a.mu.Unlock()
	s.requests.add(c, status, unseen)
}
