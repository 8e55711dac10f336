// Package record remembers what became of attempts: the recent ones whole
// (ring.go, interner.go), older ones as counts (series.go), the verdict on the
// Dashboard's health (health.go), the comparison with the vendor's own count of
// requests (telemetry.go), and where answers differed from the contract (drift.go).
package record

import (
	"cmp"
	"container/heap"
	"container/list"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// An Attempt is one HTTP request on record.
type Attempt struct {
	Start    time.Time
	Duration time.Duration
	// Operation is the operationId. Organization is the owner, empty when there
	// is none or it was not known. Caller is the caller who asked.
	Operation, Organization, Caller string
	// Method is the HTTP method.
	Method string
	// Status is 0 when there was no answer.
	Status  int
	Outcome fault.Outcome
	// RequestID is the vendor's X-Request-Id.
	RequestID string
	// Host is scheme://host of the server that answered or, where none did, was
	// asked.
	Host string
	// Error says what was wrong, without addresses or secrets.
	Error string
	// Number counts the attempts of the call, this one included.
	Number int
	// Verdict is what the judge decided: "again: rate limited".
	Verdict string
}

// Config bounds a Record. Every zero field has the default beside it.
type Config struct {
	// Attempts is the number of attempts kept for List: 65,536. They take 4.5 MiB
	// when all are there, of ten thousand organizations, and cover eleven minutes
	// of an egress address that spends all it may.
	Attempts int
	// Organizations is the number of organizations that have counters of their
	// own, the most recently active: 1000. An organization that is active all day
	// takes about 15 KiB.
	Organizations int
	// Threshold is the share of attempts at which health is not OK any more: 0.05.
	Threshold float64
	// Least is how many attempts a verdict needs: 20.
	Least int
	// Since is the moment from which the record is complete: the start of the
	// process. When zero, it is the start of the first attempt.
	Since time.Time
}

func (c *Config) defaults() {
	c.Attempts = cmp.Or(max(c.Attempts, 0), 65_536)
	c.Organizations = cmp.Or(max(c.Organizations, 0), 1000)
	c.Threshold = cmp.Or(max(c.Threshold, 0), 0.05)
	c.Least = cmp.Or(max(c.Least, 0), 20)
}

// A Record remembers every attempt of this process: the recent attempts whole,
// older ones as counts. The Dashboard's own telemetry never sees an attempt that
// ended in 502, 504 or a reset; a Record does. It is bounded in memory and safe
// for concurrent use.
type Record struct {
	config Config

	mu     sync.Mutex
	ring   ring
	all    *series
	orgs   map[string]*list.Element // of *series
	recent list.List                // the same, latest first
	since  time.Time

	underWay underWay
}

// New makes an empty Record.
func New(c Config) *Record {
	c.defaults()
	return &Record{
		config: c,
		ring:   ring{limit: c.Attempts},
		all:    new(series),
		orgs:   make(map[string]*list.Element),
		since:  c.Since,
	}
}

// maxErrorText bounds Attempt.Error, in bytes.
const maxErrorText = 200

// Add puts an attempt on record.
func (r *Record) Add(a Attempt) {
	if len(a.Error) > maxErrorText {
		a.Error = a.Error[:maxErrorText]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		r.since = a.Start
	}
	r.ring.add(&a)
	if a.Organization != "" {
		r.organization(a.Organization).add(&a)
	}
	r.all.add(&a)
}

// organization gives the counters of one organization. Above the bound, the
// organization that has been idle for longest loses its counters, and their
// memory is used again: with ten thousand organizations this happens at nearly
// every attempt.
func (r *Record) organization(id string) *series {
	if e := r.orgs[id]; e != nil {
		r.recent.MoveToFront(e)
		return e.Value.(*series)
	}
	if len(r.orgs) < r.config.Organizations {
		s := &series{id: id}
		r.orgs[id] = r.recent.PushFront(s)
		return s
	}
	e := r.recent.Back()
	s := e.Value.(*series)
	delete(r.orgs, s.id)
	*s = series{id: id, coarse: s.coarse[:0]}
	r.recent.MoveToFront(e)
	r.orgs[id] = e
	return s
}

// An AttemptFilter chooses attempts. Each zero field chooses any.
type AttemptFilter struct {
	Organization, Operation, Caller string
	Outcome                         fault.Outcome
	// Failed chooses attempts that did not end well; one whose caller left is none.
	Failed bool
	// Before chooses attempts that started before this moment.
	Before time.Time
	// Limit is the number of attempts at the most: 100 when 0, never above 1000.
	Limit int
}

// chooser gives a function that tells whether f chooses an attempt. It gives nil
// when f names a text that no attempt has.
func (f *AttemptFilter) chooser(w *interner) func(*packedAttempt) bool {
	organization, ok1 := w.find(f.Organization)
	operation, ok2 := w.find(f.Operation)
	caller, ok3 := w.find(f.Caller)
	if !ok1 || !ok2 || !ok3 {
		return nil
	}
	before := int64(math.MaxInt64)
	if !f.Before.IsZero() {
		before = nanos(f.Before)
	}
	return func(l *packedAttempt) bool {
		return (organization == 0 || organization == l.organization) &&
			(operation == 0 || operation == l.operation) &&
			(caller == 0 || caller == l.caller) &&
			(f.Outcome == fault.NoOutcome || f.Outcome == l.outcome) &&
			(!f.Failed || l.outcome != fault.OK && l.outcome != fault.Left && l.outcome != fault.Redirect) &&
			l.start < before
	}
}

// List gives the attempts that f chooses, the latest started first.
func (r *Record) List(f AttemptFilter) []Attempt {
	limit := min(cmp.Or(max(f.Limit, 0), 100), 1000)
	r.mu.Lock()
	defer r.mu.Unlock()
	chooses := f.chooser(&r.ring.texts)
	if chooses == nil {
		return nil
	}
	// The ring is in the order of endings; the heap keeps the latest starts.
	kept := make(earliest, 0, limit)
	for i := range r.ring.length {
		l := r.ring.at(i)
		if !chooses(l) {
			continue
		}
		if len(kept) < limit {
			heap.Push(&kept, l)
		} else if l.start > kept[0].start {
			kept[0] = l
			heap.Fix(&kept, 0)
		}
	}
	slices.SortStableFunc(kept, func(a, b *packedAttempt) int { return cmp.Compare(b.start, a.start) })
	attempts := make([]Attempt, len(kept))
	for i, l := range kept {
		attempts[i] = r.ring.unpack(l)
	}
	return attempts
}

// earliest is a heap with the earliest start on top.
type earliest []*packedAttempt

func (h earliest) Len() int           { return len(h) }
func (h earliest) Less(i, j int) bool { return h[i].start < h[j].start }
func (h earliest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *earliest) Push(x any)        { *h = append(*h, x.(*packedAttempt)) }

func (h *earliest) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	*h = (*h)[:last]
	return l
}
