package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	// usualTimeout bounds a step. A slot is due to the millisecond, and going on
	// alone is no disaster, so waiting longer is worth nothing.
	usualTimeout = 50 * time.Millisecond
	// usualPrefix begins every key.
	usualPrefix = "merakibroker"
	// dialTimeout bounds a new connection with its handshakes. No caller waits for
	// it longer than for a step; the connection is kept for the next one.
	dialTimeout = time.Second
)

// Credentials gives the name (empty for none) and the password for a new
// connection. It is called for each one, so a password may change.
type Credentials func(context.Context) (username, password string, err error)

// Config says where the store is and who shares it.
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
	// TLS, if the store asks for it.
	TLS *tls.Config
	// Prefix begins every key; empty for "merakibroker". Replicas with one prefix
	// share their budgets.
	Prefix string
	// Replicas is how many there may be at once: the most that an autoscaler may
	// start, with those that a roll-out adds. The parts of the budgets are
	// reckoned by it while the store is away and it is not known how many there
	// are.
	Replicas int
	// Timeout of a step; 0 for 50 ms.
	Timeout time.Duration
	// Logger hears when the store goes away and when it is back; nil for none.
	Logger *slog.Logger

	// clock, in tests, stands for the store's.
	clock func() time.Time
	// hook, in tests, sees every command.
	hook goredis.Hook
}

// check completes the configuration, or says what is wrong with it.
func (c *Config) check() error {
	if len(c.Addresses) == 0 {
		return errors.New("the store has no address: give at least one host:port")
	}
	if c.Replicas < 1 {
		return fmt.Errorf("%d replicas: give the largest number that may run at once, at least 1", c.Replicas)
	}
	if c.Timeout < 0 {
		return fmt.Errorf("a timeout of %v: give one above 0, or none for %v", c.Timeout, usualTimeout)
	}
	if c.Timeout == 0 {
		c.Timeout = usualTimeout
	}
	if c.Prefix == "" {
		c.Prefix = usualPrefix
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// quiet keeps the client's own log, which goes through a global of its
// package to standard error, out of ours: what it says, we say when the breaker
// opens, once and not for each connection.
var quiet = sync.OnceFunc(logging.Disable)

// dial makes the client. It does not connect yet.
func dial(ctx context.Context, c *Config) (goredis.UniversalClient, error) {
	quiet()
	options := &goredis.UniversalOptions{
		Addrs:         c.Addresses,
		MasterName:    c.Master,
		IsClusterMode: c.Cluster,
		DB:            c.Database,
		TLSConfig:     c.TLS,
		// One step is one round trip: what to do about a failure is decided here.
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
	if c.hook != nil {
		client.AddHook(c.hook)
	}
	return client, nil
}
