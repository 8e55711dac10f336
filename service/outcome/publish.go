package outcome

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
)

// publish puts an outcome into the store, for the other replicas. Of a write that may
// simply be made again, or whose outcome its caller has already, nothing is kept.
func (k *Keeper) publish(e *entry, answer *broker.Answer, err error) {
	next := k.recordOf(e, e.holder, answer, err)
	end := time.Now().Add(k.tellFor(&e.write))
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, publishPause) {
		k.mu.Lock()
		nothing := retryable(err) || e.delivered
		k.mu.Unlock()
		var put bool
		if nothing {
			put = k.dropEntry(e)
		} else {
			put = k.put(e, &next)
		}
		if put && k.published(e, nothing) {
			return
		}
		if last := !put && k.closing.Err() != nil; last || time.Now().After(end) {
			return
		}
		_ = wait(k.closing, pause) // once more, when the replica stops
	}
}

// published notes that the store has the outcome, or that nothing is kept of it. It is
// false where the caller has got the outcome meanwhile.
func (k *Keeper) published(e *entry, nothing bool) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e.published = nothing || !e.delivered
	return e.published
}

// put writes the outcome in place of what this replica has there, or another one has
// made of it. What is another write's by now is left alone.
func (k *Keeper) put(e *entry, next *record) bool {
	ctx := context.Background() // the store answers in time, or not at all
	there, err := k.config.Shared.Read(ctx, e.sharedKey)
	if err != nil {
		return errors.Is(err, ErrUnreadable) // as long as it lives
	}
	var r record
	switch {
	case there == nil && e.write.Name == "" && !e.unheard:
		return true // another replica has delivered it; or the store has lost it, and its era, without which nobody would find it
	case there != nil && (json.Unmarshal(there, &r) != nil || r.Holder != e.holder):
		return true
	}
	e.unheard = false // from here on it is as with any other
	keep := func(next record) (bool, error) {
		if there == nil { // the store has lost it
			now, err := k.config.Shared.Begin(ctx, e.sharedKey, next.text(), k.keptFor(&e.write))
			return err == nil && now == nil, err
		}
		return k.config.Shared.Replace(ctx, e.sharedKey, there, next.text(), k.keptFor(&e.write))
	}
	done, err := keep(*next)
	if errors.Is(err, ErrTooLarge) {
		next.Body, next.Messages = nil, nil
		done, err = keep(*next)
	}
	return err == nil && done
}

// forgetEverywhere has the other replicas forget an outcome that its caller has, with the
// lock held.
func (k *Keeper) forgetEverywhere(e *entry) {
	if e.delivered {
		return
	}
	e.delivered = true
	if !e.published || k.closing.Err() != nil {
		return // publish sees to it, where there is anything
	}
	k.later(func() {
		for end := time.Now().Add(k.config.Undelivered); time.Now().Before(end); {
			if k.dropEntry(e) || wait(k.closing, publishPause) != nil {
				return
			}
		}
	})
}
