package redis

import (
	"maps"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/merakibroker/merakibroker/ratelimit"
)

const (
	// noteAge is how long a note that nobody looks at is kept. What is in an older
	// one is worth nothing.
	noteAge = time.Minute
	// mostNotes bounds the notes. An address may make 100 attempts a second, so
	// fewer than half as many budgets are drawn on within noteAge.
	mostNotes = 1 << 14
	// remembered is how long a slot from the store is certain to have left a
	// trace there: the script keeps a key for longer.
	remembered = 10 * time.Second
)

// A note is what this replica knows of one budget, and has to tell the store with
// its next step.
type note struct {
	used time.Time // when it was last looked at
	// As the store last told.
	state ratelimit.State
	told  time.Time
	at    int64   // the same by the store's clock, in microseconds
	level float64 // of the bucket, below 0 when it owes

	// The order of the queue, while more classes wait here than a step looks at.
	virtual float64
	finish  map[string]float64 // by caller

	turns map[ratelimit.Class]int64 // the numbers of the last slots here, by class

	grants    []grant   // the last ones, for refunds
	refunds   []grant   // to tell
	successes int       // to tell
	alone     int       // slots spent without the store, to tell
	outage    uint64    // the last one that the store has been told of
	stopped   time.Time // end of a stop that the store has not been told of
}

// A grant is slots that the store has granted here at one moment.
type grant struct {
	now   time.Time // by the caller's clock
	at    int64     // by the store's, in microseconds
	slots int
}

// mostGrants bounds the grants that a note remembers, and the refunds to tell. A
// refund of an older one is not told: the slot is lost, and never spent twice.
const mostGrants = 16

// mostTurns bounds the classes of which a note remembers the last slot. Those that
// were served long ago go: they would come first anyway.
const mostTurns = 4096

// took notes the number of a slot.
func (k *note) took(class ratelimit.Class, turn int64) {
	if k.turns == nil {
		k.turns = make(map[ratelimit.Class]int64)
	}
	k.turns[class] = turn
	if len(k.turns) > mostTurns {
		maps.DeleteFunc(k.turns, func(_ ratelimit.Class, old int64) bool { return old <= turn-mostTurns/2 })
	}
}

// last is the last grant, if there was one.
func (k *note) last() (grant, bool) {
	if len(k.grants) == 0 {
		return grant{}, false
	}
	return k.grants[len(k.grants)-1], true
}

// refund notes n slots of a grant that will not be spent.
func (k *note) refund(n int, granted time.Time) {
	for i := range k.grants {
		g := &k.grants[i]
		if !g.now.Equal(granted) || g.slots == 0 || len(k.refunds) == mostGrants {
			continue
		}
		back := min(n, g.slots)
		g.slots -= back
		k.refunds = append(k.refunds, grant{granted, g.at, back})
		if n -= back; n == 0 {
			return
		}
	}
}

// notes holds the notes in the order of their last use.
type notes struct {
	lru *simplelru.LRU[string, *note]
}

func newNotes() (*notes, error) {
	lru, err := simplelru.NewLRU[string, *note](mostNotes, nil)
	return &notes{lru}, err
}

// of returns the note of a budget, a new one if need be, and drops the old ones.
func (n *notes) of(now time.Time, key string) *note {
	k, ok := n.lru.Get(key)
	if !ok {
		k = &note{}
		n.lru.Add(key, k)
	}
	k.used = now
	for {
		_, oldest, _ := n.lru.GetOldest()
		if now.Sub(oldest.used) <= noteAge {
			return k
		}
		n.lru.RemoveOldest()
	}
}

// Feedback is what a step tells beside its own matter.
type feedback struct {
	sinceGrant time.Duration // less than 0 when the store does not have to know the budget
	back       bool          // this replica has been alone since its last step
	alone      int
	successes  int
	refunds    []grant
	outage     uint64
	part       float64 // of the rate, that it had meanwhile
	// stopped is the end of a stop that the store has not been told of. It is told before
	// everything else, in a step of its own.
	stopped time.Time
}

// feedback takes what there is to tell. What becomes of the step nobody knows if it
// fails: successes and refunds are lost then, which costs at most a slot that
// nobody uses; what was spent alone is told again.
func (k *note) feedback(now time.Time, h history) feedback {
	r := feedback{sinceGrant: -1, successes: k.successes, refunds: k.refunds, alone: k.alone, outage: h.outages, part: h.part, stopped: k.stopped}
	if g, ok := k.last(); ok && now.Sub(g.now) < remembered {
		r.sinceGrant = max(0, now.Sub(g.now))
	}
	r.back = k.outage != h.outages && (k.alone > 0 || now.Sub(h.returned) < returning)
	k.successes, k.refunds = 0, nil
	return r
}

// hear notes the answer to a step. Steps may be under way together, for as long as one
// may take: the state of the one that the store took later stays, whichever is heard last.
func (k *note) hear(now time.Time, r feedback, state ratelimit.State, a result, takes time.Duration) {
	if before := time.Duration(k.at-a.at) * time.Microsecond; before <= 0 || before > takes {
		k.state, k.told, k.at, k.level = state, now, a.at, a.tokens
	}
	k.outage = max(k.outage, r.outage)
	k.alone = max(0, k.alone-r.alone)
	if !k.stopped.After(r.stopped) {
		k.stopped = time.Time{}
	}
	if len(a.slots) > 0 {
		if len(k.grants) == mostGrants {
			k.grants = append(k.grants[:0], k.grants[1:]...)
		}
		k.grants = append(k.grants, grant{now, a.at, len(a.slots)})
	}
}

// start is what this replica's own bucket has in it when the store goes: its spare,
// if it is there. One that was used in an outage before is paid back by what flows
// in next; while that is not known to have happened, there is none.
func (k *note) start(since time.Time, spare float64) float64 {
	switch {
	case k.alone > 0:
		return 0
	case k.told.IsZero():
		return spare
	}
	return spare + min(0, k.level+k.state.Rate*since.Sub(k.told).Seconds())
}

// pace is the rate that the store had in force, 0 when that is not known or so
// long ago that it means nothing.
func (k *note) pace(now time.Time) float64 {
	if k.told.IsZero() || now.Sub(k.told) > noteAge {
		return 0
	}
	return k.state.Rate
}

// peek is the state at a moment, reckoned from what the store last told.
func (k *note) peek(now time.Time, b ratelimit.Budget) ratelimit.State {
	s := k.state
	if k.told.IsZero() || s.Ceiling != b.Rate {
		s.Rate, s.Ceiling, s.Burst, s.Tokens = b.Rate, b.Rate, b.Burst, b.Burst
	}
	from := k.told
	if s.StoppedUntil.After(from) {
		from = s.StoppedUntil
	}
	if !k.told.IsZero() && now.After(from) {
		s.Tokens = min(s.Burst, s.Tokens+s.Rate*now.Sub(from).Seconds())
	}
	if now.Before(s.StoppedUntil) {
		s.Tokens = 0
	}
	s.Tokens = max(0, s.Tokens)
	return s
}
