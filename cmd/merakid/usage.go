package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/usage"
)

// usage counts who spends what. Replicas leave what they have counted in the shared
// store, where one is configured.
func (d *daemon) usage(ctx context.Context, c *config.Config, connection store.Config, log *slog.Logger) (*usage.Usage, error) {
	settings := usage.Config{Callers: c.Usage.Callers, Organizations: c.Usage.Organizations}
	if len(c.Store.Addresses) == 0 {
		return usage.New(settings), nil
	}
	connections, err := store.Connect(ctx, connection)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	client := store.New(connections, store.Options{
		Prefix: c.Store.Prefix + ":usage", Timeout: connection.Timeout, Logger: log.With("for", "usage"),
	})
	d.closing(func() { _ = client.Close() })
	settings.Shared = sharedUsage{client}
	u := usage.New(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	shared := make(chan struct{})
	go func() {
		defer close(shared)
		u.Share(ctx)
	}()
	d.closing(func() { cancel(); <-shared }) // after the broker, which counts to the end
	return u, nil
}

// sharedUsage is the shared store as usage sees it.
type sharedUsage struct{ client *store.Client }

func (s sharedUsage) Write(ctx context.Context, key string, value []byte, life time.Duration) error {
	return s.client.Set(ctx, key, value, life)
}

func (s sharedUsage) Read(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := s.client.GetAll(ctx, keys...)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v.Bytes
	}
	return out, nil
}

func (s sharedUsage) Change(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration, error)) error {
	for range mostSwaps {
		there, err := s.client.Get(ctx, key)
		if err != nil {
			return err
		}
		value, life, err := change(there.Bytes)
		if err != nil {
			return err
		}
		if swapped, err := s.client.Swap(ctx, key, there, value, life); swapped || err != nil {
			return err
		}
	}
	return errors.New("other replicas change the list of replicas all the time")
}
