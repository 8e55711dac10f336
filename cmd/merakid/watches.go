package main

import (
	"context"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/watch"
)

// watches are what is watched here. Replicas with a shared store poll together. The
// server closes them.
func (d *daemon) watches(b *broker.Broker, metrics *service.Metrics) (*watch.Watches, error) {
	settings := watch.Config{Broker: b, Observer: metrics}
	if d.client != nil {
		settings.Shared = sharedWatches{d.client("watch", "watches", nil)} // without keys: the watches seal what they leave there
	}
	return watch.New(settings)
}

// sharedWatches is the shared store as watches see it.
type sharedWatches struct{ *store.Client }

func (s sharedWatches) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := s.Client.Get(ctx, key)
	return value.Bytes, err
}
