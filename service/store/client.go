package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// usualValue bounds a value, in bytes.
const usualValue = 1 << 20

// The errors of a Client, for errors.Is.
var (
	// ErrUnavailable: the store is out of reach, or too slow. Nothing is known of
	// whether a change has been made.
	ErrUnavailable = errors.New("the shared store is out of reach")
	// ErrFull: the store has no room for more; nothing was changed.
	ErrFull = errors.New("the shared store is full")
	// ErrTooLarge: the value is larger than Options.MaxValue; nothing was changed.
	ErrTooLarge = errors.New("the value is too large for the shared store")
	// ErrUnreadable: what is stored is not a value that this client can read.
	ErrUnreadable = errors.New("the value in the shared store cannot be read")
	// ErrContended: others change the value all the time; nothing was changed.
	ErrContended = errors.New("others change the value in the shared store all the time")
)

// Options configure a Client.
type Options struct {
	// Prefix begins every key, before a colon.
	Prefix string
	// Timeout of a round trip; 0 for 50 ms.
	Timeout time.Duration
	// MaxValue bounds a value, in bytes; 0 for 1 MiB.
	MaxValue int
	// Keys that encrypt the values, asked for each time, so that they may change;
	// nil for values as they are.
	Keys func() *Keys
	// Logger hears when the store goes away and when it is back; nil for none.
	Logger *slog.Logger
}

// A Client is a few verbs on the store. All are bounded in time, and while the store
// is out of reach they fail at once. It may be used by several goroutines.
type Client struct {
	redis   goredis.UniversalClient
	options Options
	breaker breaker
}

// New returns a Client on a pool of connections, which several may share: whoever has
// opened it closes it.
func New(redis goredis.UniversalClient, o Options) *Client {
	if o.Timeout <= 0 {
		o.Timeout = usualTimeout
	}
	if o.MaxValue <= 0 {
		o.MaxValue = usualValue
	}
	if o.Keys == nil {
		o.Keys = func() *Keys { return nil }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Client{redis: redis, options: o}
}

// A Value is what the store has under a key. The zero Value is that of a key that
// does not exist.
type Value struct {
	Bytes []byte
	// stored is the value as it is in the store, by which Swap knows it again.
	stored string
}

// Exists tells whether there is a value.
func (v Value) Exists() bool { return v.stored != "" }

// Get reads a value; one that does not exist is no error.
func (c *Client) Get(ctx context.Context, key string) (Value, error) {
	most := c.options.MaxValue + overhead
	var stored string
	err := c.do(ctx, func(ctx context.Context) (err error) {
		// A value larger than any of ours is not read to its end.
		stored, err = c.redis.GetRange(ctx, c.name(key), 0, int64(most)).Result()
		return err
	})
	if err != nil {
		return Value{}, err
	}
	return c.value(key, stored)
}

// value is what stands under a key.
func (c *Client) value(key, stored string) (Value, error) {
	if stored == "" {
		return Value{}, nil
	}
	if len(stored) > c.options.MaxValue+overhead {
		return Value{}, fmt.Errorf("%w: %s has more than %d bytes", ErrUnreadable, key, c.options.MaxValue)
	}
	value, err := c.options.Keys().open(c.name(key), []byte(stored))
	if err != nil {
		return Value{}, fmt.Errorf("%w: %s: %v", ErrUnreadable, key, err)
	}
	return Value{value, stored}, nil
}

// GetAll reads values in one round trip, in the order of the keys; one that does not exist
// is no error.
func (c *Client) GetAll(ctx context.Context, keys ...string) ([]Value, error) {
	most := c.options.MaxValue + overhead
	results := make([]*goredis.StringCmd, len(keys))
	err := c.do(ctx, func(ctx context.Context) error {
		_, err := c.redis.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, key := range keys {
				results[i] = p.GetRange(ctx, c.name(key), 0, int64(most))
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	values := make([]Value, len(keys))
	for i, r := range results {
		if values[i], err = c.value(keys[i], r.Val()); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// Set writes a value, which expires.
func (c *Client) Set(ctx context.Context, key string, value []byte, expiry time.Duration) error {
	stored, err := c.seal(key, value, expiry)
	if err != nil {
		return err
	}
	return c.do(ctx, func(ctx context.Context) error {
		return c.redis.Set(ctx, c.name(key), stored, expiry).Err()
	})
}

// SetNew writes a value if there is none, and tells whether it has.
func (c *Client) SetNew(ctx context.Context, key string, value []byte, expiry time.Duration) (set bool, err error) {
	stored, err := c.seal(key, value, expiry)
	if err != nil {
		return false, err
	}
	err = c.do(ctx, func(ctx context.Context) (err error) {
		set, err = c.redis.SetNX(ctx, c.name(key), stored, expiry).Result()
		return err
	})
	return set, err
}

// swap writes a value where another one stands. A store that is full refuses what
// could need more room, but not in the middle of a script: what stands there goes first.
//
// ARGV: 1 what is to stand there now, empty for nothing, 2 the value, 3 its expiry in
// milliseconds
var swap = goredis.NewScript(`
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[1] ~= '' then redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
`)

// Swap writes a value if the key still has the one that Get returned, and tells
// whether it has. With the zero Value it is as SetNew.
func (c *Client) Swap(ctx context.Context, key string, old Value, value []byte, expiry time.Duration) (swapped bool, err error) {
	stored, err := c.seal(key, value, expiry)
	if err != nil {
		return false, err
	}
	err = c.do(ctx, func(ctx context.Context) (err error) {
		swapped, err = swap.Run(ctx, c.redis, []string{c.name(key)}, old.stored, stored, expiry.Milliseconds()).Bool()
		return err
	})
	return swapped, err
}

// mostSwaps is how often Change is tried while others change the same value.
const mostSwaps = 10

// Change replaces a value, empty for none, by what change makes of it, and that for how
// long. change is called again where somebody else was faster; its error ends it.
func (c *Client) Change(ctx context.Context, key string, change func(old []byte) (value []byte, expiry time.Duration, err error)) error {
	for range mostSwaps {
		there, err := c.Get(ctx, key)
		if err != nil {
			return err
		}
		value, expiry, err := change(there.Bytes)
		if err != nil {
			return err
		}
		if swapped, err := c.Swap(ctx, key, there, value, expiry); swapped || err != nil {
			return err
		}
	}
	return ErrContended
}

// Extend lets a value expire later, also where the store is full. One that does not
// exist is no error.
func (c *Client) Extend(ctx context.Context, key string, expiry time.Duration) error {
	if err := expires(key, expiry); err != nil {
		return err
	}
	return c.do(ctx, func(ctx context.Context) error { return c.redis.PExpire(ctx, c.name(key), expiry).Err() })
}

// remove removes a value where it stands.
//
// ARGV: 1 what is to stand there
var remove = goredis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

// Remove removes a value if the key still has the one that Get returned, and tells
// whether it has. With the zero Value it removes nothing.
func (c *Client) Remove(ctx context.Context, key string, old Value) (removed bool, err error) {
	err = c.do(ctx, func(ctx context.Context) (err error) {
		removed, err = remove.Run(ctx, c.redis, []string{c.name(key)}, old.stored).Bool()
		return err
	})
	return removed, err
}

// name is the whole key.
func (c *Client) name(key string) string { return c.options.Prefix + ":" + key }

// seal makes what is stored of a value.
func (c *Client) seal(key string, value []byte, expiry time.Duration) ([]byte, error) {
	if len(value) > c.options.MaxValue {
		return nil, fmt.Errorf("%w: %s has %d bytes, and %d are allowed", ErrTooLarge, key, len(value), c.options.MaxValue)
	}
	if err := expires(key, expiry); err != nil {
		return nil, err
	}
	return c.options.Keys().seal(c.name(key), value), nil
}

// expires refuses a value that would never go, or be gone at once.
func expires(key string, expiry time.Duration) error {
	if expiry < time.Millisecond {
		return fmt.Errorf("%s would expire in %v: everything in the shared store needs an expiry of at least a millisecond", key, expiry)
	}
	return nil
}

// do makes one round trip, within the timeout, if the store is there.
func (c *Client) do(ctx context.Context, trip func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sent := time.Now()
	if !c.breaker.allow(sent) {
		return ErrUnavailable
	}
	bounded, cancel := context.WithTimeout(ctx, c.options.Timeout)
	defer cancel()
	err := trip(bounded)
	if gone := ended(ctx); err != nil && gone != nil {
		c.breaker.abandoned()
		return gone
	}
	reply := kind(err)
	opened, closed := c.breaker.done(sent, time.Now(), reply == ErrUnavailable)
	switch {
	case opened:
		c.options.Logger.Warn("the shared store is out of reach", "error", err)
	case closed:
		c.options.Logger.Info("the shared store is back")
	}
	if reply == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", reply, err)
}

// ended says why the caller does not wait any more; nil when it does. The
// connection has the caller's deadline, too, and may notice it before the context.
func ended(ctx context.Context) error {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return ctx.Err()
}

// kind is which of the errors of a Client an error is; nil for none.
func kind(err error) error {
	var reply goredis.Error
	switch {
	case err == nil, errors.Is(err, goredis.Nil):
		return nil
	case errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "OOM"):
		return ErrFull
	case errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "WRONGTYPE"):
		return ErrUnreadable
	}
	return ErrUnavailable
}
