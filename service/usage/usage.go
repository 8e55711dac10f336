package usage

import (
	"cmp"
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
}

// A Usage counts who spent what. It is bounded in memory and safe for concurrent use.
type Usage struct {
	config Config
	start  time.Time

	mu     sync.Mutex
	live   *live
	passed []packed // oldest first
	bytes  int
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
	u := &Usage{config: c, start: now, live: newLive(c.Largest)}
	u.live.minute = minuteOf(now)
	return u
}

// Add counts what was spent at this moment. It allocates nothing for a key that was
// counted in the minute before, or in this one.
func (u *Usage) Add(now time.Time, k Key, f Figures) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.roll(now)
	u.live.all.add(k, &f)
}

// roll begins a new window when the minute is over, with the lock held. A clock that
// goes back goes on in the window that there is.
func (u *Usage) roll(now time.Time) {
	minute := minuteOf(now)
	if minute <= u.live.minute {
		return
	}
	if w := u.live.window(); w.each[0].keys != nil {
		u.passed = append(u.passed, packed{w.minute, w.pack()})
		u.bytes += len(u.passed[len(u.passed)-1].form)
	}
	u.live.begin(minute)
	n := 0
	for n < len(u.passed) && (u.bytes > u.config.Bytes || u.passed[n].minute < minute-int64(Kept/time.Minute)) {
		u.bytes -= len(u.passed[n].form)
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

// Ask adds up what this replica has counted.
func (u *Usage) Ask(now time.Time, q Query) Answer {
	first, span := firstMinute(now, q)
	_ = span
	s := newSum(q.Groups, q.Filter)
	u.mu.Lock()
	u.roll(now)
	current := u.live.window()
	var before [][]byte
	for _, p := range u.passed {
		if p.minute >= first {
			before = append(before, p.form)
		}
	}
	u.mu.Unlock()
	for _, form := range before {
		if w, err := unpack(form); err == nil { // it is ours
			s.add(w)
		}
	}
	s.add(current)
	out := Answer{Begin: later(time.Unix(60*first, 0), u.start), End: now, Replicas: []Replica{{ID: "this", First: u.start, Last: now}}}
	out.Rows, out.Other, out.Total = s.result(cmp.Or(max(q.Limit, 0), 100))
	return out
}

func firstMinute(now time.Time, q Query) (int64, time.Duration) {
	span := min(cmp.Or(max(q.Span, 0), time.Hour), Kept)
	return minuteOf(now.Add(-span)), span
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
