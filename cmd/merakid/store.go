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

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/redis"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/store"
)

// Store is the shared store that several replicas need. Without addresses the
// replica is alone.
type Store struct {
	// Addresses of a Redis or Valkey, as host:port: one; several for a cluster, or
	// for Sentinel together with Master.
	Addresses []string `yaml:"addresses"`
	// Master is the name that Sentinel knows the master by.
	Master string `yaml:"master"`
	// Cluster says that the addresses are nodes of a cluster.
	Cluster bool `yaml:"cluster"`
	// Database to use. Default 0; a cluster has no other.
	Database int    `yaml:"database"`
	Username string `yaml:"username"`
	// PasswordFile holds the password, and is read again when it changes.
	PasswordFile string `yaml:"password_file"`
	// SentinelUsername and SentinelPasswordFile are those of the sentinels, where
	// they ask for a password; read at start.
	SentinelUsername     string `yaml:"sentinel_username"`
	SentinelPasswordFile string `yaml:"sentinel_password_file"`
	// TLS talks to the store, and to sentinels, encrypted.
	TLS bool `yaml:"tls"`
	// CAFile holds the authorities, in PEM, that vouch for the store's certificate.
	// Default: the system's. It is read again when it changes.
	CAFile string `yaml:"ca_file"`
	// Prefix of the keys. Default merakibroker.
	Prefix string `yaml:"prefix"`
	// Replicas is how many there are at the most, those that a roll-out adds with
	// them. Needed with addresses: while the store is gone, each goes on with that
	// part of the rate.
	Replicas int `yaml:"replicas"`
}

// connection is where the store is.
func (s *Store) connection() store.Config {
	return store.Config{Addresses: s.Addresses, Master: s.Master, Cluster: s.Cluster, Database: s.Database}
}

// check says what cannot be, beginning with the key.
func (s *Store) check() error {
	if len(s.Addresses) == 0 {
		for _, key := range []struct {
			name string
			set  bool
		}{
			{"master", s.Master != ""}, {"cluster", s.Cluster}, {"database", s.Database != 0}, {"username", s.Username != ""},
			{"password_file", s.PasswordFile != ""}, {"sentinel_username", s.SentinelUsername != ""},
			{"sentinel_password_file", s.SentinelPasswordFile != ""}, {"tls", s.TLS}, {"ca_file", s.CAFile != ""}, {"replicas", s.Replicas != 0},
		} {
			if key.set {
				return fmt.Errorf("addresses is missing, and %s is set: without addresses this replica shares its budgets with nobody", key.name)
			}
		}
		return nil
	}
	connection := s.connection()
	if err := connection.Check(); err != nil {
		return err
	}
	switch {
	case s.Replicas < 1:
		return fmt.Errorf("replicas is %d: say how many there may be at once, at least 1; while the store is gone each goes on with that part of every budget", s.Replicas)
	case s.CAFile != "" && !s.TLS:
		return errors.New("ca_file is for a store with TLS: set store.tls to true")
	case s.SentinelPasswordFile != "" && s.Master == "":
		return errors.New("sentinel_password_file is for sentinels: set store.master to the name of the server that they look after")
	case s.SentinelUsername != "" && s.SentinelPasswordFile == "":
		return errors.New("sentinel_username needs store.sentinel_password_file")
	case s.Username != "" && s.PasswordFile == "":
		return errors.New("username needs store.password_file")
	}
	return nil
}

// scheduler is the shared store where one is configured, this process otherwise.
func (d *daemon) scheduler(ctx context.Context, c *Config, files *secretfile.Watcher, metrics *service.Metrics, log *slog.Logger) (ratelimit.Scheduler, error) {
	if len(c.Store.Addresses) == 0 {
		return ratelimit.NewLocal(), nil
	}
	connection, err := c.Store.connect(files)
	if err != nil {
		return nil, fmt.Errorf("store.%w", err)
	}
	client, err := store.Connect(ctx, connection)
	if err != nil {
		return nil, fmt.Errorf("store.%w", err)
	}
	budgets, err := redis.New(ctx, redis.Config{Client: client, Prefix: c.Store.Prefix, Replicas: c.Store.Replicas, Logger: log})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: %w", err), client.Close())
	}
	d.closing(func() { _ = budgets.Close() })
	storeGauges(metrics.Registry(), budgets)
	return budgets, nil
}

// connect is where the store is, with what its files hold.
func (s *Store) connect(files *secretfile.Watcher) (c store.Config, err error) {
	c = s.connection()
	if s.PasswordFile != "" {
		if c.Credentials, err = passwordOf(files, "store password", s.Username, s.PasswordFile); err != nil {
			return c, fmt.Errorf("password_file: %w", err)
		}
	}
	if s.SentinelPasswordFile != "" {
		if c.SentinelCredentials, err = passwordOf(files, "sentinel password", s.SentinelUsername, s.SentinelPasswordFile); err != nil {
			return c, fmt.Errorf("sentinel_password_file: %w", err)
		}
	}
	if s.TLS {
		if c.TLS, err = authorities(files, s.CAFile); err != nil {
			return c, fmt.Errorf("ca_file: %w", err)
		}
	}
	return c, nil
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
	var config atomic.Pointer[tls.Config]
	config.Store(&tls.Config{MinVersion: tls.VersionTLS12})
	if file == "" {
		return config.Load, nil
	}
	err := files.Add(secretfile.Group{Name: "authorities of the store", Paths: []string{file}, Load: func(contents [][]byte) error {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(contents[0]) {
			return fmt.Errorf("%s holds no certificate in PEM", file)
		}
		config.Store(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool})
		return nil
	}})
	return config.Load, err
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
