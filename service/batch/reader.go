package batch

import (
	"context"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// settling is how long a list whose time is over waits for what could not be sent any
// more to come back.
const settling = 250 * time.Millisecond

// over tells whether nothing more becomes known unless somebody comes, with the lock held.
func (l *list) over() bool {
	return len(l.under) == 0 && (l.plan.open == 0 || l.gone() && l.singles == 0 || l.singles == 0 && len(l.plan.singles) == 0 &&
		!slices.ContainsFunc(l.plan.keys, func(k pool) bool { return l.plan.wants(k) > 0 }))
}

// follow reads a list to its end.
func (l *list) follow(ctx, lifetime context.Context, held func(*fault.Error) error, emit func([]Result) error) error {
	defer l.left()
	l.mu.Lock()
	if l.plan.open > 0 {
		l.resume()
		l.advance()
	}
	l.mu.Unlock()
	sent, told := 0, make(map[string]bool)
	for {
		l.mu.Lock()
		shown := l.shown()
		news, over, changed := l.results[sent:shown], l.over() && shown == len(l.results), l.changed
		var why *fault.Error
		if l.gone() {
			why = noStore(nil)
		}
		var holds []*fault.Error
		if held != nil {
			holds = l.holds(told)
		}
		l.mu.Unlock()
		for _, f := range holds {
			if err := held(f); err != nil {
				return err
			}
		}
		if len(news) > 0 {
			if err := emit(news); err != nil {
				return err
			}
			sent += len(news)
			continue
		}
		if over {
			return l.rest(sent, why, emit)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return l.rest(sent, fault.Ended("", ctx.Err(), "waiting for its turn in the list"), emit)
		case <-lifetime.Done():
			return l.rest(sent, fault.Stopping(""), emit)
		case <-l.of.life.Done():
			return l.rest(sent, fault.Stopping(""), emit)
		}
	}
}

// resume takes up again what was left when nobody read, with the lock held.
func (l *list) resume() {
	for u := range l.dropped {
		l.plan.back(u)
	}
	clear(l.dropped)
	for _, f := range l.parked {
		for _, u := range f.units {
			l.under[u] = f.document.ID
		}
		f.unsent = l.unsent
		if f.alone {
			l.singles++
		}
		l.of.runs(f.resume)
	}
	l.parked = nil
}

// left counts one reader less. After the last one nothing more is sent.
func (l *list) left() {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.journal.wakes()
	if l.readers--; l.readers == 0 {
		l.stop()
		l.expires = time.Now().Add(l.of.config.Life)
	}
	l.plan.done(l.doubted...) // this one has been told of them
	l.doubted = nil
	if l.plan.open == 0 { // the results are all that is needed from here on
		l.placed, l.items, l.actions, l.index, l.plan = nil, nil, nil, nil, new(plan)
	}
}

// rest tells a reader of the writes of which nothing final is known: why says what ended
// the waiting; nil where nothing more could become known.
func (l *list) rest(sent int, why *fault.Error, emit func([]Result) error) error {
	if why != nil {
		l.withdraw()
	}
	l.mu.Lock()
	out := slices.Clone(l.results[sent:])
	known := slices.Clone(l.known)
	put := func(u *unit, r Result) {
		for _, m := range u.members {
			if i := l.index[m]; !known[i] {
				known[i] = true
				r.Index, r.Resource = i, l.items[m].path
				r.Err = l.because(m, r.Err)
				out = append(out, r)
			}
		}
	}
	for u, id := range l.under {
		put(u, Result{State: Pending, Batch: id, Err: orFault(why)})
	}
	for _, f := range l.parked {
		for _, u := range f.units {
			put(u, Result{State: Pending, Batch: f.document.ID, Err: f.err})
		}
	}
	for u, err := range l.dropped {
		put(u, Result{State: NotTried, Err: err})
	}
	if why == nil {
		why = &fault.Error{Kind: fault.Conflict, Reason: "WAITS_FOR_ANOTHER", Detail: "it comes after a write of the list that is still pending, was not tried, or whose outcome is not known; nothing was sent"}
	}
	for m, i := range l.index {
		if known[i] {
			continue
		}
		err := why
		if f := l.held[l.placed[i].organization]; f != nil { // for that it has waited
			err = f
		}
		out = append(out, Result{Index: i, State: NotTried, Resource: l.items[m].path, Err: l.because(m, err)})
	}
	l.mu.Unlock()
	slices.SortStableFunc(out, func(a, b Result) int { return a.Index - b.Index })
	if len(out) == 0 {
		return nil
	}
	return emit(out)
}

// withdraw lets nothing more be sent where this reader is the last, and waits a moment
// for what comes back for that.
func (l *list) withdraw() {
	l.mu.Lock()
	if l.readers > 1 {
		l.mu.Unlock()
		return
	}
	l.stop()
	l.mu.Unlock()
	t := time.NewTimer(settling)
	defer t.Stop()
	for {
		l.mu.Lock()
		unsure, changed := false, l.changed
		for _, id := range l.under {
			unsure = unsure || id == ""
		}
		l.mu.Unlock()
		if !unsure {
			return
		}
		select {
		case <-changed:
		case <-t.C:
			return
		}
	}
}

// because is a fault as one of an item's operation.
func (l *list) because(m int, err error) error {
	f := fault.As(err)
	if f == nil {
		return err
	}
	out := *f
	out.Operation = l.placed[l.index[m]].call.Operation.GetId()
	return &out
}

// orFault keeps a nil *fault.Error from becoming an error that is not nil.
func orFault(f *fault.Error) error {
	if f == nil {
		return nil
	}
	return f
}
