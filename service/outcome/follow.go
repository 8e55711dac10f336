package outcome

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
)

// deliveryTime is how long an outcome without a name may stand in the store after its
// caller has it.
const deliveryTime = 500 * time.Millisecond

// follow waits for the outcome of a write that another replica makes, or has made.
// Free tells that there is no such write any more.
func (k *Keeper) follow(ctx context.Context, e *entry, key string, text []byte) (answer *broker.Answer, free bool, err error) {
	w := &e.write
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(k.lets, cancel)()
	delivery := w.Name == ""
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var r record
		if json.Unmarshal(text, &r) != nil || r.Content == "" {
			return nil, false, unreadable(w, nil)
		}
		if r.Content != hex.EncodeToString(e.content[:]) {
			return nil, false, reused(w)
		}
		k.followed(e, key, r.Holder)
		switch {
		case r.State != statePending && !delivery:
			answer, err := r.outcome(w)
			return answer, false, err
		case r.State != statePending: // its caller may just be getting it
			delivery, pause = false, deliveryTime
		default:
			delivery = false
			lost, err := k.lost(ctx, w, key, &r, text)
			if lost {
				return nil, false, unknown(w)
			}
			if err != nil && w.Name != "" {
				return nil, false, notFollowed(w, err)
			}
		}
		if err := wait(ctx, pause); err != nil {
			if caller.Err() == nil {
				return nil, false, draining(w)
			}
			return nil, false, underWay(w, err)
		}
		next, err := k.config.Shared.Read(ctx, key)
		switch {
		case errors.Is(err, ErrUnreadable):
			return nil, false, unreadable(w, err)
		case err != nil && w.Name != "":
			return nil, false, notFollowed(w, err)
		case err != nil: // the write is under way, and it may not be made here
		case next == nil:
			return nil, true, nil // it was not executed, or its caller has the outcome
		default:
			text = next
		}
	}
}

// lost tells whether the replica that makes a write has died, and writes that down: the
// outcome is unknown then, and the name never free.
func (k *Keeper) lost(ctx context.Context, w *Write, key string, r *record, text []byte) (bool, error) {
	held, err := k.config.Shared.Held(ctx, r.Holder)
	if err != nil || held {
		return false, err
	}
	// A replica that has just finished has written the record before it stopped to renew
	// its word: then the record is another one by now, and is read again.
	next := *r
	next.State = stateUnknown
	return k.config.Shared.Replace(ctx, key, text, next.text(), k.keptFor(w))
}

// followed notes that the outcome of an entry is another replica's.
func (k *Keeper) followed(e *entry, key, holder string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.sharedKey, e.holder, e.published, e.follows = key, holder, true, true
}

// alone takes that back: the write of the other replica is none any more, and what is
// made from here on is the entry's own.
func (k *Keeper) alone(e *entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.sharedKey, e.holder, e.published, e.follows = "", "", false, false
}

// stands tells whether an outcome without a name that is known here still counts: a
// replica may have delivered it, or made another write that closes it.
func (k *Keeper) stands(ctx context.Context, w *Write, e *entry) bool {
	if k.config.Shared == nil || w.Name != "" {
		return true
	}
	k.mu.Lock()
	known, holder, kept := e.sharedKey, e.holder, e.published && !e.expires.IsZero()
	k.mu.Unlock()
	if known == "" {
		return true // it is not in the store
	}
	key, err := k.sharedKey(ctx, w, e.content)
	if err != nil || key != known {
		return err != nil
	}
	if !kept {
		return true
	}
	text, err := k.config.Shared.Read(ctx, key)
	var r record
	return err != nil || text != nil && json.Unmarshal(text, &r) == nil && r.Holder == holder
}
