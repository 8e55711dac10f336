package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/redis"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/setting"
	"github.com/merakibroker/merakibroker/service/store"
)

// scheduler is the shared store where one is configured, this process otherwise.
func (d *daemon) scheduler(ctx context.Context, c *config.Config, connection store.Config, metrics *service.Metrics, log *slog.Logger) (ratelimit.Scheduler, error) {
	if len(c.Store.Addresses) == 0 {
		return ratelimit.NewLocal(), nil
	}
	client, err := store.Connect(ctx, connection)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	budgets, err := redis.New(ctx, redis.Config{Client: client, Prefix: c.Store.Prefix, Replicas: c.Store.Replicas, Logger: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), client.Close())
	}
	d.closing(func() { _ = budgets.Close() })
	d.storeAnswers = func(ctx context.Context) error {
		if err := client.Ping(ctx).Err(); err != nil {
			return setting.Wrong("store.addresses", "%s. Until this is mended, each replica goes on with its part of every budget", err)
		}
		if memory, err := client.Info(ctx, "memory").Result(); err == nil && evicts(memory) {
			return setting.Wrong("store.addresses", "the store may evict what it keeps (maxmemory-policy): an outcome of a write that is evicted lets the write be made twice; set maxmemory-policy noeviction")
		}
		return nil
	}
	storeGauges(metrics.Registry(), budgets)
	d.storeState = func() *brokerv1.StoreState {
		s := budgets.Stats()
		return &brokerv1.StoreState{Shared: s.Shared, Replicas: int32(s.Replicas), Outages: int64(s.Outages)}
	}
	return budgets, nil
}

// share opens the connections to the shared store that all but the budgets have
// together. Each room has a Client of its own on them, so that a key which one cannot
// read is not an outage of another.
func (d *daemon) share(ctx context.Context, c *config.Config, connection store.Config, log *slog.Logger) error {
	if len(c.Store.Addresses) == 0 {
		return nil
	}
	connections, err := store.Connect(ctx, connection)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	d.closing(func() { _ = connections.Close() })
	d.client = func(room, what string, keys func() *store.Keys) *store.Client {
		return store.New(connections, store.Options{
			Prefix: c.Store.Prefix + ":" + room, Timeout: connection.Timeout, Keys: keys, Logger: log.With("for", what),
		})
	}
	return nil
}

// evicts tells from a store's word about its memory whether it may remove what has not
// expired.
func evicts(memory string) bool {
	bounded := !strings.Contains(memory, "\nmaxmemory:0\r")
	return bounded && strings.Contains(memory, "\nmaxmemory_policy:") && !strings.Contains(memory, "\nmaxmemory_policy:noeviction\r")
}

// connect is where the store is, with what its files hold.
func connect(s *config.Store, files *secretfile.Watcher) (c store.Config, err error) {
	c = s.Connection()
	var wrong setting.Errors
	if s.PasswordFile != "" {
		c.Credentials, err = passwordOf(files, "store password", s.Username, s.PasswordFile)
		wrong.Add("password_file", err)
	}
	if s.SentinelPasswordFile != "" {
		c.SentinelCredentials, err = passwordOf(files, "sentinel password", s.SentinelUsername, s.SentinelPasswordFile)
		wrong.Add("sentinel_password_file", err)
	}
	if s.TLS {
		c.TLS, err = authorities(files, s.CAFile)
		wrong.Add("ca_file", err)
	}
	return c, wrong.Err()
}

// passwordOf reads a password, and again when its file changes.
func passwordOf(files *secretfile.Watcher, what, username, file string) (store.Credentials, error) {
	var password atomic.Pointer[string]
	err := files.Add(secretfile.Group{Name: what, Paths: []string{file}, Load: func(contents [][]byte) error {
		text := strings.TrimSpace(string(contents[0]))
		password.Store(&text)
		return nil
	}})
	return func(context.Context) (string, string, error) { return username, *password.Load(), nil }, err
}

// authorities reads who vouches for the store, and again when the file changes; with
// no file it is the system.
func authorities(files *secretfile.Watcher, file string) (func() *tls.Config, error) {
	var current atomic.Pointer[tls.Config]
	current.Store(&tls.Config{MinVersion: tls.VersionTLS12})
	if file == "" {
		return current.Load, nil
	}
	err := files.Add(secretfile.Group{Name: "authorities of the store", Paths: []string{file}, Load: func(contents [][]byte) error {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(contents[0]) {
			return errors.New("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
		}
		current.Store(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})
		return nil
	}})
	return current.Load, err
}

// storeGauges show what an operator has to know of the shared store: while it is
// away nothing fails, and a replica has only its part of every budget.
func storeGauges(to prometheus.Registerer, s *redis.Store) {
	to.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_store_shared", Help: "1 while budgets are shared through the store, 0 while this replica goes on alone.",
		}, func() float64 {
			if s.Stats().Shared {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "merakibroker_store_replicas", Help: "Replicas that share the budgets, as last heard.",
		}, func() float64 { return float64(s.Stats().Replicas) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "merakibroker_store_outages_total", Help: "How often this replica has gone on without the store.",
		}, func() float64 { return float64(s.Stats().Outages) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "merakibroker_store_steps_total", Help: "Round trips to the store for a budget.",
		}, func() float64 { return float64(s.Stats().Steps) }),
	)
}
