package batch

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// mostPlaces is how many batches an organization may have under way, for all its
	// applications together.
	mostPlaces = 5
	// mostOrganizations is how many organizations are remembered that have no batch
	// under way, with what their batches took; mostKnown is how many batches of each.
	mostOrganizations, mostKnown = 1000, 4096
)

// An organization is what is known of the batches of one.
type organization struct {
	limit int

	mu      sync.Mutex
	held    map[string]int // places by caller
	taken   int
	stopped int // batches and single writes that an operator holds
	waiting []*turn
	// usual is what batches have taken of late; 0 when none has ended.
	usual time.Duration
	// known are batches whose writes are known, by whose they are: no other write has to
	// look for itself in them. order has them in the order in which they came.
	known map[string]string
	order []string
}

// A turn is a list that waits for a place.
type turn struct {
	caller string
	comes  chan struct{} // closed when the place is the list's
}

// of gives an organization, a new one where none is known.
func (b *Batches) of(id string) *organization {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.organizations[id]
	if o != nil {
		return o
	}
	if len(b.organizations) >= mostOrganizations {
		for id, o := range b.organizations {
			o.mu.Lock()
			idle := o.taken == 0 && len(o.waiting) == 0 && o.stopped == 0
			o.mu.Unlock()
			if idle {
				delete(b.organizations, id)
			}
		}
	}
	o = &organization{limit: b.config.Places, held: make(map[string]int), known: make(map[string]string)}
	b.organizations[id] = o
	return o
}

// take waits for a place. A place that becomes free goes to the caller who has the
// fewest, and among these to who has waited longest, so that a caller with many
// batches costs another one the rest of one batch.
func (o *organization) take(ctx context.Context, caller string) (leave func(), err error) {
	o.mu.Lock()
	if o.taken < o.limit && len(o.waiting) == 0 {
		o.give(caller)
		o.mu.Unlock()
		return func() { o.leave(caller) }, nil
	}
	t := &turn{caller: caller, comes: make(chan struct{})}
	o.waiting = append(o.waiting, t)
	o.mu.Unlock()
	select {
	case <-t.comes:
		return func() { o.leave(caller) }, nil
	case <-ctx.Done():
	}
	o.mu.Lock()
	at := slices.Index(o.waiting, t)
	if at >= 0 {
		o.waiting = slices.Delete(o.waiting, at, at+1)
	}
	o.mu.Unlock()
	if at < 0 { // it came at the last moment
		o.leave(caller)
	}
	return nil, ctx.Err()
}

func (o *organization) give(caller string) {
	o.taken++
	o.held[caller]++
}

func (o *organization) leave(caller string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken--
	if o.held[caller]--; o.held[caller] == 0 {
		delete(o.held, caller)
	}
	if len(o.waiting) == 0 {
		return
	}
	next := slices.MinFunc(o.waiting, func(a, b *turn) int { return o.held[a.caller] - o.held[b.caller] })
	o.waiting = slices.DeleteFunc(o.waiting, func(t *turn) bool { return t == next })
	o.give(next.caller)
	close(next.comes)
}

// claim takes a batch for the writes that it carries; false where other writes have it.
func (o *organization) claim(id, owner string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if has := o.known[id]; has != "" {
		return has == owner
	}
	o.known[id] = owner
	if o.order = append(o.order, id); len(o.order) > mostKnown {
		delete(o.known, o.order[0])
		o.order = o.order[1:]
	}
	return true
}

// The pace of the polls of a batch.
const (
	// firstLook is when a batch is looked at first while nothing is known of what
	// batches take; leastWait and mostWait bound the waits after that.
	firstLook = time.Second
	leastWait = 250 * time.Millisecond
	mostWait  = 5 * time.Second
)

// A pace says when to look at a batch: after what such batches took, and then again
// after waits that grow by a half.
type pace struct{ next time.Duration }

// pace gives the first wait, and the pace of those after it.
func (o *organization) pace() (first time.Duration, p pace) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.usual == 0 {
		return firstLook, pace{firstLook / 2}
	}
	return o.usual, pace{max(leastWait, o.usual/16)}
}

// wait is the time before the next poll.
func (p *pace) wait() time.Duration {
	d := min(p.next, mostWait)
	p.next += p.next / 2
	return d
}

// learn takes note of how long a batch took. One that had ended when it was first
// looked at may have ended before.
func (o *organization) learn(took time.Duration, first bool) {
	if first {
		took -= took / 20
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.usual == 0 {
		o.usual = took
	}
	o.usual += (took - o.usual) * 3 / 10
}
