package usage

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"
)

// Kept is how long a window is kept.
const Kept = 24 * time.Hour

// Config bounds a Usage. Every zero field has the default beside it.
type Config struct {
	// Largest is how many are kept by name of each minute: of callers, of
	// organizations, of operations, and of what is all three. 200.
	Largest int
	// Bytes bounds the windows that have passed: 24 MiB. Above it the oldest go before
	// their day is over.
	Bytes int
	// Callers and Organizations are how many have meters, which are for metrics; none
	// when 0.
	Callers, Organizations int
	// Shared is where replicas leave their windows for each other; nil for this one
	// alone.
	Shared Shared
}

// A Usage counts who spent what. It is bounded in memory and safe for concurrent use. A
// nil one counts nothing.
type Usage struct {
	config Config
	id     string
	start  time.Time
	// asking is taken by who is given an answer: it takes a moment of a processor.
	asking chan struct{}
	packer *packer

	mu                     sync.Mutex
	live                   *live
	passed                 []packed // oldest first
	bytes                  int
	since                  time.Time // from when on all is there that was counted here
	callers, organizations *meter

	// written is the minute from which on windows have to be written to the store, and
	// sent what was written of the one under way. They belong to Share.
	written int64
	sent    Figures
}

// packed is a window that has passed.
type packed struct {
	minute int64
	form   []byte
}

// New makes an empty Usage.
func New(c Config) *Usage {
	c.Largest, c.Bytes = cmp.Or(max(c.Largest, 0), 200), cmp.Or(max(c.Bytes, 0), 24<<20)
	now := time.Now()
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	u := &Usage{
		config: c, id: hex.EncodeToString(id[:]), start: now, since: now, asking: make(chan struct{}, 1), packer: newPacker(), live: newLive(c.Largest),
		callers: newMeter(c.Callers), organizations: newMeter(c.Organizations),
	}
	u.live.minute = minuteOf(now)
	return u
}

// Add counts what was spent at this moment. It allocates nothing for a key that was
// counted in the minute before, or in this one.
func (u *Usage) Add(now time.Time, k Key, f Figures) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.roll(now)
	u.live.all.add(k, &f)
	u.callers.add(now, k.Caller, &f)
	if k.Organization != "" {
		u.organizations.add(now, k.Organization, &f)
	}
}

// roll begins a new window when the minute is over, with the lock held. A clock that
// goes back goes on in the window that there is.
func (u *Usage) roll(now time.Time) {
	minute := minuteOf(now)
	if minute <= u.live.minute {
		return
	}
	if w := u.live.window(); w.each[0].keys != nil {
		u.passed = append(u.passed, packed{w.minute, u.packer.pack(w)})
		u.bytes += len(u.passed[len(u.passed)-1].form)
	}
	u.live.begin(minute)
	n := 0
	for n < len(u.passed) && (u.bytes > u.config.Bytes || u.passed[n].minute < minute-int64(Kept/time.Minute)) {
		u.bytes -= len(u.passed[n].form)
		u.since = time.Unix(60*(u.passed[n].minute+1), 0)
		n++
	}
	u.passed = append(u.passed[:0], u.passed[n:]...)
}

// A Query says what to add up.
type Query struct {
	// Groups tell rows apart; Filter chooses, each empty part any.
	Groups Groups
	Filter Key
	// Span is how far back; an hour when 0, Kept at the most.
	Span time.Duration
	// Limit is the number of rows at the most: 100 when 0.
	Limit int
}

// An Answer is what was spent. Rows and Other add up to Total.
type Answer struct {
	Rows         []Row
	Other, Total Figures
	Begin, End   time.Time
	// Replicas that are counted, this one first.
	Replicas []Replica
	// Incomplete says why others may be missing; empty when none is.
	Incomplete string
}

// A Replica is one whose figures are counted.
type Replica struct {
	ID          string
	First, Last time.Time
}

// Ask adds up what all replicas have counted. Only one answer is made at a time. The
// error is the context's.
func (u *Usage) Ask(ctx context.Context, now time.Time, q Query) (Answer, error) {
	if u == nil {
		return Answer{Begin: now, End: now}, ctx.Err()
	}
	select {
	case u.asking <- struct{}{}:
		defer func() { <-u.asking }()
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
	span := min(cmp.Or(max(q.Span, 0), time.Hour), Kept)
	first := minuteOf(now.Add(-span))
	s := newSum(q.Groups, q.Filter)
	passed, current, began := u.from(now, first)
	for _, form := range passed {
		if w, err := unpack(form); err == nil { // it is ours
			s.add(w)
		}
	}
	s.add(current)
	out := Answer{Begin: time.Unix(60*first, 0), End: now, Replicas: []Replica{{ID: u.id, First: u.start, Last: now}}}
	if u.config.Shared != nil {
		others, err := u.others(ctx, now, first, s)
		out.Replicas = append(out.Replicas, others...)
		switch {
		case ctx.Err() != nil:
			return Answer{}, ctx.Err()
		case err != nil:
			out.Incomplete = "other replicas may be missing: " + err.Error()
		}
	}
	for _, r := range out.Replicas[1:] {
		if r.First.Before(began) {
			began = r.First
		}
	}
	if began.After(out.Begin) {
		out.Begin = began
	}
	out.Rows, out.Other, out.Total = s.result(cmp.Or(max(q.Limit, 0), 100))
	return out, nil
}

// from gives this replica's windows from a minute on, and from when on all are there.
func (u *Usage) from(now time.Time, first int64) (passed [][]byte, current *window, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.roll(now)
	for _, p := range u.passed {
		if p.minute >= first {
			passed = append(passed, p.form)
		}
	}
	return passed, u.live.window(), u.since
}
