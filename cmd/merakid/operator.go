package main

import (
	"context"
	"errors"
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
func (d *daemon) holds(ctx context.Context, metrics *service.Metrics, log *slog.Logger) *hold.Holds {
	settings := hold.Config{Log: log}
	if d.client != nil {
		settings.Shared = sharedHolds{d.client("hold", "holds", nil)}
	}
	h := hold.New(settings)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan struct{})
	go func() {
		defer close(followed)
		h.Follow(ctx)
	}()
	d.closing(func() { cancel(); <-followed })
	for _, scope := range hold.Scopes {
		metrics.Registry().MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_holds", Help: "Holds that an operator has placed and that last, by scope: the bulk of a caller or of an organization, all writes.",
			ConstLabels: prometheus.Labels{"scope": scope.String()},
		}, func() float64 {
			n := 0
			for _, one := range h.List(time.Now()) {
				if one.Scope == scope {
					n++
				}
			}
			return float64(n)
		}))
	}
	return h
}

// sharedHolds is the shared store as holds see it: one value.
type sharedHolds struct{ client *store.Client }

// holdsKey is where the document stands.
const holdsKey = "all"

func (s sharedHolds) Read(ctx context.Context) ([]byte, error) {
	there, err := s.client.Get(ctx, holdsKey)
	return there.Bytes, err
}

// patience is how long a store that does not answer is asked again for an operator, who
// would have to do it otherwise.
const (
	patience   = 2 * time.Second
	askedAgain = 100 * time.Millisecond
)

func (s sharedHolds) Change(ctx context.Context, change func([]byte) ([]byte, time.Duration, error)) error {
	again := time.NewTicker(askedAgain)
	defer again.Stop()
	for begun := time.Now(); ; {
		err := s.client.Change(ctx, holdsKey, change)
		if !errors.Is(err, store.ErrUnavailable) || time.Since(begun) > patience {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return err
		}
	}
}
