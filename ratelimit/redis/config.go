package redis

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// usualTimeout bounds a step. A slot is due to the millisecond, and going on
	// alone is no disaster, so waiting longer is worth nothing.
	usualTimeout = 50 * time.Millisecond
	// usualPrefix begins every key.
	usualPrefix = "merakibroker"
	// firstTimeout bounds the wait for the first connection at the start.
	firstTimeout = time.Second
)

// Config says who shares the budgets, and through which connections.
type Config struct {
	// Client is the connections to the store, for the budgets alone: nothing else
	// may keep a step waiting for one. Close closes them.
	Client goredis.UniversalClient
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
}

// check completes the configuration, or says what is wrong with it.
func (c *Config) check() error {
	if c.Client == nil {
		return errors.New("there are no connections to the store")
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
