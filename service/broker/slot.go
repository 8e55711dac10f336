package broker

import (
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A slot is the right to one attempt at one moment. It is empty until its lanes
// have granted it (admit), and empty again once it is spent (attempt) or given
// back: there is no other way to an attempt, and none to a second one.
type slot struct {
	lane      *lane // who pays, the address with it where the lane is an organization's
	operation *lane // of the operation's own limit; nil where it has none
	share     *lane // of the caller's part of the organization's budget; nil where it may have all
	state     atomic.Uint32
}

const (
	slotEmpty uint32 = iota
	slotHeld
)

// spend empties the slot; false when there was nothing in it.
func (s *slot) spend() bool { return s.state.CompareAndSwap(slotHeld, slotEmpty) }

// giveBack empties the slot without an attempt, so that others have it.
func (b *Broker) giveBack(s *slot) {
	if s.spend() {
		b.granted.Add(-1)
		s.lane.pass(1)
		for _, l := range [...]*lane{s.operation, s.share} {
			if l != nil {
				l.pass(1)
			}
		}
	}
}

// shortestAttempt is what has to be left of a deadline for an attempt to make
// sense where nothing is known of the operation: less than any round trip to
// the Dashboard takes, and enough to say no before the caller has gone.
const shortestAttempt = 10 * time.Millisecond

// admit gets a slot for the journey's next attempt. It refuses at once what
// cannot be in time, and spends nothing on it. The error is a lane's refusal or
// the context's; at says in which lane it came.
func (b *Broker) admit(j *journey) (at *lane, err error) {
	s := &j.slot
	if err := j.ctx.Err(); err != nil {
		return s.lane, err
	}
	if b.house.draining.Load() && j.history.number == 0 {
		return s.lane, &refusal{why: refusedDraining}
	}
	now := time.Now()
	left, service := longestDelay, shortestAttempt
	if deadline, ok := j.ctx.Deadline(); ok {
		left, j.reckoned = deadline.Sub(now), deadline
		service = max(service, b.services.usual(j.call.Operation.GetId(), now))
		j.waiter.latest = deadline.Add(-service)
	}
	if s.operation == nil && s.share == nil && service <= left && s.lane.take(now) {
		b.fill(s)
		b.observer.Waited(s.lane.kind.String(), j.call.Priority, 0)
		return nil, nil
	}
	defer func() { j.queue += time.Since(now) }()
	w := &j.waiter
	if ample := b.services.ample(j.call.Operation.GetId(), now); !w.latest.IsZero() && service < ample && 2*ample <= left {
		service, w.latest = ample, w.latest.Add(service-ample)
	}
	w.class, w.weight, w.thing = j.class(), j.call.weight(), thing(b.seed, j.call)
	w.sent = j.history.number > 0
	relaxed := false
	probe := func() bool { // once for all the lanes
		if !relaxed && (j.probe || b.services.probe(j.call.Operation.GetId(), now)) {
			relaxed, j.probe = true, true
			w.latest = w.latest.Add(service - shortestAttempt)
		}
		return relaxed
	}
	all := [...]*lane{s.operation, s.share, s.lane}
	var back [len(all)]bool // in which of the lanes it is expected
	for i, l := range all {
		if l == nil {
			continue
		}
		w.back = w.sent || j.call.goesOn
		if r := l.fits(now, w, left, service, probe); r != nil {
			return l, r
		}
		back[i] = w.back
	}
	for i, l := range all {
		if l == nil {
			continue
		}
		if err := j.enter(l, back[i]); err != nil {
			for _, paid := range all[:i] {
				if paid != nil {
					paid.pass(1)
				}
			}
			return l, err
		}
	}
	b.fill(s)
	return nil, nil
}

// fill fills a slot that its lanes have just granted.
func (b *Broker) fill(s *slot) {
	s.state.Store(slotHeld)
	b.granted.Add(1)
}

// enter waits in one lane for its part of the slot.
func (j *journey) enter(l *lane, back bool) error {
	w := &j.waiter
	w.class, w.since, w.back = j.class(), time.Time{}, back
	w.ready = make(chan struct{})
	if r := l.join(w); r != nil {
		return r
	}
	if j.raised.Load() > 0 {
		l.raise(w, j.class()) // who raised it a moment ago did not find it here
	}
	return l.await(j.ctx, w)
}

// refusedIn turns what admit returned into the call's fault.
func (b *Broker) refusedIn(j *journey, at *lane, err error) *fault.Error {
	operation := j.call.Operation.GetId()
	r, ok := err.(*refusal)
	if !ok {
		return ended(operation, err, "waiting for a slot of the budget "+at.budget.Key)
	}
	b.observer.Refused(at.kind.String(), j.call.Priority, r.why)
	return at.refuse(operation, r)
}
