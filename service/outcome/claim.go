package outcome

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
)

// make makes the write of an entry: here, or by waiting for the replica that makes it
// already.
func (k *Keeper) make(ctx context.Context, e *entry, how Maker) (answer *broker.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, crashed(&e.write, p)
		}
	}()
	if k.config.Shared == nil {
		return how(ctx)
	}
	named := e.write.Name != ""
	key, err := k.sharedKey(ctx, &e.write, e.content)
	if err != nil {
		return how(ctx) // without a name: alone, until the store is back
	}
	for {
		holder := rand.Text()
		there, unheard, err := k.claim(ctx, e, key, holder)
		switch {
		case err == nil && there != nil:
		case err == nil, unheard && !named: // it may stand there: who repeats the write finds it then
			k.claimed(e, key, holder, unheard)
			return k.makeHeld(ctx, e, how)
		case named:
			if unheard {
				k.later(func() { k.retract(key, holder) })
			}
			return nil, noStore(&e.write, err)
		default:
			return how(ctx)
		}
		answer, free, err := k.follow(ctx, e, key, there)
		if !free {
			return answer, err
		}
		k.alone(e)
	}
}

// sharedKey is where the store keeps a write. Without a name it is kept by what it asks
// for, and for as long as no write closes it.
func (k *Keeper) sharedKey(ctx context.Context, w *Write, content digest) (string, error) {
	key := w.key(content)
	if w.Name != "" {
		return "name:" + hex.EncodeToString(key[:]), nil
	}
	era, err := k.era(ctx, w, content)
	if err != nil {
		return "", err
	}
	key = digestOf(key[:], []byte(era))
	return "write:" + hex.EncodeToString(key[:]), nil
}

// claim begins the record of a write, or gives the one that is there. The word that
// this replica is alive stands before the record: nobody finds the record without.
// With unheard an error does not say whether the record was made.
func (k *Keeper) claim(ctx context.Context, e *entry, key, holder string) (there []byte, unheard bool, err error) {
	there, err = k.config.Shared.Read(ctx, key)
	if there != nil || err != nil {
		return there, false, err
	}
	if err := k.config.Shared.Hold(ctx, holder, holdFor); err != nil {
		return nil, false, err
	}
	there, err = k.config.Shared.Begin(ctx, key, e.pending(holder), k.life(&e.write))
	return there, err != nil && !errors.Is(err, ErrFull), err
}

// pending is the record of a write that a holder makes.
func (e *entry) pending(holder string) []byte {
	return record{State: statePending, Content: hex.EncodeToString(e.content[:]), Holder: holder}.text()
}

// claimed notes where the store keeps an entry, or may do so, and by whose word.
func (k *Keeper) claimed(e *entry, key, holder string, unheard bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.sharedKey, e.holder, e.unheard = key, holder, unheard
	if unheard {
		e.late = time.Now().Add(holdFor)
	}
}

// makeHeld makes a write that this replica has claimed.
func (k *Keeper) makeHeld(ctx context.Context, e *entry, how Maker) (answer *broker.Answer, err error) {
	release := k.hold(e)
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, crashed(&e.write, p)
		}
		if retryable(err) && e.revoked.Load() {
			err = noStore(&e.write, err)
		}
		// The caller does not wait until the store has the outcome; Close does.
		k.later(func() {
			defer release()
			k.publish(e, answer, err)
		})
	}()
	return how(ctx)
}

// hold renews the word that this replica is alive until release is called. It needs no
// room in the store for that.
func (k *Keeper) hold(e *entry) (release func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				k.renew(ctx, e)
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// renew says that this replica is still alive. Where the store has its word no more, it is
// given anew, and so is a claim of a name; when another replica has taken the outcome for
// unknown meanwhile, or has begun a write of its own, nothing is sent here that has not
// been. Where an error is said, the next one may succeed.
func (k *Keeper) renew(ctx context.Context, e *entry) {
	if k.config.Shared.Renew(ctx, e.holder, holdFor) != nil {
		return
	}
	if held, err := k.config.Shared.Held(ctx, e.holder); err != nil || held || k.config.Shared.Hold(ctx, e.holder, holdFor) != nil {
		return
	}
	select {
	case <-e.done: // there is nothing to be claimed any more
		return
	default:
	}
	read := k.config.Shared.Read
	if e.write.Name != "" {
		read = func(ctx context.Context, key string) ([]byte, error) {
			return k.config.Shared.Begin(ctx, key, e.pending(e.holder), k.life(&e.write))
		}
	}
	there, err := read(ctx, e.sharedKey)
	var r record
	if err != nil || there == nil || json.Unmarshal(there, &r) == nil && r.Holder == e.holder && r.State != stateUnknown {
		return
	}
	e.revoked.Store(true)
	e.cancel() // what has been sent is finished
}

// retract removes the record of a claim of which nobody knows whether it was made:
// nothing was sent, and the others need not take the outcome for unknown. The claim
// may still be on its way, so it is looked for as long as its word counts.
func (k *Keeper) retract(key, holder string) {
	begun := time.Now()
	for {
		switch became := k.drop(key, holder); {
		case became == dropped, became == notThere && time.Since(begun) >= holdFor, time.Since(begun) >= namedFor:
			return
		}
		if wait(k.closing, publishPause) != nil {
			return
		}
	}
}

// What became of a drop.
const (
	dropped = iota
	notThere
	notKnown
)

// drop removes a record that is a holder's.
func (k *Keeper) drop(key, holder string) int {
	ctx := context.Background() // Close bounds it: the store answers in time, or not at all
	text, err := k.config.Shared.Read(ctx, key)
	var r record
	switch {
	case err != nil:
		return notKnown
	case text == nil || json.Unmarshal(text, &r) != nil || r.Holder != holder:
		return notThere
	}
	// In between it may have become another one, even that of a new write.
	if done, err := k.config.Shared.Drop(ctx, key, text); err != nil || !done {
		return notKnown
	}
	return dropped
}

// dropEntry removes the record of an entry, and tells whether there is none for good: its
// claim may still be on its way.
func (k *Keeper) dropEntry(e *entry) bool {
	return k.drop(e.sharedKey, e.holder) != notKnown && !time.Now().Before(e.late)
}
