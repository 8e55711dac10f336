package outcome

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
)

// A place is a path that one caller writes to, with the writes without a name whose
// outcomes are known there. All are of one kind; a write of another kind closes them.
type place struct {
	kind    digest
	entries map[*entry]struct{}
}

// place is the digest of what the write changes, for one caller.
func (w *Write) place() digest { return digestOf([]byte(w.Caller), []byte(w.Path)) }

// kind tells which writes at a place leave each other's outcomes alone. Those with
// the same content do. POSTs do, whatever they ask for: each adds something of its
// own, and no client that repeats the first means the second. Any other two writes
// change the same resource: after the later one the earlier one is history.
func (w *Write) kind(content digest) digest {
	if w.Verb == apiv1.Verb_VERB_POST {
		return digestOf([]byte("POST"))
	}
	return content
}

// supersede forgets what a write without a name closes at its place, with the lock
// held. A write that is under way stays until it is done, and nobody joins it any more.
func (k *Keeper) supersede(w *Write, content digest) {
	p := k.places[w.place()]
	if p == nil || p.kind == w.kind(content) {
		return
	}
	for e := range p.entries {
		k.forget(e)
	}
}

// stand notes an entry at its place, with the lock held.
func (k *Keeper) stand(e *entry) {
	at := e.write.place()
	p := k.places[at]
	if p == nil {
		p = &place{kind: e.write.kind(e.content), entries: make(map[*entry]struct{})}
		k.places[at] = p
	}
	p.entries[e] = struct{}{}
}

// withdraw is the other way.
func (k *Keeper) withdraw(e *entry) {
	at := e.write.place()
	p := k.places[at]
	if p == nil {
		return
	}
	if delete(p.entries, e); len(p.entries) == 0 {
		delete(k.places, at)
	}
}

// eraTries bounds how often a replica tries to agree with the others on an era.
const eraTries = 5

// era is what the replicas call the present kind of writes at a place. A write of
// another kind begins a new one, and what was kept under the old one is not found any
// more. It lasts longer than everything that is kept under it.
func (k *Keeper) era(ctx context.Context, w *Write, content digest) (string, error) {
	at, kind := w.place(), w.kind(content)
	key, mine := "place:"+hex.EncodeToString(at[:]), []byte(hex.EncodeToString(kind[:])+" ")
	life := k.life(w) + k.config.Undelivered
	for range eraTries {
		there, err := k.config.Shared.Read(ctx, key)
		if err != nil {
			return "", err
		}
		next := there
		if !bytes.HasPrefix(there, mine) {
			next = append(bytes.Clone(mine), rand.Text()...)
		}
		var agreed bool
		if there == nil {
			there, err = k.config.Shared.Begin(ctx, key, next, life)
			agreed = there == nil
		} else {
			agreed, err = k.config.Shared.Replace(ctx, key, there, next, life)
		}
		if err != nil || agreed {
			return string(next), err
		}
	}
	return "", ErrUnreadable
}
