package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// MostWrites is how many writes one list may have.
const MostWrites = 10_000

// mostID bounds the ids of writes and the names of groups, in bytes.
const mostID = 128

// A Dashboard makes calls: charged, ruled and on record. *broker.Broker is the one that
// ships.
type Dashboard interface {
	Do(ctx context.Context, c *broker.Call) (*broker.Answer, error)
	// Placed gives a call with the key that serves its owner, and the owner.
	Placed(ctx context.Context, c *broker.Call) (*broker.Call, string, error)
	// SavedByBatch counts requests that were not needed because of a batch.
	SavedByBatch(c *broker.Call, requests int)
}

// An Observer is told for metrics, from many goroutines at once.
type Observer interface {
	// Batching changes the number of batches under way.
	Batching(change int)
	// Batched: a batch ended, as "done", "failed", "refused", "valid", "unsent", "pending"
	// or "unknown".
	Batched(outcome string, actions int)
	// BatchesSaved counts requests that were not needed.
	BatchesSaved(requests int)
}

// A Config is what Batches are made of. Contract and Dashboard are needed.
type Config struct {
	Contract  *contract.Contract
	Dashboard Dashboard
	// Places is how many of the five batches that an organization may have under way
	// are taken at the most: 3. Others use them, too.
	Places int
	// Longest is how long a batch is followed: 15 min.
	Longest time.Duration
	// Life is how long the outcomes of a named list are kept: 24 h. Kept bounds the
	// writes of all named lists in this process, CallerKept those of one caller: 200,000
	// and 50,000. With Shared these are the lists that are under way; the store bounds
	// the others.
	Life             time.Duration
	Kept, CallerKept int
	// Shared keeps named lists where every replica finds them; nil for this process. The
	// Dashboard's words are kept there only with SharedMessages: they can hold secrets.
	Shared         outcome.Shared
	SharedMessages bool
	// Observer is told for metrics; nil for none.
	Observer Observer
	// Audit is told what became of each write; nil for none.
	Audit *audit.Log
}

// Batches makes lists of writes. It is safe for concurrent use.
type Batches struct {
	config Config
	// post, read, list, confirm and remove are the operations of action batches.
	post, read, list, confirm, remove *apiv1.Operation

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup

	// known guards the lists, and is taken before the lock of a list; mu is taken after it.
	known sync.Mutex
	lists map[listKey]*list

	mu            sync.Mutex
	organizations map[string]*organization
	debt          int // requests that were made for batches beyond those that they saved
}

// New makes Batches.
func New(c Config) (*Batches, error) {
	c.Places, c.Longest = cmp.Or(c.Places, 3), cmp.Or(c.Longest, longestJob)
	c.Life, c.Kept = cmp.Or(c.Life, 24*time.Hour), cmp.Or(c.Kept, 200_000)
	c.CallerKept = cmp.Or(c.CallerKept, max(1, c.Kept/4))
	if c.Places < 1 || c.Places > mostPlaces {
		return nil, fmt.Errorf("batch: %d places of the %d batches that an organization may have under way", c.Places, mostPlaces)
	}
	if c.Contract == nil || c.Dashboard == nil {
		return nil, errors.New("batch: no contract, or no Dashboard to ask")
	}
	if c.Observer == nil {
		c.Observer = noop{}
	}
	b := &Batches{config: c, organizations: make(map[string]*organization), lists: make(map[listKey]*list)}
	for id, op := range map[string]**apiv1.Operation{
		"createOrganizationActionBatch": &b.post, "getOrganizationActionBatch": &b.read, "getOrganizationActionBatches": &b.list,
		"updateOrganizationActionBatch": &b.confirm, "deleteOrganizationActionBatch": &b.remove,
	} {
		if *op = c.Contract.Operation(id).GetOperation(); *op == nil {
			return nil, fmt.Errorf("batch: the contract has no %s", id)
		}
	}
	b.life, b.end = context.WithCancel(context.Background())
	return b, nil
}

// Close sends nothing more, and returns when nothing runs any more. What is under way
// at the Dashboard goes on there.
func (b *Batches) Close() {
	b.mu.Lock()
	b.end()
	b.mu.Unlock()
	b.running.Wait()
}

// runs starts a goroutine, unless everything ends.
func (b *Batches) runs(do func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.life.Err() != nil {
		return false
	}
	b.running.Go(do)
	return true
}

// A Request is a list of writes.
type Request struct {
	// Caller is who calls, by identity, and Name the caller's own name of the list, its
	// idempotency key; empty for none.
	Caller, Name string
	Writes       []Write
	// Held is told that writes of the list wait because an operator holds them, once for
	// each hold; nil for nobody.
	Held func(*fault.Error) error
	// ValidateOnly changes nothing. Answers keeps what the Dashboard answers to writes
	// that go by themselves.
	ValidateOnly, Answers bool
}

// Apply makes the writes of a list, and gives emit what became of them as it becomes
// known: each once. It returns when all are done, when ctx ends, or when lifetime does;
// in these cases emit is told what is not known then. An error of emit ends it, too.
// What has been sent by then is finished. The error is a *fault.Error of a list that is
// wrong, of which nothing was sent, or that of emit.
func (b *Batches) Apply(ctx, lifetime context.Context, r Request, emit func([]Result) error) error {
	if f := check(r); f != nil {
		return f
	}
	l, f := b.open(ctx, lifetime, r)
	if f != nil {
		return f
	}
	return l.follow(ctx, lifetime, r.Held, emit)
}

// check says what is wrong with a list as a whole.
func check(r Request) *fault.Error {
	switch n := len(r.Writes); {
	case n == 0:
		return fault.Bad("writes", "the list has no writes")
	case n > MostWrites:
		return fault.Bad("writes", "the list has %d writes; it takes %d at the most; nothing was sent", n, MostWrites)
	case len(r.Name) > 255:
		return fault.Bad("meraki-idempotency-key", "the idempotency key is longer than 255 characters; nothing was sent")
	}
	ids, groups := make(map[string]int, len(r.Writes)), make(map[string]int)
	for i := range r.Writes {
		w := &r.Writes[i]
		first, twice := ids[w.ID]
		ids[w.ID] = i
		bad := func(format string, args ...any) *fault.Error {
			f := fault.Bad(fmt.Sprintf("writes[%d]", i), format+"; nothing of the list was sent", args...)
			f.Operation = w.Call.Operation.GetId()
			return f
		}
		switch {
		case w.ID == "" || len(w.ID) > mostID:
			return bad("writes[%d] has an id of %d bytes; it takes 1 to %d", i, len(w.ID), mostID)
		case twice:
			return bad("writes[%d] has the id %q, which writes[%d] has, too", i, w.ID, first)
		case len(w.Group) > mostID:
			return bad("write %q has a group whose name takes %d bytes; it takes %d at the most", w.ID, len(w.Group), mostID)
		case w.Group == "":
			continue
		}
		if groups[w.Group]++; groups[w.Group] > mostActions {
			return bad("group %q has more than %d writes, which no action batch takes", w.Group, mostActions)
		}
		if _, ok := actionOf(w.Call); !ok {
			return bad("write %q is in group %q, and no action batch carries %s, so that it cannot be done together with others", w.ID, w.Group, w.Call.Operation.GetId())
		}
	}
	return nil
}

// lookingUp is how many owners are asked for at once.
const lookingUp = 16

// A placed write is one whose organization and key are known, or that has failed.
type placed struct {
	id, group    string // as the caller named them
	call         *broker.Call
	organization string
	err          error
}

// place finds out whose the writes are, and whether their caller may make them.
func (b *Batches) place(ctx context.Context, r Request) ([]placed, *fault.Error) {
	all := make([]placed, len(r.Writes))
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(lookingUp, len(all)) {
		workers.Go(func() {
			for i := range next {
				p, w := &all[i], &r.Writes[i]
				p.id, p.group = w.ID, w.Group
				if p.call, p.organization, p.err = b.config.Dashboard.Placed(ctx, w.Call); p.err != nil {
					p.call = w.Call
				}
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	workers.Wait()
	groups := make(map[string]int)
	for i, p := range all {
		g := r.Writes[i].Group
		if g == "" || p.err != nil {
			continue
		}
		first, ok := groups[g]
		if !ok {
			groups[g], first = i, i
		}
		if of := all[first]; of.organization != p.organization || of.call.Key.Partition() != p.call.Key.Partition() {
			f := fault.Bad(fmt.Sprintf("writes[%d]", i), "writes %q and %q are in group %q, but not in one organization with one API key, so that no batch can carry both; nothing of the list was sent",
				r.Writes[first].ID, r.Writes[i].ID, g)
			f.Operation = p.call.Operation.GetId()
			return nil, f
		}
	}
	return all, nil
}

type noop struct{}

func (noop) Batching(int)        {}
func (noop) Batched(string, int) {}
func (noop) BatchesSaved(int)    {}
