package broker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// unfinishedMemory is how long an action batch counts as under way after an
// answer has said that it is not completed, when no call asks about it. Most
// batches are done in a few seconds, and a batch that is done should not hold
// others back.
const unfinishedMemory = 10 * time.Second

// errDraining ends the wait at a gate.
var errDraining = errors.New("draining")

// These are the operations of which an organization may have only a limited
// number under way.
const (
	createBatch   = "createOrganizationActionBatch"
	confirmBatch  = "updateOrganizationActionBatch"
	deleteNetwork = "deleteNetwork"
)

// gates hold back calls of which an organization may have only a few under way,
// whatever its budget: five action batches, one deletion of a network. The calls
// wait at their gate before they ask for a slot, first come, first served.
type gates struct {
	batches int
	pause   time.Duration
	// drain is closed when the gates let no call in any more.
	drain <-chan struct{}

	mu sync.Mutex
	m  map[gateKey]*gate
}

type gateKey struct{ organization, operation string }

// A gate is for the calls of one operation of one organization.
type gate struct {
	limit, inside int
	queue         []chan struct{} // closed in turn
	// until is the time before which no call is let in, after the Dashboard has
	// said that there are too many.
	until time.Time
	// unfinished holds the batches that are not known to be done, each with the
	// time until which it counts.
	unfinished map[string]time.Time
}

// enter waits until a call may go on. The function that it returns lets the next
// call in. Calls that need no gate pass at once.
func (g *gates) enter(j *callState) (leave func(), f *fault.Error) {
	operation, limit := j.call.Operation.GetId(), 1
	switch operation {
	case createBatch:
		limit = g.batches
	case deleteNetwork:
	default:
		return func() {}, nil
	}
	key := gateKey{j.organization, operation}
	begun := time.Now()
	err := g.wait(j.ctx, key, limit)
	j.queue += time.Since(begun)
	if err == errDraining {
		return nil, fault.Stopping(operation)
	}
	if err != nil {
		return nil, fault.Ended(operation, err, "waiting for others of its kind to finish, of which the organization may have "+
			map[bool]string{true: "one", false: "only a few"}[limit == 1]+" at a time")
	}
	return func() { g.leave(key) }, nil
}

func (g *gates) wait(ctx context.Context, key gateKey, limit int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.m == nil {
		g.m = make(map[gateKey]*gate)
	}
	e := g.m[key]
	if e == nil {
		g.tidy()
		e = &gate{limit: limit}
		g.m[key] = e
	}
	if len(e.queue) == 0 && e.open(time.Now()) == 0 {
		e.inside++
		return nil
	}
	turn := make(chan struct{})
	e.queue = append(e.queue, turn)
	defer func() { g.next(key, e) }()
	for {
		// Only the first call in the queue looks at the clock; the others wait
		// until they are first.
		var opens <-chan time.Time
		if e.queue[0] == turn {
			d := e.open(time.Now())
			if d == 0 {
				e.queue = e.queue[1:]
				e.inside++
				return nil
			}
			if d > 0 {
				t := time.NewTimer(d)
				defer t.Stop()
				opens = t.C
			}
		}
		g.mu.Unlock()
		var err error
		select {
		case <-turn:
		case <-opens:
		case <-ctx.Done():
			err = ctx.Err()
		case <-g.drain:
			err = errDraining
		}
		g.mu.Lock()
		at := 0
		for e.queue[at] != turn {
			at++
		}
		if err != nil {
			e.queue = append(e.queue[:at:at], e.queue[at+1:]...)
			return err
		}
		select {
		case <-turn: // used up: have a new one for the next time
			turn = make(chan struct{})
			e.queue[at] = turn
		default:
		}
	}
}

// tidy forgets gates that only remember batches of the past, when there are many
// gates.
func (g *gates) tidy() {
	if len(g.m) == 0 || len(g.m)%1024 != 0 {
		return
	}
	now := time.Now()
	for key, e := range g.m {
		if e.inside == 0 && len(e.queue) == 0 && e.open(now) == 0 {
			delete(g.m, key)
		}
	}
}

// open is the time until the next call may go in: 0 for now, below 0 for when a
// call leaves.
func (e *gate) open(now time.Time) time.Duration {
	if now.Before(e.until) {
		return e.until.Sub(now)
	}
	next := time.Duration(-1)
	for id, until := range e.unfinished {
		if !now.Before(until) {
			delete(e.unfinished, id)
		} else if d := until.Sub(now); next < 0 || d < next {
			next = d
		}
	}
	if e.inside+len(e.unfinished) < e.limit {
		return 0
	}
	return next
}

// next wakes the call that is first now, and forgets a gate that no call needs.
func (g *gates) next(key gateKey, e *gate) {
	if len(e.queue) > 0 {
		select {
		case <-e.queue[0]:
		default:
			close(e.queue[0])
		}
		return
	}
	if now := time.Now(); e.inside == 0 && e.open(now) == 0 && len(e.unfinished) == 0 {
		delete(g.m, key)
	}
}

func (g *gates) leave(key gateKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.m[key]; e != nil {
		e.inside--
		g.next(key, e)
	}
}

// hold keeps new batches of an organization back for a while, after the Dashboard
// has said that too many are under way.
func (g *gates) hold(now time.Time, organization string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if e := g.m[gateKey{organization, createBatch}]; e != nil {
		e.until = now.Add(g.pause)
	}
}

// batch notes what an answer says about one action batch or many, and tells whether one
// has ended, as far as that is news: of a list, one that was under way.
func (g *gates) batch(now time.Time, organization string, body []byte) (ended bool) {
	type document struct {
		ID          string
		Confirmed   bool
		Synchronous bool
		Status      struct{ Completed, Failed bool }
	}
	var many []document
	if json.Unmarshal(body, &many) != nil {
		many = make([]document, 1)
		if json.Unmarshal(body, &many[0]) != nil {
			return false
		}
		ended = many[0].Status.Completed || many[0].Status.Failed
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := gateKey{organization, createBatch}
	for _, d := range many {
		e := g.m[key]
		ends := d.Status.Completed || d.Status.Failed || !d.Confirmed
		switch {
		case d.ID == "" || ends && e == nil:
		case ends:
			_, known := e.unfinished[d.ID]
			ended = ended || known
			delete(e.unfinished, d.ID)
			g.next(key, e)
		default:
			if e == nil {
				e = &gate{limit: g.batches}
				if g.m == nil {
					g.m = make(map[gateKey]*gate)
				}
				g.m[key] = e
			}
			if e.unfinished == nil {
				e.unfinished = make(map[string]time.Time)
			}
			e.unfinished[d.ID] = now.Add(unfinishedMemory)
		}
	}
	return ended
}
