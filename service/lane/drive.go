package lane

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// drive pulls slots for the lane as long as a call waits in it. It pulls at the
// moment that the scheduler has named, and at once when the lane has news. In
// between it only refuses calls that have waited too long.
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
			// The scheduler still counts waiting calls of this lane. They would
			// stand in the way of others, and of the next call that comes here,
			// so a pull without calls takes them back.
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
			l.part(&p.pairs)
			return
		}
		if now.Before(due) {
			l.mu.Unlock()
		} else {
			p.classes = l.queue.waiting(p.classes[:0])
			p.length = l.queue.length
			first := l.queue.first()
			p.class, p.weight = first.class, first.weight
			p.fresh, l.fresh = p.fresh || l.fresh, false
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
			due = p.earliest
		case <-ctx.Done():
		}
	}
}

// clearNews drops news that no goroutine needs any more.
func (l *lane) clearNews() {
	select {
	case <-l.news:
	default:
	}
}

// longestSleep bounds how long drive relies on the moment that the scheduler has
// named: a scheduler in the store forgets a replica that has not pulled for about
// a second. shortestSleep keeps a rounding error from turning the wait into a
// busy loop.
const (
	longestSleep  = 500 * time.Millisecond
	shortestSleep = 100 * time.Microsecond
)

// A puller is the state that drive keeps from one pull to the next.
type puller struct {
	classes []ratelimit.Waiting // what waits
	length  int                 // the number of all waiters
	class   ratelimit.Class     // of the first waiter
	weight  float64
	fresh   bool // one of the classes is new
	told    int  // the number of waiters that the scheduler counts
	// earliest is the moment before which no news make the lane pull.
	earliest time.Time
	ticket   addressTicket
	pairs    pairs
}

// An addressTicket is a waiter in the address's lane that stands for another
// lane. A slot of that lane needs a slot of the address too, and the ticket waits
// for it when the address has none at once. A lane has at most one ticket, in the
// class of its own next call, so lanes share the address as their callers would,
// and an organization that may not send yet holds no slot of the address. The
// ticket belongs to the goroutine that drives the lane.
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

// collectTicket takes the slot that the address ticket was granted. It returns
// the number of slots, 1 or 0, and when the slot was asked for.
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

// withdrawTicket takes the address ticket back, and passes on the slot that it
// was granted.
func (l *lane) withdrawTicket(ticket *addressTicket) {
	if ticket.active {
		ticket.active = false
		l.address.leave(ticket.w, nil)
	}
}

// pull asks the scheduler once and delivers the slots that it grants. It returns
// the time until the next pull: 0 for at once, below 0 for when the lane has
// news.
func (l *lane) pull(ctx context.Context, now time.Time, p *puller) time.Duration {
	if l.address != nil && l.address.taker == nil {
		return l.pullPaired(ctx, now, p)
	}
	most, at := 0, asked{now, now}
	if l.address != nil {
		// The address pays first, and gets back the slots that the organization
		// does not grant. A lane that has no slots due asks the scheduler with
		// one slot of the address, which is enough.
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
	if l.kind == addressLane && l.taker == nil {
		l.lack(now, p.told)
		if p.told > 0 {
			p.earliest = now.Add(gather)
			grant.Again = max(grant.Again, gather)
		} else {
			p.earliest = time.Time{}
		}
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

// deliver gives granted slots to calls. A slot goes to the oldest call of its
// class that can still use it or, where the class is empty by now, to the first
// call of the lane. at is when the slots were asked for. deliver returns how many
// slots of the address were not needed.
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

// grant gives w a slot that was asked for at the times in at. The lock is held.
func (l *lane) grant(w *waiter, now time.Time, at asked) {
	l.out(w, granted, nil)
	w.asked = at
	if !w.internal {
		l.set.config.Observer.Waited(l.kind.String(), w.class.Priority, now.Sub(w.since))
	}
	w.wake()
}

// pick chooses the waiter for a slot that was granted to a class: the oldest of
// the class, or the first of the queue where the class is empty. It refuses calls
// that could not use the slot any more.
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

// takeUpTo takes up to n slots at once, while no call waits. The other lanes take
// slots of the address's lane in this way.
func (l *lane) takeUpTo(now time.Time, n int) int {
	got := 0
	for got < n && l.take(now) {
		got++
	}
	return got
}

// pass takes back n granted slots that will not be spent, with the address's part
// of each. Waiting calls get them; the budgets get the rest. at is when the slots
// were asked for.
func (l *lane) pass(n int, at asked) {
	now := time.Now()
	back := 0 // slots of the address that debts do not need: they have paid it before
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
	if l.address != nil {
		l.address.pass(n+back, asked{own: at.address})
	}
}

// debts is the class of slots that look-ups have spent already.
var debts = ratelimit.Class{Priority: ratelimit.Critical, Caller: "(look-ups)"}

// mostDebt bounds the attempts that a lane pays for at once.
const mostDebt = 20

// Owe makes an organization pay for n attempts that were made before the broker
// knew that the organization owns their resource. The debts go before the calls
// that wait.
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
