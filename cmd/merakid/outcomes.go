package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/store"
)

// keeper keeps the outcomes of writes: in the shared store where one is configured, which
// it gives, too; in this process otherwise.
func (d *daemon) keeper(c *config.Config, keys func() *store.Keys) (*outcome.Keeper, outcome.Shared) {
	settings := outcome.Config{Life: time.Duration(c.Outcomes.Life), Grace: time.Duration(c.Outcomes.Grace)}
	if d.client != nil {
		settings.Shared, settings.SharedBodies = sharedOutcomes{d.client("outcome", "outcomes of writes", keys)}, keys != nil
	}
	k := outcome.New(settings)
	d.closing(k.Close) // after the broker, which ends what is under way
	return k, settings.Shared
}

// sealingKeys reads the keys that encrypt what is kept in the store, and again when
// their file changes; nil without one.
func sealingKeys(files *secretfile.Watcher, file string) (func() *store.Keys, error) {
	if file == "" {
		return nil, nil
	}
	var current atomic.Pointer[store.Keys]
	err := files.Add(secretfile.Group{Name: "keys of the store", Paths: []string{file}, Load: func(contents [][]byte) error {
		keys, err := store.ParseKeys(contents[0])
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		current.Store(keys)
		return nil
	}})
	return current.Load, err
}

// sharedOutcomes is the shared store as outcomes see it.
type sharedOutcomes struct{ client *store.Client }

func (s sharedOutcomes) Begin(ctx context.Context, key string, record []byte, life time.Duration) ([]byte, error) {
	set, err := s.client.SetNew(ctx, key, record, life)
	if set || err != nil {
		return nil, outcomeError(err)
	}
	there, err := s.client.Get(ctx, key)
	if err == nil && !there.Exists() {
		err = store.ErrUnavailable // it has gone in between; the next one who asks has more luck
	}
	return there.Bytes, outcomeError(err)
}

func (s sharedOutcomes) Replace(ctx context.Context, key string, old, record []byte, life time.Duration) (bool, error) {
	there, err := s.still(ctx, key, old)
	if !there.Exists() {
		return false, err
	}
	swapped, err := s.client.Swap(ctx, key, there, record, life)
	return swapped, outcomeError(err)
}

// still is the record under a key, if it is an old one still.
func (s sharedOutcomes) still(ctx context.Context, key string, old []byte) (store.Value, error) {
	there, err := s.client.Get(ctx, key)
	if err != nil || string(there.Bytes) != string(old) {
		return store.Value{}, outcomeError(err)
	}
	return there, nil
}

func (s sharedOutcomes) Read(ctx context.Context, key string) ([]byte, error) {
	there, err := s.client.Get(ctx, key)
	return there.Bytes, outcomeError(err)
}

func (s sharedOutcomes) Drop(ctx context.Context, key string, old []byte) (bool, error) {
	there, err := s.still(ctx, key, old)
	if !there.Exists() {
		return false, err
	}
	removed, err := s.client.Remove(ctx, key, there)
	return removed, outcomeError(err)
}

func (s sharedOutcomes) Hold(ctx context.Context, holder string, life time.Duration) error {
	return outcomeError(s.client.Set(ctx, "alive:"+holder, []byte("1"), life))
}

func (s sharedOutcomes) Renew(ctx context.Context, holder string, life time.Duration) error {
	return outcomeError(s.client.Extend(ctx, "alive:"+holder, life))
}

func (s sharedOutcomes) Held(ctx context.Context, holder string) (bool, error) {
	word, err := s.client.Get(ctx, "alive:"+holder)
	if errors.Is(err, store.ErrUnreadable) {
		return true, nil // of a replica with other keys
	}
	return word.Exists(), outcomeError(err)
}

// outcomeError is an error of the store's as outcomes know it.
func outcomeError(err error) error {
	for theirs, ours := range map[error]error{
		store.ErrFull: outcome.ErrFull, store.ErrTooLarge: outcome.ErrTooLarge, store.ErrUnreadable: outcome.ErrUnreadable,
	} {
		if errors.Is(err, theirs) {
			return fmt.Errorf("%w: %w", ours, err)
		}
	}
	return err
}
