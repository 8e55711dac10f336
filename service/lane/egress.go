package lane

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// Where replicas share the address's budget through the store (Config.Egress), each
// of the two budgets of an attempt costs a round trip. So a lane asks its own budget
// first, and the address for what its own has granted; the address's lane asks for
// all lanes together. A slot that the address does not have at once goes back to
// its own budget: held, it would leave later than the budget allows. The lane then
// waits for the address with one ticket and asks its own budget with the slot that
// the ticket was granted. As long as the address's slots are short, it goes on so,
// and draws a ticket only when its own budget has a slot due.

const (
	// gather is how often the address is asked at the most while its slots are short,
	// so that one round trip fetches several. It is no more than the time for which the
	// store leaves a slot to the replica that it falls to.
	gather = 20 * time.Millisecond
	// holdShort is how long a slot of the lane's own budget waits for one of the
	// address that was not there at once: about the time of two.
	holdShort = 30 * time.Millisecond
)

// pairs are the slots of a lane that have one of their two parts. They belong to
// the goroutine that drives the lane.
type pairs struct {
	// classes were granted by the lane's own budget, which was asked at the time
	// asked. They wait for slots of the address.
	classes []ratelimit.Class
	asked   time.Time
	// tickets wait in the address's lane, one for each of the classes, or a single
	// one ahead of the lane's own budget.
	tickets []*waiter
	// next is when the lane's own budget is to be asked again.
	next time.Time
}

// pullPaired is pull where the address's budget is shared.
func (l *lane) pullPaired(ctx context.Context, now time.Time, p *puller) time.Duration {
	x := &p.pairs
	slots, unmet := l.redeem(x)
	if len(slots) > 0 && len(x.classes) > 0 {
		slots = l.pair(x, slots)
		if len(slots) == 0 {
			return 0 // p does not know what waits now
		}
	}
	if len(x.classes) > 0 {
		most := holdMost
		if unmet {
			most = holdShort
		}
		if wait := most - now.Sub(x.asked); wait > 0 {
			return wait
		}
		l.sched.Refund(ctx, now, l.budget, len(x.classes), x.asked)
		x.classes, x.next = nil, now
		l.withdraw(x, 1)
	}
	most := len(slots)
	if most == 0 {
		short := l.address.short()
		switch {
		case len(x.tickets) > 0:
			l.address.raise(x.tickets[0], p.class.Priority)
			return -1
		case now.Before(x.next) && (short || !p.fresh):
			return x.next.Sub(now)
		case short:
			l.draw(x, p.class, p.weight)
			return -1
		}
		most = min(p.length, max(1, int(l.address.sched.Peek(now, l.address.budget).Tokens)))
	}
	grant, err := l.sched.Pull(ctx, now, ratelimit.Ask{Budget: l.budget, Waiting: p.classes, Most: most})
	p.told, p.fresh = p.length-len(grant.Classes), false
	x.classes, x.asked = grant.Classes, now
	again := max(grant.Again, shortestSleep)
	switch {
	case err != nil:
		again = longestSleep / 10
	case len(grant.Classes) >= p.length, len(grant.Classes) == most && grant.Again < shortestSleep:
		again = 0 // nothing waits, or only what has come meanwhile; or only the address's part bounded it
	case grant.Again < 0:
		again = longestSleep
	}
	x.next = time.Now().Add(again)
	if len(slots) > 0 {
		for _, at := range l.pair(x, slots) {
			l.address.pass(1, asked{own: at})
		}
		return again
	}
	if len(x.classes) == 0 {
		return again
	}
	for _, class := range x.classes {
		l.draw(x, class, weightOf(p.classes, class))
	}
	return holdMost
}

// pair gives slots to calls as far as both parts of them are there, and returns the
// slots of the address that are left.
func (l *lane) pair(x *pairs, slots []time.Time) []time.Time {
	for len(slots) > 0 && len(x.classes) > 0 {
		n := 1 // those that were asked for together
		for n < min(len(slots), len(x.classes)) && slots[n].Equal(slots[0]) {
			n++
		}
		at := asked{own: x.asked, address: slots[0]}
		if spare := l.deliver(at, x.classes[:n]); spare > 0 {
			l.address.pass(spare, asked{own: at.address})
		}
		slots, x.classes = slots[n:], x.classes[n:]
	}
	return slots
}

// part gives back everything that has one part alone, before the lane goes to rest.
func (l *lane) part(x *pairs) {
	if n := len(x.classes); n > 0 {
		l.sched.Refund(l.set.life.ctx, time.Now(), l.budget, n, x.asked)
		x.classes = nil
	}
	l.withdraw(x, 0)
}

// draw puts one more ticket into the address's lane. Where that lane takes nothing
// any more, the broker is closing, and so is this lane.
func (l *lane) draw(x *pairs, class ratelimit.Class, weight float64) {
	w := &waiter{class: class, weight: weight, internal: true, tell: l}
	if l.address.join(w) == nil {
		x.tickets = append(x.tickets, w)
	}
}

// withdraw takes back all tickets but the first so many.
func (l *lane) withdraw(x *pairs, but int) {
	for _, w := range x.tickets[min(but, len(x.tickets)):] {
		l.address.leave(w, nil)
	}
	x.tickets = x.tickets[:min(but, len(x.tickets))]
}

// redeem takes the slots that tickets were granted, as the times at which they were
// asked for. It tells whether the address had no slot for one of the others.
func (l *lane) redeem(x *pairs) (slots []time.Time, unmet bool) {
	if len(x.tickets) == 0 {
		return nil, false
	}
	l.address.mu.Lock()
	defer l.address.mu.Unlock()
	rest := x.tickets[:0]
	for _, w := range x.tickets {
		switch w.state {
		case waiting:
			rest = append(rest, w)
			unmet = unmet || w.unmet
		case granted:
			slots = append(slots, w.asked.own)
		}
	}
	clear(x.tickets[len(rest):])
	x.tickets = rest
	return slots, unmet
}

// short tells whether somebody waits whom the scheduler had no slot for.
func (l *lane) short() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lacking && l.queue.length > 0
}

// lack notes how many waiters got no slot when the scheduler was asked, and tells
// the lanes whose tickets are among them.
func (l *lane) lack(asked time.Time, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lacking = n > 0
	if !l.lacking {
		return
	}
	for _, c := range l.queue.classes {
		for w := c.head; w != nil; w = w.next {
			if w.tell != nil && !w.unmet && !w.since.After(asked) {
				w.unmet = true
				w.tell.notice()
			}
		}
	}
}

// weightOf is the weight of one of the classes that wait.
func weightOf(classes []ratelimit.Waiting, class ratelimit.Class) float64 {
	for _, w := range classes {
		if w.Class == class {
			return w.Weight
		}
	}
	return 1
}
