package outcome

import (
	"context"
	"errors"
	"time"
)

// Shared keeps the outcomes of writes where every replica finds them. A record is
// never dropped before its life ends.
type Shared interface {
	// Begin keeps a record under a key that has none, and gives the record that is
	// there otherwise.
	Begin(ctx context.Context, key string, record []byte, life time.Duration) (there []byte, err error)
	// Replace puts a record in place of another one, if that is still there, and says
	// whether it was. It does so also where there is no room for new records.
	Replace(ctx context.Context, key string, old, record []byte, life time.Duration) (replaced bool, err error)
	// Read gives the record; nil when there is none.
	Read(ctx context.Context, key string) ([]byte, error)
	// Drop removes a record, if that is still there, and says whether it was.
	Drop(ctx context.Context, key string, old []byte) (dropped bool, err error)
	// Hold says for a while that a holder is alive, Renew that it still is. Held asks.
	Hold(ctx context.Context, holder string, life time.Duration) error
	Renew(ctx context.Context, holder string, life time.Duration) error
	Held(ctx context.Context, holder string) (bool, error)
}

// What a Shared says beside that it cannot be reached.
var (
	// ErrFull: there is no room; nothing was kept.
	ErrFull = errors.New("there is no room for more outcomes")
	// ErrTooLarge: the record is larger than the store takes; nothing was kept.
	ErrTooLarge = errors.New("the outcome is too large")
	// ErrUnreadable: there is a record, and it cannot be read.
	ErrUnreadable = errors.New("the outcome cannot be read")
)

// How long a replica's word counts that it is alive, and how often it is renewed.
const (
	holdFor    = 15 * time.Second
	renewEvery = 5 * time.Second
)

const (
	// publishFor is how long a replica tries to put an outcome into the store, and namedFor
	// how long that of a named write, or to take its claim back: longer than outages last.
	// What it cannot put there is unknown to the others.
	publishFor, namedFor = time.Minute, time.Hour
	// publishPause is the longest time between two tries.
	publishPause = 2 * time.Second
	// finishing is how long a write may go on after its finish: an attempt that was
	// sent is not cut off.
	finishing = 5 * time.Minute
)

// life is how long the record of a write is kept that is not done: longer than it takes.
func (k *Keeper) life(w *Write) time.Duration {
	life := 2 * finishing
	if !w.Finish.IsZero() {
		life = max(0, time.Until(w.Finish)) + finishing
	}
	if w.Name != "" {
		life = max(life, k.config.Life)
	}
	return life
}

// keptFor is how long the outcome of a write is kept.
func (k *Keeper) keptFor(w *Write) time.Duration {
	if w.Name != "" {
		return k.config.Life
	}
	return k.config.Undelivered
}

// tellFor is how long a replica tries to tell the store what became of a write.
func (k *Keeper) tellFor(w *Write) time.Duration {
	if w.Name != "" {
		return namedFor
	}
	return publishFor
}

// later does something that nobody waits for but Close.
func (k *Keeper) later(do func()) {
	k.behind.Add(1)
	go func() {
		defer k.behind.Done()
		do()
	}()
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
