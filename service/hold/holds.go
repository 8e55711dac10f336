package hold

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// lookEvery is how often the store is asked for what other replicas have been told.
const lookEvery = 500 * time.Millisecond

// kept is how long the document is kept: longer than any hold lasts, also after a release, so
// that there is none only where the store has lost it.
const kept = longest + time.Minute

// Shared is where all replicas keep the holds, as one document.
type Shared interface {
	// Read gives the document; nil when there is none.
	Read(context.Context) ([]byte, error)
	// Change replaces the document by what change makes of it, which is kept for as long
	// as change says; change is called again when another replica was faster, or when it
	// is not known whether the document was replaced.
	Change(ctx context.Context, change func(old []byte) (document []byte, life time.Duration, err error)) error
}

// A Config is what Holds are made of.
type Config struct {
	// Shared is the store; nil where this replica is alone.
	Shared Shared
	// Log has a line for each hold and its end; slog.Default when nil.
	Log *slog.Logger
}

// Holds are the holds that last. The nil Holds are none.
type Holds struct {
	config Config
	// current is replaced as a whole; nil when there is no hold, which is how it is
	// nearly always.
	current atomic.Pointer[[]Hold]
	mu      sync.Mutex // of those who change current
}

// New makes Holds.
func New(c Config) *Holds {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Holds{config: c}
}

// Find gives the hold that covers a call, the one that ends last where there are several;
// nil for none.
func (h *Holds) Find(now time.Time, c Call) *Hold {
	all := h.all()
	var found *Hold
	for i := range all {
		hold := &all[i]
		if now.Before(hold.End) && hold.covers(c) && (found == nil || found.End.Before(hold.End)) {
			found = hold
		}
	}
	return found
}

// Organizations tells whether the bulk of any organization is held, so that a call's
// owner makes a difference.
func (h *Holds) Organizations(now time.Time) bool {
	return slices.ContainsFunc(h.all(), func(hold Hold) bool {
		return hold.Scope == OrganizationBulk && now.Before(hold.End)
	})
}

// List gives the holds that last, the one that ends first at the head.
func (h *Holds) List(now time.Time) []Hold { return lasting(h.all(), now) }

func (h *Holds) all() []Hold {
	if h == nil {
		return nil
	}
	if all := h.current.Load(); all != nil {
		return *all
	}
	return nil
}

// Place begins a hold that lasts for a time from now on. The error is a *fault.Error.
func (h *Holds) Place(ctx context.Context, now time.Time, hold Hold, lasts time.Duration) (Hold, error) {
	if f := hold.check(lasts); f != nil {
		return Hold{}, f
	}
	hold.Start, hold.End = now, now.Add(lasts)
	err := h.change(ctx, now, func(all []Hold) ([]Hold, error) {
		all = slices.DeleteFunc(all, func(o Hold) bool { return o.same(&hold) })
		if len(all) >= mostHolds {
			return nil, &fault.Error{Kind: fault.BudgetExhausted, Reason: "TOO_MANY_HOLDS",
				Detail: fmt.Sprintf("%d holds last already; release some, or hold more at once", mostHolds)}
		}
		return append(all, hold), nil
	})
	if err != nil {
		return Hold{}, err
	}
	h.config.Log.Warn("an operator holds calls", "held", hold.String(), "until", hold.End.UTC(), "reason", hold.Reason, "operator", hold.Operator)
	return hold, nil
}

// Release ends a hold before its time, and gives it. The error is a *fault.Error.
func (h *Holds) Release(ctx context.Context, now time.Time, s Scope, name, operator string) (Hold, error) {
	if f := checkPlace(s, name); f != nil {
		return Hold{}, f
	}
	released, found := Hold{Scope: s, Name: name}, false
	err := h.change(ctx, now, func(all []Hold) ([]Hold, error) {
		at := slices.IndexFunc(all, func(o Hold) bool { return o.same(&released) })
		if at < 0 && found { // it has been released after all
			return all, nil
		}
		if at < 0 {
			return nil, &fault.Error{Kind: fault.NotFound, Reason: "NOT_HELD",
				Detail: released.String() + " is not held: the hold has ended or was never placed"}
		}
		released, found = all[at], true
		return slices.Delete(all, at, at+1), nil
	})
	if err != nil {
		return Hold{}, err
	}
	h.config.Log.Warn("an operator releases calls", "held", released.String(), "reason", released.Reason, "operator", operator)
	released.End = now
	return released, nil
}

// change makes new holds of those that last, in the store where there is one.
func (h *Holds) change(ctx context.Context, now time.Time, change func([]Hold) ([]Hold, error)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.config.Shared == nil {
		all, err := change(lasting(h.all(), now))
		if err == nil {
			h.put(all)
		}
		return err
	}
	var all []Hold
	var refused error
	err := h.config.Shared.Change(ctx, func(old []byte) ([]byte, time.Duration, error) {
		before, err := read(old)
		if err != nil {
			return nil, 0, err
		}
		if len(old) == 0 {
			before = h.all() // the store has lost them, where there are any
		}
		if all, refused = change(lasting(before, now)); refused != nil {
			return nil, 0, refused
		}
		document, err := json.Marshal(all)
		return document, kept, err
	})
	switch {
	case refused != nil:
		return refused
	case err != nil:
		return &fault.Error{Kind: fault.Unreachable, Reason: "HOLD_STORE_UNAVAILABLE", Cause: err, RetryAfter: time.Second,
			Detail: "the shared store cannot be changed, so that the other replicas would not obey; try again, or look at the store"}
	}
	h.put(all)
	return nil
}

// put makes holds the current ones, in the order of their ends.
func (h *Holds) put(all []Hold) {
	if len(all) == 0 {
		h.current.Store(nil)
		return
	}
	slices.SortStableFunc(all, func(a, b Hold) int { return cmp.Or(a.End.Compare(b.End), cmp.Compare(a.Name, b.Name)) })
	h.current.Store(&all)
}

// Follow takes over what other replicas have been told, until ctx ends. While the store
// is out of reach, what was known last holds until its end.
func (h *Holds) Follow(ctx context.Context) {
	if h.config.Shared == nil {
		return
	}
	unreadable := false
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		err := h.look(ctx)
		if bad := errors.Is(err, errUnreadable); bad != unreadable {
			unreadable = bad
			if bad {
				h.config.Log.Error("the holds in the shared store cannot be read; what was known before holds until its end", "error", err)
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (h *Holds) look(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	document, err := h.config.Shared.Read(ctx)
	if err != nil {
		return err
	}
	all, err := read(document)
	if err != nil {
		return err
	}
	now := time.Now()
	if known := lasting(h.all(), now); len(document) == 0 && len(known) > 0 {
		return h.putBack(ctx, now, known)
	}
	h.put(lasting(all, now))
	return nil
}

// putBack puts holds into a store that has come back without them: that is not the end of
// what an operator has stopped. After a release there is a document without them.
func (h *Holds) putBack(ctx context.Context, now time.Time, known []Hold) error {
	var all []Hold
	err := h.config.Shared.Change(ctx, func(old []byte) ([]byte, time.Duration, error) {
		all = known
		if len(old) > 0 { // another replica was faster
			var err error
			if all, err = read(old); err != nil {
				return nil, 0, err
			}
		}
		document, err := json.Marshal(all)
		return document, kept, err
	})
	if err != nil {
		return err
	}
	h.config.Log.Warn("the shared store has lost the holds that last; they are put back", "holds", len(all))
	h.put(lasting(all, now))
	return nil
}

var errUnreadable = errors.New("the document of the holds cannot be read")

// read takes the document apart; a hold of a scope that this replica does not know holds
// nothing here.
func read(document []byte) ([]Hold, error) {
	if len(document) == 0 {
		return nil, nil
	}
	var all []Hold
	if err := json.Unmarshal(document, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return all, nil
}

// lasting gives those that have not ended.
func lasting(all []Hold, now time.Time) []Hold {
	var out []Hold
	for _, h := range all {
		if now.Before(h.End) {
			out = append(out, h)
		}
	}
	return out
}
