// Package store is the connection to the shared store, which speaks the Redis
// protocol: one server, Sentinel or Cluster; Valkey is the same to it.
//
// Connect opens a pool of connections. The budgets (ratelimit/redis) get one of
// their own and have their own way through an outage. Everybody else (outcomes,
// usage, watches, answers) shares a Client: a few verbs, each bounded in time, which
// fail at once while the store is out of reach.
package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// usualTimeout bounds a round trip. Whatever it is for goes on without the
	// store, so waiting longer is worth nothing.
	usualTimeout = 50 * time.Millisecond
	// dialTimeout bounds a new connection with its handshakes. No caller waits for
	// it longer than for a round trip; the connection is kept for the next one.
	dialTimeout = time.Second
)

// Credentials gives the name (empty for none) and the password for a new
// connection. It is called for each one, so a password may change.
type Credentials func(context.Context) (username, password string, err error)

// Config says where the store is.
type Config struct {
	// Addresses of the server, of the sentinels, or of some nodes of a cluster:
	// host:port. One is a server, several are a cluster.
	Addresses []string
	// Master is the name that the sentinels know the server by. When it is set
	// the addresses are those of sentinels.
	Master string
	// Cluster makes a single address that of a cluster.
	Cluster bool
	// Database to use; a cluster has only 0.
	Database int
	// Credentials for the servers; nil for none.
	Credentials Credentials
	// SentinelCredentials for the sentinels; read once. Nil for none.
	SentinelCredentials Credentials
	// TLS, if the store asks for it. It is called for each new connection, so the
	// authorities may change.
	TLS func() *tls.Config
	// Timeout of a round trip; 0 for 50 ms.
	Timeout time.Duration
}

// Check completes the configuration, or says what is wrong with it.
func (c *Config) Check() error {
	if len(c.Addresses) == 0 {
		return errors.New("addresses are missing: give at least one host:port")
	}
	for _, a := range c.Addresses {
		if err := address(a); err != nil {
			return err
		}
	}
	switch {
	case c.Master != "" && c.Cluster:
		return errors.New("master (Sentinel) and cluster exclude each other")
	case c.Database < 0:
		return fmt.Errorf("database is %d; it is not below 0", c.Database)
	case c.Database > 0 && c.Master == "" && (c.Cluster || len(c.Addresses) > 1):
		return fmt.Errorf("database is %d; a cluster has only database 0", c.Database)
	case c.SentinelCredentials != nil && c.Master == "":
		return errors.New("there is a password for sentinels, and no master to ask them for")
	case c.Timeout < 0:
		return fmt.Errorf("a timeout of %v: give one above 0, or none for %v", c.Timeout, usualTimeout)
	}
	if c.Timeout == 0 {
		c.Timeout = usualTimeout
	}
	return nil
}

// address says what is wrong with an address.
func address(a string) error {
	host, port, err := net.SplitHostPort(a)
	if err != nil {
		return fmt.Errorf("address %q is not host:port", a)
	}
	if n, err := strconv.Atoi(port); host == "" || err != nil || n < 1 || n > 65535 {
		return fmt.Errorf("address %q is not host:port: it needs a host, and a port from 1 to 65535", a)
	}
	return nil
}

// quiet keeps the client's own log, which goes through a global of its
// package to standard error, out of ours: what it says, we say when the store goes
// away, once and not for each connection.
var quiet = sync.OnceFunc(logging.Disable)

// Connect opens a pool of connections. It does not wait for the first one: a store
// that is not there is found out about when it is asked.
func Connect(ctx context.Context, c Config) (goredis.UniversalClient, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	quiet()
	options := &goredis.UniversalOptions{
		Addrs:         c.Addresses,
		MasterName:    c.Master,
		IsClusterMode: c.Cluster,
		DB:            c.Database,
		Dialer:        c.dial,
		// What to do about a failure is decided by who asks, in the one round trip.
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           dialTimeout,
		ReadTimeout:           c.Timeout,
		WriteTimeout:          c.Timeout,
		PoolTimeout:           c.Timeout,
		ContextTimeoutEnabled: true,
		// A connection that is already open when it is wanted.
		MinIdleConns:    1,
		DisableIdentity: true,
		Protocol:        2,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	}
	if c.Credentials != nil {
		options.CredentialsProviderContext = c.Credentials
	}
	if c.SentinelCredentials != nil {
		name, password, err := c.SentinelCredentials(ctx)
		if err != nil {
			return nil, fmt.Errorf("credentials for the sentinels: %w", err)
		}
		options.SentinelUsername, options.SentinelPassword = name, password
	}
	client := goredis.NewUniversalClient(options)
	client.AddHook(plainHook{c.what()})
	return client, nil
}

// dial opens one connection, with TLS where the store asks for it.
func (c *Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	options := &goredis.Options{DialTimeout: dialTimeout}
	if c.TLS != nil {
		options.TLSConfig = c.TLS()
	}
	return goredis.NewDialer(options)(ctx, network, address)
}
