package outcome

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// Shared keeps the outcomes of named writes where every replica finds them. A
// record is never dropped before its life ends. An error means that the store
// cannot be reached or takes no more.
type Shared interface {
	// Begin keeps a record under a key that has none, and gives the record that is
	// there otherwise.
	Begin(ctx context.Context, key string, record []byte, life time.Duration) (there []byte, err error)
	// Replace puts a record in place of the one that is there; nil drops it.
	Replace(ctx context.Context, key string, record []byte, life time.Duration) error
	// Read gives the record; nil when there is none.
	Read(ctx context.Context, key string) ([]byte, error)
	// Hold says for a while that a holder is alive; Held asks.
	Hold(ctx context.Context, holder string, life time.Duration) error
	Held(ctx context.Context, holder string) (bool, error)
}

// The states of a record.
const (
	statePending = "pending"
	stateDone    = "done"
	stateFailed  = "failed"
	stateUnknown = "unknown"
)

// A record is an outcome as the store keeps it.
type record struct {
	State   string `json:"state"`
	Content string `json:"content"` // the digest of the write
	Holder  string `json:"holder"`  // who makes it, while it is pending
	// The answer, or the failure.
	Status       int      `json:"status,omitempty"`
	Body         []byte   `json:"body,omitempty"`
	Organization string   `json:"organization,omitempty"`
	RequestID    string   `json:"request_id,omitempty"`
	Kind         uint8    `json:"kind,omitempty"`
	Reason       string   `json:"reason,omitempty"`
	Detail       string   `json:"detail,omitempty"`
	Messages     []string `json:"messages,omitempty"`
}

// How long a replica's word counts that it is alive, and how often it is renewed.
const (
	holdFor    = 15 * time.Second
	renewEvery = 5 * time.Second
)

// make makes the write of an entry: here, or by waiting for the replica that
// makes it already.
func (k *Keeper) make(ctx context.Context, e *entry, how Maker) (answer *broker.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = nil, crashed(&e.write, p)
		}
	}()
	if k.config.Shared == nil || e.write.Name == "" {
		return how(ctx)
	}
	key := hexKey(e)
	// The word that this replica is alive stands before the record: whoever finds
	// the record never finds it without.
	holder := rand.Text()
	if err := k.config.Shared.Hold(ctx, holder, holdFor); err != nil {
		return nil, noStore(&e.write, err)
	}
	there, err := k.config.Shared.Begin(ctx, key, pendingRecord(e, holder), k.config.Life)
	switch {
	case err != nil:
		return nil, noStore(&e.write, err)
	case there != nil:
		return k.follow(ctx, e, key, there, how)
	}
	release := k.hold(ctx, holder)
	defer func() {
		p := recover()
		if p != nil {
			answer, err = nil, crashed(&e.write, p)
		}
		// The caller does not wait until the store has the outcome; Close does.
		k.running.Add(1)
		go func() {
			defer k.running.Done()
			defer release()
			k.publish(ctx, e, key, answer, err)
		}()
	}()
	return how(ctx)
}

func hexKey(e *entry) string { return hex.EncodeToString(e.key[:]) }

func pendingRecord(e *entry, holder string) []byte {
	text, err := json.Marshal(record{State: statePending, Content: hex.EncodeToString(e.content[:]), Holder: holder})
	if err != nil { // texts always marshal
		return nil
	}
	return text
}

// hold renews the word that this replica is alive until release is called.
func (k *Keeper) hold(ctx context.Context, holder string) (release func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(renewEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_ = k.config.Shared.Hold(ctx, holder, holdFor) // the next one may succeed
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// publishTries is how often a replica tries to put an outcome into the store. What
// it cannot put there is unknown to the others, once its word has run out.
const publishTries = 5

// publish puts an outcome into the store, for the other replicas.
func (k *Keeper) publish(ctx context.Context, e *entry, key string, answer *broker.Answer, err error) {
	ctx = context.WithoutCancel(ctx)
	var text []byte
	if !retryable(err) {
		text = k.encode(e, answer, err)
	}
	for i := range publishTries {
		if k.config.Shared.Replace(ctx, key, text, k.config.Life) == nil {
			return
		}
		if wait(ctx, time.Second<<i) != nil {
			return
		}
	}
}

// follow waits for the outcome of a write that another replica makes, or has made.
func (k *Keeper) follow(ctx context.Context, e *entry, key string, text []byte, how Maker) (*broker.Answer, error) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		var r record
		if json.Unmarshal(text, &r) != nil {
			return nil, unknown(&e.write)
		}
		switch {
		case r.Content != hex.EncodeToString(e.content[:]):
			return nil, reused(&e.write)
		case r.State == stateDone, r.State == stateFailed:
			return r.decode(e)
		case r.State == stateUnknown:
			return nil, unknown(&e.write)
		}
		held, err := k.config.Shared.Held(ctx, r.Holder)
		if err != nil {
			return nil, noStore(&e.write, err)
		}
		// The record is read after the word: a replica that has just finished has
		// written the record before it stopped to renew.
		if text, err = k.config.Shared.Read(ctx, key); err != nil {
			return nil, noStore(&e.write, err)
		}
		if text == nil {
			return k.make(ctx, e, how) // the other replica could not execute it
		}
		if !held && json.Unmarshal(text, &r) == nil && r.State == statePending {
			r.State = stateUnknown
			if lost, err := json.Marshal(r); err == nil {
				_ = k.config.Shared.Replace(ctx, key, lost, k.config.Life) // the next one who asks tries again
			}
			return nil, unknown(&e.write)
		}
		if err := wait(ctx, pause); err != nil {
			return nil, underWay(&e.write, err)
		}
	}
}

func (k *Keeper) encode(e *entry, answer *broker.Answer, err error) []byte {
	r := record{State: stateDone, Content: hex.EncodeToString(e.content[:])}
	if f := fault.As(err); f != nil {
		r.State, r.Kind, r.Reason, r.Detail, r.Messages, r.Status, r.RequestID = stateFailed, uint8(f.Kind), f.Reason, f.Detail, f.Messages, f.HTTPStatus, f.RequestID
	} else if answer != nil {
		r.Status, r.Organization, r.RequestID = answer.Status, answer.Organization, answer.RequestID
		if k.config.SharedBodies {
			r.Body = answer.Body
		}
	} else {
		r.State = stateUnknown
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil
	}
	return text
}

func (r *record) decode(e *entry) (*broker.Answer, error) {
	if r.State == stateFailed {
		return nil, &fault.Error{Kind: fault.Kind(r.Kind), Reason: r.Reason, Operation: e.write.Operation, Detail: r.Detail,
			Messages: r.Messages, HTTPStatus: r.Status, RequestID: r.RequestID}
	}
	return &broker.Answer{Status: r.Status, Body: r.Body, Organization: r.Organization, RequestID: r.RequestID, Cache: broker.CacheMiss}, nil
}

// wait waits for d, or until the context ends.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
