package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/setting"
	"github.com/merakibroker/merakibroker/service/store"
)

// operators are whose tokens let act on the operator's port; nil where it only reads.
func operators(c *config.Config, files *secretfile.Watcher) (*identity.Operators, error) {
	if c.OperatorsFile == "" {
		return nil, nil
	}
	o, err := identity.NewOperators(c.OperatorsFile, files)
	if err != nil {
		return nil, setting.Below("operators_file", err)
	}
	return o, nil
}

// keyStates tells how the configured keys are.
func keyStates(keys *credential.Store) func() []*brokerv1.KeyState {
	return func() []*brokerv1.KeyState {
		var out []*brokerv1.KeyState
		for _, k := range keys.States() {
			out = append(out, &brokerv1.KeyState{Name: k.Name, Rejected: k.Rejected})
		}
		return out
	}
}

// holds are kept in the shared store where one is configured, in this process otherwise.
func (d *daemon) holds(ctx context.Context, c *config.Config, connection store.Config, metrics *service.Metrics, log *slog.Logger) (*hold.Holds, error) {
	settings := hold.Config{Log: log}
	if len(c.Store.Addresses) > 0 {
		connections, err := store.Connect(ctx, connection)
		if err != nil {
			return nil, fmt.Errorf("store: %w", err)
		}
		client := store.New(connections, store.Options{
			Prefix: c.Store.Prefix + ":hold", Timeout: connection.Timeout, Logger: log.With("for", "holds"),
		})
		d.closing(func() { _ = client.Close() })
		settings.Shared = sharedHolds{client}
	}
	h := hold.New(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		h.Follow(ctx)
	}()
	d.closing(func() { cancel(); <-followed })
	metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "merakibroker_holds", Help: "Holds that an operator has placed and that last: bulk of callers or organizations, or all writes.",
	}, func() float64 { return float64(len(h.List(time.Now()))) }))
	return h, nil
}

// sharedHolds is the shared store as holds see it: one value.
type sharedHolds struct{ client *store.Client }

// holdsKey is where the document stands, mostSwaps how often a change is tried when
// other replicas change it, too.
const (
	holdsKey  = "all"
	mostSwaps = 10
)

func (s sharedHolds) Read(ctx context.Context) ([]byte, error) {
	there, err := s.client.Get(ctx, holdsKey)
	return there.Bytes, err
}

func (s sharedHolds) Change(ctx context.Context, change func([]byte) ([]byte, time.Duration, error)) error {
	for range mostSwaps {
		there, err := s.client.Get(ctx, holdsKey)
		if err != nil {
			return err
		}
		document, life, err := change(there.Bytes)
		if err != nil {
			return err
		}
		if swapped, err := s.client.Swap(ctx, holdsKey, there, document, life); swapped || err != nil {
			return err
		}
	}
	return errors.New("other replicas change the holds all the time")
}
