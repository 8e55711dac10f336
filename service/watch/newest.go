package watch

import (
	"cmp"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// rounds is how often the thing was looked at, and what is closed when it is again.
func (p *poller) rounds() (uint64, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.round, p.changed
}

// advance takes a reading as the newest. It was made at the moment seen by this
// replica's clock.
func (p *poller) advance(r reading, seen time.Time) {
	p.retry = time.Time{}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.latest.state
	p.latest, p.seen, p.trouble = r, seen, nil
	if r.state != before {
		p.shown.from, p.shown.to, p.shown.update = nil, nil, nil
		for w := range p.watchers {
			p.of.holding.drop(w.caller, w.newest)
			w.newest = nil
		}
		for w := range p.watchers {
			p.give(w, r.state)
		}
	}
	p.count(time.Now(), len(r.pages), r.made)
	p.turned()
}

// give makes a state the newest of a watcher that has none, with the lock held. Where
// there is no room, the caller's watchers here give up the one that they were sent last,
// and are sent the next one whole.
func (p *poller) give(w *Watcher, s *State) {
	h := p.of.holding
	if !h.take(w.caller, s) {
		for other := range p.watchers {
			if other.caller == w.caller {
				h.drop(other.caller, other.last)
				other.last = nil
			}
		}
		if !h.take(w.caller, s) {
			w.failure = noRoom(p.operation.GetId(), s.size)
			return
		}
	}
	w.newest = s
}

// update gives a watcher what it does not have yet; nil when it has all.
func (p *poller) update(w *Watcher, now time.Time) (*Update, *fault.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.failure != nil:
		return nil, w.failure
	case p.failure != nil:
		return nil, p.failure
	case w.newest == nil:
		return nil, nil
	}
	u := p.difference(w)
	if w.last != w.newest {
		_ = p.of.holding.take(w.caller, w.newest) // there is room: the caller has it
		p.of.holding.drop(w.caller, w.last)
		w.last = w.newest
	}
	late := !now.Before(p.lateFor(w))
	switch {
	case u != nil:
		w.told = false // and if the state is old, the watcher is told again
		return u, nil
	case late && !w.told:
		w.told = true
		return &Update{Asked: p.latest.asked, Trouble: cmp.Or(p.trouble, overdue(p.operation.GetId()))}, nil
	case !late && w.told:
		w.told = false
		return &Update{Asked: p.latest.asked}, nil
	}
	return nil, nil
}

// lateFor is when the state has become too old for a watcher, who is told then, with the
// lock held. While a poll lasts that has not failed, that is no news for a moment.
func (p *poller) lateFor(w *Watcher) time.Time {
	old := 2 * w.request.Age
	if p.trouble == nil {
		old = max(old, longPoll)
	}
	return p.seen.Add(old)
}

// late is the time until a watcher has to be told that the state is too old: the next poll
// may be much later, or last. Where that is told, it is very long.
func (p *poller) late(w *Watcher, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.told || w.newest == nil {
		return 2 * Oldest
	}
	return p.lateFor(w).Sub(now)
}

// difference leads from what a watcher was sent last to what is newest.
func (p *poller) difference(w *Watcher) *Update {
	if w.last == w.newest {
		return nil
	}
	if w.last == nil || w.request.Whole {
		return entire(w.newest, p.latest.asked)
	}
	if p.shown.from != w.last || p.shown.to != w.newest {
		p.shown.from, p.shown.to = w.last, w.newest
		p.shown.update = difference(w.last, w.newest, p.latest.asked)
	}
	return p.shown.update
}

// count notes the requests that the watchers would have made by themselves, each by its
// own age, against those that were made.
func (p *poller) count(now time.Time, pages, made int) {
	var due []*Watcher
	for w := range p.watchers {
		if age := w.request.Age; !now.Before(w.due.Add(-age / 10)) {
			p.saved += pages
			w.due = now.Add(age)
			due = append(due, w)
		}
	}
	if p.saved -= made; p.saved > 0 {
		p.of.config.Observer.Saved(p.saved)
		p.credit(due, pages, p.saved)
		p.saved = 0
	}
}

// credit says whose requests were saved: the payer's last, who asked for all.
func (p *poller) credit(due []*Watcher, pages, saved int) {
	slices.SortFunc(due, func(a, b *Watcher) int {
		return cmp.Or(cmp.Compare(b.request.Age, a.request.Age), cmp.Compare(b.number, a.number))
	})
	for _, w := range due {
		n := min(pages, saved)
		p.of.config.Broker.SavedByWatch(w.call, n)
		saved -= n
	}
}
