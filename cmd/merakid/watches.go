package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/watch"
)

// watches are what is watched here. Replicas with a shared store poll together. The
// server closes them.
func (d *daemon) watches(ctx context.Context, c *config.Config, connection store.Config, b *broker.Broker, metrics *service.Metrics, log *slog.Logger) (*watch.Watches, error) {
	settings := watch.Config{Broker: b, Observer: metrics}
	if len(c.Store.Addresses) > 0 {
		connections, err := store.Connect(ctx, connection)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		client := store.New(connections, store.Options{ // without keys: what is left there is sealed by the watches
			Prefix: c.Store.Prefix + ":watch", Timeout: connection.Timeout, Logger: log.With("for", "watches"),
		})
		d.closing(func() { _ = client.Close() })
		settings.Shared = sharedWatches{client}
	}
	return watch.New(settings)
}

// sharedWatches is the shared store as watches see it.
type sharedWatches struct{ *store.Client }

func (s sharedWatches) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Client.Get(ctx, key)
	return value.Bytes, err
}
