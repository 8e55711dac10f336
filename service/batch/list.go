package batch

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// mostSingles is how many writes of a list go by themselves at once.
const mostSingles = 10

// A list is a list of writes on its way. Its writes go as long as somebody reads what
// becomes of them; what is under way then is finished.
type list struct {
	of *Batches
	// id is the list's own: batches are known by it as this list's.
	id       string
	key      listKey
	began    time.Time
	validate bool
	answers  bool
	content  [sha256.Size]byte

	mu      sync.Mutex
	placed  []placed
	items   []item
	actions []Action
	// index is where the plan's items stand in the list.
	index []int
	plan  *plan
	// journal keeps the list in the store, for another replica to go on; nil where there
	// is none, or the list has no name. flights counts what has been sent.
	journal *journal
	flights int
	// results are in the order in which they became known; known tells which writes
	// have one.
	results []Result
	known   []bool
	// under are the units under way, with the id of their batch where it is known.
	under map[*unit]string
	// asking counts those who wait for a place, by pool, and stalled batches that have none
	// while they are held; singles the writes under way
	// by themselves; refused how often in a row batches of a pool were refused for a
	// reason that is not their actions.
	asking, stalled, refused map[pool]int
	singles                  int
	// parked are batches that are followed no more, and dropped units that could not be
	// sent, until somebody reads the list again.
	parked  []*flight
	dropped map[*unit]error
	// doubted are units of which it is not known whether they are made.
	doubted []*unit
	// held are the refusals of writes that an operator holds, by organization, and heldAt is
	// when the latest one came.
	held    map[string]*fault.Error
	heldAt  map[string]time.Time
	changed chan struct{} // closed at each change

	readers int
	unsent  context.Context // ends when nobody reads: then nothing more is sent
	stop    context.CancelFunc
	// expires is when a named list is forgotten; zero while it is read.
	expires time.Time
}

// A listKey is a caller's name of a list.
type listKey struct{ caller, name string }

// open gives the list that a request is, with one reader more: the one that is kept
// under its name, or a new one.
func (b *Batches) open(ctx, lifetime context.Context, r Request) (*list, *fault.Error) {
	content := contentOf(r)
	if l, f := b.kept(r, content); l != nil || f != nil {
		return l, f
	}
	all, f := b.place(ctx, r)
	if f == nil && ctx.Err() != nil {
		f = fault.Ended("", ctx.Err(), "looking up whose the writes of the list are")
	}
	if f != nil {
		return nil, f
	}
	l := b.newList(r, content, all)
	if r.Name != "" && b.config.Shared != nil {
		return b.openShared(ctx, lifetime, r, l)
	}
	l.prepare(r.Writes, nil)
	b.known.Lock()
	defer b.known.Unlock()
	if r.Name != "" {
		key := listKey{r.Caller, r.Name}
		if other := b.lists[key]; other != nil { // it came meanwhile
			return other.joined(content)
		}
		if f := b.room(r); f != nil {
			return nil, f
		}
		b.lists[key] = l
	}
	return l.joined(content)
}

func (b *Batches) newList(r Request, content [sha256.Size]byte, all []placed) *list {
	return &list{
		of: b, id: rand.Text(), key: listKey{r.Caller, r.Name}, began: time.Now(), validate: r.ValidateOnly, answers: r.Answers, content: content, placed: all,
		known: make([]bool, len(all)), under: make(map[*unit]string), asking: make(map[pool]int), stalled: make(map[pool]int), refused: make(map[pool]int),
		dropped: make(map[*unit]error), held: make(map[string]*fault.Error), heldAt: make(map[string]time.Time), changed: make(chan struct{}),
	}
}

// kept gives the list of that name that this replica has, where it has one.
func (b *Batches) kept(r Request, content [sha256.Size]byte) (*list, *fault.Error) {
	if r.Name == "" {
		return nil, nil
	}
	b.known.Lock()
	defer b.known.Unlock()
	l := b.lists[listKey{r.Caller, r.Name}]
	if l == nil {
		return nil, nil
	}
	return l.joined(content)
}

// joined adds a reader who has sent this content.
func (l *list) joined(content [sha256.Size]byte) (*list, *fault.Error) {
	if l.content != content {
		return nil, reused()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expires = time.Time{}
	if l.readers++; l.unsent == nil || l.unsent.Err() != nil { // the last reader has gone, or is about to
		l.unsent, l.stop = context.WithCancel(l.of.life)
	}
	return l, nil
}

// room forgets named lists whose time is over, and says whether one more can be kept;
// with the lists locked.
func (b *Batches) room(r Request) *fault.Error {
	now := time.Now()
	all, own := len(r.Writes), len(r.Writes)
	for key, l := range b.lists {
		l.mu.Lock()
		over := !l.expires.IsZero() && now.After(l.expires)
		l.mu.Unlock()
		if over {
			delete(b.lists, key)
			continue
		}
		if all += len(l.known); key.caller == r.Caller {
			own += len(l.known)
		}
	}
	if all <= b.config.Kept && own <= b.config.CallerKept {
		return nil
	}
	return &fault.Error{Kind: fault.BudgetExhausted, Reason: "OUTCOMES_FULL", RetryAfter: time.Minute,
		Detail: "too many outcomes of lists of writes are kept already; nothing was sent; come back later, or send the list without an idempotency key"}
}

// contentOf is the digest of what a list asks for.
func contentOf(r Request) (out [sha256.Size]byte) {
	h := sha256.New()
	putAll(h, fmt.Sprint(r.ValidateOnly, r.Answers))
	for i := range r.Writes {
		w := &r.Writes[i]
		putAll(h, w.ID, w.Group, w.Call.Operation.GetId(), w.Call.Path, w.Call.Query, string(w.Call.Body))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// putAll hashes texts so that no two lists of them have the same digest.
func putAll(h hash.Hash, texts ...string) {
	for _, t := range texts {
		_ = binary.Write(h, binary.BigEndian, int64(len(t))) // a hash takes everything
		_, _ = io.WriteString(h, t)
	}
}

// prepare makes the plan. A write whose owner or key could not be found has failed, and
// its group is not tried. Writes whose result is known are no part of the plan. Those of
// sent were under way with another replica, which knew the organization: the value.
func (l *list) prepare(writes []Write, sent map[int]string) {
	broken := make(map[string]string)
	for i := range l.placed {
		p := &l.placed[i]
		if organization, ok := sent[i]; ok && p.err != nil {
			p.call, p.organization, p.err = writes[i].Call, organization, nil
		}
		if g := writes[i].Group; (p.err != nil || l.known[i]) && g != "" && broken[g] == "" {
			broken[g] = writes[i].ID
		}
	}
	groups := make(map[string]int)
	for i, p := range l.placed {
		g := writes[i].Group
		switch {
		case l.known[i]:
			continue
		case p.err != nil:
			l.result(Result{Index: i, State: Failed, Resource: writes[i].Call.Path, Err: p.err}, nil)
			continue
		case broken[g] != "":
			l.result(Result{Index: i, State: NotTried, Resource: p.call.Path, Err: &fault.Error{
				Kind: fault.Conflict, Reason: reasonGroup, Operation: p.call.Operation.GetId(),
				Detail: fmt.Sprintf("write %q of the same group has failed, so that nothing of the group was sent", broken[g]),
			}}, nil)
			continue
		}
		it := item{path: p.call.Path, creates: creates(p.call.Operation), bytes: len(p.call.Body) + len(p.call.Path)}
		action, ok := actionOf(p.call)
		if ok && p.organization != "" {
			it.carried, it.pool = true, pool{p.organization, p.call.Key.Partition()}
		}
		if g != "" {
			if groups[g] == 0 {
				groups[g] = len(groups) + 1
			}
			it.group = groups[g]
		}
		l.items, l.actions, l.index = append(l.items, it), append(l.actions, action), append(l.index, i)
	}
	l.plan = newPlan(l.items)
}

const reasonGroup = "GROUP_NOT_DONE"

// result puts down what became of a write, with the lock held. The answer is the
// Dashboard's to one that went by itself.
func (l *list) result(r Result, answer *broker.Answer) {
	l.put(r)
	l.audit(r, answer)
}

func (l *list) put(r Result) {
	l.results = append(l.results, r)
	l.known[r.Index] = true
}

// audit tells what became of a write, with the lock held.
func (l *list) audit(r Result, answer *broker.Answer) {
	if l.of.config.Audit == nil || l.validate {
		return
	}
	p := l.placed[r.Index]
	e := audit.Entry{
		Began: l.began, Caller: l.key.caller, Face: audit.Batch, Operation: p.call.Operation.GetId(),
		Method: strings.TrimPrefix(p.call.Operation.GetVerb().String(), "VERB_"), Organization: p.organization, Path: p.call.Path,
		Key: l.key.name, Fault: fault.As(r.Err), Pending: r.State == Pending, Write: p.id, Group: p.group, ActionBatch: r.Batch, Redact: p.call.Key.Redact,
	}
	if answer != nil {
		e.Status, e.RequestID, e.Attempts = answer.Status, answer.RequestID, len(answer.Attempts)
	}
	switch f := e.Fault; {
	case r.State == NotTried, f != nil && !e.Pending && r.Batch == "" && f.HTTPStatus == 0 && len(f.Attempts) == 0 && f.Kind != fault.OutcomeUnknown:
		l.of.config.Audit.Refused(e)
	default:
		l.of.config.Audit.Wrote(e)
	}
}

// tell wakes the readers, with the lock held.
func (l *list) tell() {
	close(l.changed)
	l.changed = make(chan struct{})
	l.journal.wakes()
}

// advance begins what may go now, with the lock held.
func (l *list) advance() {
	for l.unsent.Err() == nil {
		began := false
		for l.singles < mostSingles {
			u := l.plan.single()
			if u == nil {
				break
			}
			began = l.single(u) || began
		}
		for _, key := range l.plan.keys {
			if len(l.under) == 0 && l.plan.onlyOne(key) && !l.validate {
				l.plan.batch(key) // nothing will join it: it goes by itself
				began = began || len(l.plan.singles) > 0
			}
			for l.asking[key]+l.stalled[key] < min(l.plan.wants(key), l.of.config.Places) {
				l.asking[key]++
				if !l.of.runs(func() { l.ask(key) }) {
					l.asking[key]--
					break
				}
			}
		}
		if !began || l.singles >= mostSingles {
			return
		}
	}
}

// ask waits for a place, and fills it with what may go then.
func (l *list) ask(key pool) {
	o := l.of.of(key.organization)
	l.mu.Lock()
	unsent := l.unsent
	l.mu.Unlock()
	leave, err := o.take(unsent, l.key.caller)
	l.mu.Lock()
	l.asking[key]--
	var units []*unit
	if err == nil {
		units = l.carried(key, l.plan.batch(key))
	}
	if len(units) == 0 {
		l.advance() // what was alone goes by itself now, or somebody reads again
		l.tell()
		l.mu.Unlock()
		if err == nil {
			leave()
		}
		return
	}
	f := l.flight(o, key, units)
	l.mu.Unlock()
	f.run(leave)
}

// carried gives the units of a batch that one is tried with: all, or where the pool's
// batches are refused whatever is in them, the groups, which have no other way.
func (l *list) carried(key pool, units []*unit) (left []*unit) {
	if l.refused[key] < mostRefusals || l.validate {
		return units
	}
	for _, u := range units {
		if u.group {
			left = append(left, u)
		} else {
			l.plan.itself(u)
		}
	}
	return left
}

// single begins a unit that goes by itself, with the lock held; false where it is
// settled already.
func (l *list) single(u *unit) bool {
	if l.validate {
		it := l.items[u.members[0]]
		if !it.carried {
			l.settle(u, Result{State: NotTried, Err: &fault.Error{
				Kind: fault.NotImplemented, Reason: "NOT_BATCHABLE", Operation: l.call(u.members[0]).Operation.GetId(),
				Detail: "no action batch carries this operation, so that it cannot be checked without making it; nothing was sent",
			}}, nil)
			return true
		}
		l.singles++
		f := l.flight(l.of.of(it.pool.organization), it.pool, []*unit{u})
		f.alone = true
		l.of.runs(func() { f.run(func() {}) })
		return true
	}
	l.singles++
	l.under[u] = ""
	l.flights++
	unsent, number := l.unsent, l.flights
	return l.of.runs(func() { l.alone(unsent, u, number) })
}

// settle puts down what became of the writes of a unit, and takes it out of the plan,
// with the lock held. Where that is not known it may still be made, and what has to come
// after it is not sent until somebody reads the list again, who has been told.
func (l *list) settle(u *unit, r Result, answer *broker.Answer) {
	for _, m := range u.members {
		r.Index = l.index[m]
		if r.Resource == "" || len(u.members) > 1 {
			r.Resource = l.items[m].path
		}
		l.result(r, answer)
	}
	delete(l.under, u)
	if f := fault.As(r.Err); f != nil && f.Kind == fault.OutcomeUnknown {
		l.doubted = append(l.doubted, u)
		return
	}
	l.plan.done(u)
}
