package broker

import (
	"cmp"
	"container/heap"
	"container/list"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// An Attempt is one HTTP request on record.
type Attempt struct {
	Start    time.Time
	Duration time.Duration
	// Operation is the operationId; Organization the owner, empty when there is
	// none or it was not known; Caller who asked.
	Operation, Organization, Caller string
	// Method is the HTTP method.
	Method string
	// Status is 0 when there was no answer.
	Status  int
	Outcome fault.Outcome
	// RequestID is the vendor's X-Request-Id.
	RequestID string
	// Host is scheme://host of who answered, or was asked.
	Host string
	// Error says what was wrong, without addresses or secrets.
	Error string
	// Number counts the attempts of the call, this one included.
	Number int
	// Verdict is what the judge decided: "again: rate limited".
	Verdict string
}

// RecordConfig bounds a Record. Every zero field has the default beside it.
type RecordConfig struct {
	// Attempts kept for List: 65,536, which take about 20 MiB when all are there
	// and are eleven minutes of an egress address that spends all it may.
	Attempts int
	// Organizations that have counters of their own: 1000, the most recently
	// active. One that is active all day takes about 30 KiB.
	Organizations int
	// Threshold is the share of attempts at which health is not OK any more: 0.05.
	Threshold float64
	// Least is how many attempts a verdict needs: 20.
	Least int
	// Since is from when on the record is complete: the start of the process. The
	// first attempt's start when zero.
	Since time.Time
}

func (c *RecordConfig) defaults() {
	c.Attempts = cmp.Or(max(c.Attempts, 0), 65_536)
	c.Organizations = cmp.Or(max(c.Organizations, 0), 1000)
	c.Threshold = cmp.Or(max(c.Threshold, 0), 0.05)
	c.Least = cmp.Or(max(c.Least, 0), 20)
}

// A Record remembers every attempt of this process: the recent ones whole, older
// ones as counts. The Dashboard's own telemetry never sees an attempt that ended
// in 502, 504 or a reset; this does. It is bounded in memory and safe for
// concurrent use.
type Record struct {
	config RecordConfig

	mu     sync.Mutex
	ring   []Attempt // grows to config.Attempts, then is written around
	next   int       // where the next attempt goes once the ring is full
	counts map[countKey]int64
	most   int // counters, before organizations and then operations are counted together
	all    *series
	orgs   map[string]*list.Element // of *series
	recent list.List                // the same, latest first
	since  time.Time
	words  map[string]string // one copy of each host, verdict and error text
}

// NewRecord makes an empty Record.
func NewRecord(c RecordConfig) *Record {
	c.defaults()
	return &Record{
		config: c,
		counts: make(map[countKey]int64),
		most:   maxCounts,
		all:    new(series),
		orgs:   make(map[string]*list.Element),
		since:  c.Since,
		words:  make(map[string]string),
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
	a.Host, a.Verdict, a.Error, a.Caller = r.word(a.Host), r.word(a.Verdict), r.word(a.Error), r.word(a.Caller)
	if a.Organization != "" {
		s := r.organization(a.Organization)
		a.Organization = s.id // not a part of some URL, which would be kept with it
		s.add(&a)
	}
	if len(r.ring) < r.config.Attempts {
		r.ring = append(r.ring, a)
	} else {
		r.ring[r.next] = a
		r.next = (r.next + 1) % len(r.ring)
	}
	r.count(&a)
	r.all.add(&a)
}

// maxWords bounds the texts that are kept once instead of once an attempt.
const maxWords = 1024

// word gives the kept copy of s.
func (r *Record) word(s string) string {
	if kept, ok := r.words[s]; ok {
		return kept
	}
	if len(r.words) < maxWords {
		s = strings.Clone(s) // not a part of a larger text
		r.words[s] = s
	}
	return s
}

// organization gives the counters of one organization. Above the bound the one
// that has been idle for longest makes room, and its counters are used again: with
// ten thousand organizations this happens at nearly every attempt.
func (r *Record) organization(id string) *series {
	if e := r.orgs[id]; e != nil {
		r.recent.MoveToFront(e)
		return e.Value.(*series)
	}
	id = strings.Clone(id)
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
	// Before chooses attempts that started before.
	Before time.Time
	// Limit is how many at the most: 100 when 0, never above 1000.
	Limit int
}

func (f *AttemptFilter) chooses(a *Attempt) bool {
	return (f.Organization == "" || f.Organization == a.Organization) &&
		(f.Operation == "" || f.Operation == a.Operation) &&
		(f.Caller == "" || f.Caller == a.Caller) &&
		(f.Outcome == fault.NoOutcome || f.Outcome == a.Outcome) &&
		(f.Before.IsZero() || a.Start.Before(f.Before))
}

// List gives the attempts that f chooses, the latest started first.
func (r *Record) List(f AttemptFilter) []Attempt {
	limit := min(cmp.Or(max(f.Limit, 0), 100), 1000)
	// The ring is in the order of endings; the heap keeps the latest starts.
	kept := make(earliest, 0, limit)
	r.mu.Lock()
	for i := range r.ring {
		a := &r.ring[i]
		if !f.chooses(a) {
			continue
		}
		if len(kept) < limit {
			heap.Push(&kept, *a)
		} else if a.Start.After(kept[0].Start) {
			kept[0] = *a
			heap.Fix(&kept, 0)
		}
	}
	r.mu.Unlock()
	slices.SortStableFunc(kept, func(a, b Attempt) int { return b.Start.Compare(a.Start) })
	return kept
}

// earliest is a heap with the earliest start on top.
type earliest []Attempt

func (h earliest) Len() int           { return len(h) }
func (h earliest) Less(i, j int) bool { return h[i].Start.Before(h[j].Start) }
func (h earliest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *earliest) Push(x any)        { *h = append(*h, x.(Attempt)) }

func (h *earliest) Pop() any {
	last := len(*h) - 1
	a := (*h)[last]
	*h = (*h)[:last]
	return a
}

// An AttemptCount is how many attempts there have been since the start.
type AttemptCount struct {
	// Organization is empty for none, for an unknown one, and for all those above
	// the bound.
	Organization string
	Operation    string
	Outcome      fault.Outcome
	Count        int64
}

type countKey struct {
	organization, operation string
	outcome                 fault.Outcome
}

// maxCounts bounds the counters: 1000 operations with eight outcomes, and as
// much again eleven times over for organizations. Above it, organizations that
// come new are counted together.
const maxCounts = 96_000

// count counts one attempt.
func (r *Record) count(a *Attempt) {
	k := countKey{a.Organization, a.Operation, a.Outcome}
	if _, known := r.counts[k]; !known && len(r.counts) >= r.most {
		k.organization = ""
		if _, known = r.counts[k]; !known && len(r.counts) >= 2*r.most {
			k.operation = ""
		}
	}
	r.counts[k]++
}

// Counts gives all counters, by organization, operation and outcome.
func (r *Record) Counts() []AttemptCount {
	r.mu.Lock()
	all := make([]AttemptCount, 0, len(r.counts))
	for k, n := range r.counts {
		all = append(all, AttemptCount{k.organization, k.operation, k.outcome, n})
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b AttemptCount) int {
		return cmp.Or(cmp.Compare(a.Organization, b.Organization), cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Outcome, b.Outcome))
	})
	return all
}
