package batch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// A head is what stands in the store under the name of a list.
type head struct {
	Content string `json:"content"` // the digest of what the list asks for
	List    string `json:"list"`    // the list's id
}

const (
	// firstAsk and mostAsk bound the waits of a replica for a list that another one makes.
	firstAsk, mostAsk = 100 * time.Millisecond, time.Second
	// longer is how much longer entries are kept than the head that leads to them.
	longer = time.Hour
	// leastKept is how long both are kept at the least, however short the life of outcomes: a
	// list may be under way for hours, and its name is not free meanwhile.
	leastKept = 24 * time.Hour
)

// openShared makes a list this replica's, with what the store has of it. While another
// replica makes it, it waits for that one to end.
func (b *Batches) openShared(ctx, lifetime context.Context, r Request, l *list) (*list, *fault.Error) {
	j, f := b.journal(ctx, r, l)
	if f != nil {
		return nil, f
	}
	p := past{writes: len(r.Writes), open: make(map[int]fact)}
	for pause := firstAsk; ; pause = min(2*pause, mostAsk) {
		if other, f := b.kept(r, l.content); other != nil || f != nil {
			return other, f
		}
		free, err := j.read(ctx, &p)
		mine := false
		if err == nil && free {
			mine, err = j.begin(ctx)
		}
		if mine {
			break
		}
		if err != nil && ctx.Err() == nil {
			return nil, noStore(err)
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, elsewhere(ctx.Err())
		case <-lifetime.Done():
			return nil, fault.Stopping("")
		case <-b.life.Done():
			return nil, fault.Stopping("")
		}
		t.Stop()
	}
	l.id, l.journal = j.id, j
	l.recall(r.Writes, &p)
	f = b.enter(r, l)
	if f != nil {
		j.add(b.life, entry{Ends: true})
		return nil, f
	}
	return l, nil
}

// enter takes a list that is this replica's among those that it makes, with one reader.
func (b *Batches) enter(r Request, l *list) *fault.Error {
	b.known.Lock()
	defer b.known.Unlock()
	if f := b.room(r); f != nil {
		return f
	}
	if _, f := l.joined(l.content); f != nil {
		return f
	}
	if !b.runs(l.write) {
		return fault.Stopping("")
	}
	b.lists[l.key] = l
	return nil
}

// journal gives the journal of the list of a name, which is new where there is none.
func (b *Batches) journal(ctx context.Context, r Request, l *list) (*journal, *fault.Error) {
	content := hex.EncodeToString(l.content[:])
	h := head{Content: content, List: l.id}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Internal, Cause: err}
	}
	life := max(b.config.Life, leastKept)
	there, err := b.config.Shared.Begin(ctx, "list:"+digest(r.Caller, r.Name), text, life)
	if err == nil && there != nil {
		if json.Unmarshal(there, &h) != nil || h.List == "" {
			err = outcome.ErrUnreadable
		}
	}
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fault.Ended("", ctx.Err(), "asking the store for the list")
	case err != nil:
		return nil, noStore(err)
	case h.Content != content:
		return nil, reused()
	}
	return &journal{
		shared: b.config.Shared, id: h.List, runner: rand.Text(), life: life + longer,
		messages: b.config.SharedMessages, wake: make(chan struct{}, 1),
	}, nil
}

// digest names texts in the store.
func digest(texts ...string) string {
	h := sha256.New()
	putAll(h, texts...)
	return hex.EncodeToString(h.Sum(nil))
}

// recall makes the plan of a list of which the store has a past. What was under way is
// followed when the list is read; a write that went by itself, and whose outcome nobody
// has seen, goes again where that does no harm.
func (l *list) recall(writes []Write, p *past) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := make(map[int]string)
	for _, f := range p.open {
		for _, i := range f.Members {
			sent[i] = f.Organization
		}
	}
	for _, k := range p.results {
		if _, ok := sent[k.Index]; !ok && !l.known[k.Index] { // what is not over is told by itself
			l.put(k.result(writes[k.Index].Call.Path)) // who has found it out has told the audit
		}
	}
	l.journal.kept, l.flights = len(l.results), p.flights
	l.prepare(writes, sent)
	items := make(map[int]int, len(l.index))
	for m, i := range l.index {
		items[i] = m
	}
	waiting := l.plan.waiting()
	for _, number := range slices.Sorted(maps.Keys(p.open)) {
		was := p.open[number]
		var units []*unit
		for _, i := range was.Members {
			m, ok := items[i]
			if u := waiting[m]; ok && u != nil && !slices.Contains(units, u) {
				units = append(units, u)
			}
		}
		if len(units) == 0 { // it is no entry of ours: all that was sent may go
			l.note(fact{Flight: number, Over: true})
			continue
		}
		if !was.Alone {
			l.reopens(was, units)
			continue
		}
		c := l.call(units[0].members[0])
		if c.Operation.GetVerb() != apiv1.Verb_VERB_PUT {
			l.plan.take(units...)
			l.settle(units[0], Result{State: Failed, Err: &fault.Error{
				Kind: fault.OutcomeUnknown, Operation: c.Operation.GetId(),
				Detail: "the replica of the broker that made this write has died before its outcome was kept; it may or may not have been executed: read the state back before doing anything else",
			}}, nil)
		}
		l.note(fact{Flight: number, Over: true})
	}
}

// reopens makes a batch again that another replica has sent, or was about to send.
func (l *list) reopens(was fact, units []*unit) {
	l.plan.take(units...)
	key := pool{was.Organization, units[0].pool.credential}
	f := l.flightOf(l.of.of(was.Organization), key, units, was.Flight)
	f.document.ID, f.open = was.Batch, true
	f.alone = l.validate && len(units) == 1 && !units[0].group
	for _, u := range units {
		delete(l.under, u)
	}
	l.parked = append(l.parked, f)
}

// template is a call with the terms of items: of one whose key is known.
func (l *list) template(members []int) *broker.Call {
	for _, m := range members {
		if c := l.call(m); !c.Key.Zero() {
			return c
		}
	}
	return l.call(members[0])
}

// resume runs a flight again that was left. It waits for a place: what is under way has
// one of the Dashboard's.
func (f *flight) resume() {
	leave, err := f.organization.take(f.unsent, f.list.key.caller)
	if err != nil {
		f.list.ended(f, pending, nil, fault.Ended("", err, "waiting for a place among the action batches"))
		return
	}
	f.run(leave)
}

// reopen finds out what became of a batch that was sent elsewhere, or not. An empty ending
// says that f.document is it. One that creates something may have been deleted before it
// was confirmed: only when neither the list nor its id has it, it goes again.
func (f *flight) reopen() (ending, []string, error) {
	id := f.document.ID
	if id != "" && f.list.validate {
		return "", nil, nil
	}
	if id == "" || f.creates {
		found, g := f.find()
		switch {
		case g != nil:
			return f.unsure(g)
		case found:
			f.open = false
			return "", nil, nil
		}
	}
	if id != "" {
		var final []fault.Kind
		if f.creates {
			final = append(final, fault.NotFound)
		}
		g := f.ask(f.list.of.read, f.path(id), f.see, final...)
		if g == nil {
			f.open = false
			return "", nil, nil
		}
		if g.Kind != fault.NotFound || !f.creates {
			return f.unsure(g)
		}
	}
	f.document, f.open = document{}, false
	return f.post()
}

// unsure is how a batch ends of which it cannot be found out what became of it: g says
// why. A named list asks on later, where it is only this process that ends.
func (f *flight) unsure(g *fault.Error) (ending, []string, error) {
	if l := f.list; l.lost() || l.journal != nil && (g.Kind == fault.Draining || l.of.life.Err() != nil) {
		f.open = true
		return pending, nil, f.lost(g)
	}
	return unknown, nil, f.lost(g)
}

// mostEqual is how many units a batch has, at the most, that an older batch of the same
// writes may equal by chance: their order is drawn by lot. claimedFor is how long the
// store knows whose such a batch is.
const (
	mostEqual  = 6
	claimedFor = 7 * 24 * time.Hour
)

// claim takes a batch for the writes that it carries; false where other writes have it,
// at any replica. An error says that this cannot be known.
func (f *flight) claim(id string) (bool, error) {
	l := f.list
	owner := fmt.Sprint(l.id, ":", f.number)
	if !f.organization.claim(id, owner) {
		return false, nil
	}
	if l.of.config.Shared == nil || len(f.units) > mostEqual {
		return true, nil
	}
	there, err := l.of.config.Shared.Begin(context.Background(), "batch:"+digest(f.pool.organization, id), []byte(owner), claimedFor)
	return err == nil && (there == nil || string(there) == owner), err
}
