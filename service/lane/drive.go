package lane

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// drive pulls slots for the lane as long as anything waits in it. It pulls when
// the scheduler has said, and at once when there is news; in between it only
// looks after what has waited too long.
func (l *lane) drive() {
	var (
		ctx   = l.set.life.ctx
		timer = time.NewTimer(time.Hour)
		due   time.Time // of the next pull
		p     puller
	)
	defer timer.Stop()
	for {
		now := time.Now()
		l.mu.Lock()
		next := l.shed(now)
		if l.queue.length == 0 && p.told > 0 && ctx.Err() == nil {
			// What the scheduler still believes to wait would stand in the way of
			// others, and of the next call that comes here.
			l.mu.Unlock()
			_, _ = l.sched.Pull(ctx, now, ratelimit.Ask{Budget: l.budget})
			p.told = 0
			continue
		}
		if l.queue.length == 0 || ctx.Err() != nil {
			l.refuseAll(refusedDraining, true)
			l.driving = false
			l.clearNews()
			l.mu.Unlock()
			l.withdrawTicket(&p.ticket)
			return
		}
		if now.Before(due) {
			l.mu.Unlock()
		} else {
			p.classes = l.queue.waiting(p.classes[:0])
			p.length = l.queue.length
			first := l.queue.first()
			p.class, p.weight = first.class, first.weight
			l.mu.Unlock()
			again := l.pull(ctx, now, &p)
			if again == 0 {
				continue
			}
			if again < 0 {
				again = longestSleep
			}
			now = time.Now()
			due = now.Add(again)
		}
		timer.Reset(min(due.Sub(now), next))
		select {
		case <-timer.C:
		case <-l.news:
			due = time.Time{}
		case <-ctx.Done():
		}
	}
}

// clearNews forgets news that nobody needs any more.
func (l *lane) clearNews() {
	select {
	case <-l.news:
	default:
	}
}

// longestSleep bounds how long drive relies on being told: a scheduler in the
// store forgets a replica that has not pulled for about a second.
// shortestSleep keeps a rounding error from turning it into a spin.
const (
	longestSleep  = 500 * time.Millisecond
	shortestSleep = 100 * time.Microsecond
)

// A puller is what drive keeps from one pull to the next.
type puller struct {
	classes []ratelimit.Waiting // what waits
	length  int                 // of all of it
	class   ratelimit.Class     // of who is first
	weight  float64
	told    int // what the scheduler believes to wait
	ticket  addressTicket
}

// An addressTicket stands in the address's lane for a lane whose next slot wants
// the address's too, when that cannot be had at once. A lane has at most one
// there, in the class of its own next call, so lanes share the address as their
// callers would, and an organization that may not send yet holds no slot of it.
// It belongs to the goroutine that drives the lane.
type addressTicket struct {
	w      *waiter
	active bool
}

// drawTicket makes sure that the lane has an address ticket of this class.
func (l *lane) drawTicket(ticket *addressTicket, class ratelimit.Class, weight float64) {
	a := l.address
	if ticket.active {
		a.raise(ticket.w, class.Priority)
		return
	}
	ticket.w = &waiter{class: class, weight: weight, internal: true, tell: l}
	ticket.active = a.join(ticket.w) == nil
}

// collectTicket gives the slot that the address ticket was granted, 1 or 0, and when it
// was asked for.
func (l *lane) collectTicket(ticket *addressTicket) (int, time.Time) {
	if !ticket.active {
		return 0, time.Time{}
	}
	a := l.address
	a.mu.Lock()
	defer a.mu.Unlock()
	if ticket.w.state == waiting {
		return 0, time.Time{}
	}
	ticket.active = false
	if ticket.w.state == granted {
		return 1, ticket.w.asked.own
	}
	return 0, time.Time{}
}

// withdrawTicket calls the address ticket back, and passes on what it was granted.
func (l *lane) withdrawTicket(ticket *addressTicket) {
	if ticket.active {
		ticket.active = false
		l.address.leave(ticket.w, nil)
	}
}

// pull asks the scheduler once and gives out what it grants. It returns when to
// pull next, 0 for at once, below 0 for when there is news.
func (l *lane) pull(ctx context.Context, now time.Time, p *puller) time.Duration {
	most, at := 0, asked{now, now}
	if l.address != nil {
		// The address pays first and gets back what the organization does not
		// grant: of a lane that has no slots due, one is enough to ask with.
		want := min(p.length, max(1, int(l.sched.Peek(now, l.budget).Tokens)))
		held, earlier := l.collectTicket(&p.ticket)
		if held > 0 {
			at.address = earlier
		}
		if most = held + l.address.takeUpTo(now, want); most == 0 {
			l.drawTicket(&p.ticket, p.class, p.weight)
			return -1
		}
	}
	grant, err := l.sched.Pull(ctx, now, ratelimit.Ask{Budget: l.budget, Waiting: p.classes, Most: most})
	p.told = p.length - len(grant.Classes)
	spare := most - len(grant.Classes)
	if len(grant.Classes) > 0 {
		spare += l.deliver(at, grant.Classes)
	}
	if l.address != nil && spare > 0 {
		l.address.pass(spare, asked{own: at.address})
	}
	switch {
	case err != nil:
		return longestSleep / 10
	case len(grant.Classes) >= p.length:
		return 0 // nothing waits, or only what has come meanwhile
	case most > 0 && len(grant.Classes) == most && grant.Again < shortestSleep:
		return 0 // only the address's part bounded it
	case grant.Again < 0:
		return -1
	default:
		return max(grant.Again, shortestSleep)
	}
}

// deliver binds granted slots to calls, each to the oldest of its class that can
// still use it, and passes slots whose class is empty by now to whoever is next.
// at is when they were asked for. It returns how many slots of the address
// were not needed with them.
func (l *lane) deliver(at asked, classes []ratelimit.Class) (spare int) {
	now := time.Now()
	l.mu.Lock()
	unused := 0
	l.shed(now)
	for _, class := range classes {
		w := l.pick(class, now)
		if w == nil {
			unused++
			continue
		}
		l.grant(w, now, at)
		if w.debt {
			spare++ // the look-up has paid the address when it was made
		}
	}
	l.pace.served(now, len(classes)-unused, l.queue.length > 0)
	l.mu.Unlock()
	if unused > 0 {
		l.sched.Refund(l.set.life.ctx, now, l.budget, unused, at.own)
		if l.address != nil {
			spare += unused
		}
	}
	return spare
}

// grant gives w its slot, which was asked for at a moment, with the lock held.
func (l *lane) grant(w *waiter, now time.Time, at asked) {
	l.out(w, granted, nil)
	w.asked = at
	if !w.internal {
		l.set.config.Observer.Waited(l.kind.String(), w.class.Priority, now.Sub(w.since))
	}
	w.wake()
}

// pick is who gets a slot that was granted to a class: its oldest, or where the
// class is empty the first of all. Calls that could not use it any more are
// refused on the way.
func (l *lane) pick(class ratelimit.Class, now time.Time) *waiter {
	for {
		w := l.queue.oldest(class)
		if w == nil {
			w = l.queue.first()
		}
		if w == nil {
			return nil
		}
		if latest := w.latest(); latest.IsZero() || !now.After(latest) {
			return w
		}
		l.out(w, refused, &refusal{why: refusedDeadline, after: l.later(now, w)})
		w.wake()
	}
}

// takeUpTo grants at once up to n slots while nobody waits; the address's lane is
// asked so by the others.
func (l *lane) takeUpTo(now time.Time, n int) int {
	got := 0
	for got < n && l.take(now) {
		got++
	}
	return got
}

// pass takes n granted slots, the address's part with them, that will not be
// spent: calls that wait get them, the budgets the rest. at is when they were
// asked for.
func (l *lane) pass(n int, at asked) {
	now := time.Now()
	back := 0 // of the address, from debts, which have paid it before
	l.mu.Lock()
	for n > 0 && l.queue.length > 0 {
		w := l.pick(l.queue.first().class, now)
		if w == nil {
			break
		}
		l.grant(w, now, at)
		if w.debt {
			back++
		}
		n--
	}
	l.mu.Unlock()
	if n > 0 {
		l.sched.Refund(l.set.life.ctx, now, l.budget, n, at.own)
	}
	if l.address != nil && n+back > 0 {
		l.address.pass(n+back, asked{own: at.address})
	}
}

// debts is the class of slots that are spent already.
var debts = ratelimit.Class{Priority: ratelimit.Critical, Caller: "(look-ups)"}

// mostDebt bounds the attempts that a lane is made to pay for at once.
const mostDebt = 20

// Owe makes an organization pay for n attempts that it has received before it was
// known to own what they were about. They go before what waits.
func (ls *Lanes) Owe(organization string, n int) { ls.organization(organization).owe(n) }

func (l *lane) owe(n int) {
	for range min(n, mostDebt) {
		w := &waiter{class: debts, weight: 1, internal: true, debt: true, returning: true}
		if now := time.Now(); l.take(now) {
			l.address.pass(1, asked{own: now}) // it has paid already
			continue
		}
		l.join(w)
	}
}
