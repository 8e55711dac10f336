package main

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/usage"
)

// usage counts who spends what. Replicas leave what they have counted in the shared
// store, where one is configured.
func (d *daemon) usage(ctx context.Context, c *config.Config) *usage.Usage {
	settings := usage.Config{Callers: c.Usage.Callers, Organizations: c.Usage.Organizations}
	if d.client == nil {
		return usage.New(settings)
	}
	settings.Shared = sharedUsage{d.client("usage", "usage", nil)}
	u := usage.New(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	shared := make(chan struct{})
	go func() {
		defer close(shared)
		u.Share(ctx)
	}()
	d.closing(func() { cancel(); <-shared }) // after the broker, which counts to the end
	return u
}

// sharedUsage is the shared store as usage sees it.
type sharedUsage struct{ *store.Client }

func (s sharedUsage) Write(ctx context.Context, key string, value []byte, life time.Duration) error {
	return s.Client.Set(ctx, key, value, life)
}

func (s sharedUsage) Read(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := s.Client.GetAll(ctx, keys...)
	if err != nil {
		return nil, err
	}
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v.Bytes
	}
	return out, nil
}
