package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// open opens a Client on a server.
func open(t *testing.T, s *storetest.Server, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Prefix: "test", Timeout: patience, MaxValue: 1000}
	for _, f := range change {
		f(&o)
	}
	return New(connect(t, Config{Addresses: []string{s.Address()}}), o)
}

func TestVerbs(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	for name, keys := range map[string]*Keys{"plain": nil, "sealed": someKeys(t, 1)} {
		c := open(t, s, func(o *Options) { o.Prefix, o.Keys = name, func() *Keys { return keys } })
		ctx := t.Context()
		if v, err := c.Get(ctx, "k"); err != nil || v.Exists() || v.Bytes != nil {
			t.Errorf("%s: nothing reads as %+v, %v", name, v, err)
		}
		for _, value := range [][]byte{[]byte("first"), {}, bytes.Repeat([]byte{0}, 1000)} {
			if err := c.Set(ctx, "k", value, time.Minute); err != nil {
				t.Fatal(err)
			}
			if v, err := c.Get(ctx, "k"); err != nil || !v.Exists() || !bytes.Equal(v.Bytes, value) {
				t.Errorf("%s: %d bytes read as %d, %v", name, len(value), len(v.Bytes), err)
			}
		}
		if ttl := s.Client().PTTL(ctx, name+":k").Val(); ttl < 50*time.Second || ttl > time.Minute {
			t.Errorf("%s: expires in %v", name, ttl)
		}
		if set, err := c.SetNew(ctx, "k", []byte("second"), time.Minute); err != nil || set {
			t.Errorf("%s: set where there is one: %v, %v", name, set, err)
		}
		old, err := c.Get(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(ctx, "k", []byte("another"), time.Minute); err != nil {
			t.Fatal(err)
		}
		for _, old := range []Value{{}, old} {
			if removed, err := c.Remove(ctx, "k", old); err != nil || removed {
				t.Errorf("%s: removed in place of another one: %v, %v", name, removed, err)
			}
		}
		if old, err = c.Get(ctx, "k"); err != nil || string(old.Bytes) != "another" {
			t.Fatalf("%s: %q, %v", name, old.Bytes, err)
		}
		for _, want := range []bool{true, false} { // the second time there is none
			if removed, err := c.Remove(ctx, "k", old); err != nil || removed != want {
				t.Errorf("%s: removed %v, %v", name, removed, err)
			}
		}
		if set, err := c.SetNew(ctx, "k", []byte("second"), time.Hour); err != nil || !set {
			t.Errorf("%s: not set where there is none: %v, %v", name, set, err)
		}
		if ttl := s.Client().PTTL(ctx, name+":k").Val(); ttl < 59*time.Minute || ttl > time.Hour {
			t.Errorf("%s: expires in %v", name, ttl)
		}
	}
}

// Of all who swap the same value at once, one does.
func TestSwap(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	c := open(t, s, func(o *Options) { keys := someKeys(t, 1); o.Keys = func() *Keys { return keys } })
	old, err := c.Get(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for round := range 5 {
		var done atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				swapped, err := c.Swap(t.Context(), "k", old, fmt.Append(nil, round, i), time.Minute)
				if err != nil {
					t.Error(err)
				}
				if swapped {
					done.Add(1)
				}
			})
		}
		all.Wait()
		if n := done.Load(); n != 1 {
			t.Fatalf("round %d: %d have swapped", round, n)
		}
		now, err := c.Get(t.Context(), "k")
		if err != nil || now.stored == old.stored {
			t.Fatalf("round %d: still %q, %v", round, now.Bytes, err)
		}
		old = now
	}
	if ttl := s.Client().PTTL(t.Context(), "test:k").Val(); ttl < 50*time.Second || ttl > time.Minute {
		t.Errorf("expires in %v", ttl)
	}
	if swapped, err := c.Swap(t.Context(), "k", Value{}, nil, time.Minute); err != nil || swapped {
		t.Errorf("swapped a value for nothing: %v, %v", swapped, err)
	}
}

// TestChange: a change of a value that others change, too, is made to what they have
// left, or not at all.
func TestChange(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	c := open(t, s)
	var made atomic.Int32
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 10 {
				err := c.Change(t.Context(), "k", func(old []byte) ([]byte, time.Duration, error) { return append(old, '1'), time.Minute, nil })
				if err == nil {
					made.Add(1)
				} else if !errors.Is(err, ErrContended) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if v, err := c.Get(t.Context(), "k"); err != nil || len(v.Bytes) != int(made.Load()) || made.Load() == 0 {
		t.Errorf("%d changes are made, and %d are there: %v", made.Load(), len(v.Bytes), err)
	}
	no := errors.New("no")
	if err := c.Change(t.Context(), "k", func([]byte) ([]byte, time.Duration, error) { return nil, 0, no }); !errors.Is(err, no) {
		t.Errorf("a change that is refused: %v", err)
	}
	calls := 0
	err := c.Change(t.Context(), "k", func(old []byte) ([]byte, time.Duration, error) {
		calls++
		return old, time.Minute, c.Set(t.Context(), "k", fmt.Append(nil, calls), time.Minute)
	})
	if !errors.Is(err, ErrContended) || calls != mostSwaps {
		t.Errorf("after %d calls: %v", calls, err)
	}
}

// What cannot be stored, or read, is refused, and is no outage.
func TestBounds(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	c := open(t, s)
	ctx := t.Context()
	large := make([]byte, 1001)
	_, newErr := c.SetNew(ctx, "k", large, time.Minute)
	_, swapErr := c.Swap(ctx, "k", Value{}, large, time.Minute)
	for name, err := range map[string]error{"Set": c.Set(ctx, "k", large, time.Minute), "SetNew": newErr, "Swap": swapErr} {
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "1001 bytes, and 1000 are allowed") {
			t.Errorf("%s of a large value: %v", name, err)
		}
	}
	for name, err := range map[string]error{"Set": c.Set(ctx, "k", nil, 0), "Extend": c.Extend(ctx, "k", 0)} {
		if err == nil || !strings.Contains(err.Error(), "needs an expiry") {
			t.Errorf("%s without an expiry: %v", name, err)
		}
	}
	for name, value := range map[string]any{"large": strings.Repeat("\x00", 5000), "another's": "{}", "empty sealed": "\x01"} {
		if err := s.Client().Set(ctx, "test:k", value, time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(ctx, "k"); !errors.Is(err, ErrUnreadable) {
			t.Errorf("a value that is %s: %v", name, err)
		}
	}
	if err := s.Client().HSet(ctx, "test:hash", "a", "b").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get(ctx, "hash"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("a hash: %v", err)
	}
	if outages, there := c.breaker.state(); outages != 0 || !there {
		t.Errorf("%d outages, there: %t", outages, there)
	}
}

// A store that evicts nothing says when it is full. Reading goes on.
func TestFull(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t, "--maxmemory-policy", "noeviction")
	c := open(t, s)
	if err := c.Set(t.Context(), "before", []byte("x"), time.Minute); err != nil {
		t.Fatal(err)
	}
	if err := s.Client().ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.SetNew(t.Context(), "k", []byte("x"), time.Minute); !errors.Is(err, ErrFull) || errors.Is(err, ErrUnavailable) {
		t.Errorf("set in a full store: %v", err)
	}
	v, err := c.Get(t.Context(), "before")
	if err != nil || string(v.Bytes) != "x" {
		t.Errorf("read in a full store: %q, %v", v.Bytes, err)
	}
	// What is there may become another value, and stay longer.
	if swapped, err := c.Swap(t.Context(), "before", v, bytes.Repeat([]byte("y"), 1000), time.Minute); err != nil || !swapped {
		t.Errorf("swapped in a full store: %v, %v", swapped, err)
	}
	if err := c.Extend(t.Context(), "before", time.Hour); err != nil {
		t.Error(err)
	}
	if ttl := s.Client().PTTL(t.Context(), "test:before").Val(); ttl < 50*time.Minute {
		t.Errorf("expires in %v", ttl)
	}
	if _, err := c.Swap(t.Context(), "k", Value{}, []byte("x"), time.Minute); !errors.Is(err, ErrFull) {
		t.Errorf("swapped for nothing in a full store: %v", err)
	}
}

// counter counts the commands that go to the server.
type counter struct{ commands atomic.Int64 }

func (c *counter) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (c *counter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		c.commands.Add(1)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// While the store is away nobody waits for it, and it is found when it is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ gone, back func(*storetest.Server) }{
		"killed": {(*storetest.Server).Kill, (*storetest.Server).Start},
		"paused": {(*storetest.Server).Pause, (*storetest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := storetest.Serve(t)
			redis := connect(t, Config{Addresses: []string{s.Address()}, Timeout: time.Second})
			var count counter
			redis.AddHook(&count)
			client := New(redis, Options{Prefix: "test", Timeout: time.Second})
			if err := client.Set(t.Context(), "k", []byte("x"), time.Minute); err != nil {
				t.Fatal(err)
			}
			c.gone(s)
			if _, err := client.Get(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
				t.Errorf("read from a store that is gone: %v", err)
			}
			before, tries := count.commands.Load(), int64(0)
			for range 1000 {
				if _, err := client.Get(t.Context(), "k"); !errors.Is(err, ErrUnavailable) {
					t.Errorf("read from a store that is gone: %v", err)
				}
				tries++
			}
			if asked := count.commands.Load() - before; asked > tries/10 {
				t.Errorf("a store that is gone was asked %d times for %d reads", asked, tries)
			}
			if outages, there := client.breaker.state(); outages != 1 || there {
				t.Errorf("%d outages, there: %t", outages, there)
			}
			c.back(s)
			storetest.Eventually(t, 20*time.Second, "the store is back", func() bool {
				_, err := client.Get(t.Context(), "k")
				return err == nil
			})
			if outages, there := client.breaker.state(); outages < 1 || !there {
				t.Errorf("%d outages, there: %t", outages, there)
			}
		})
	}
}

// A caller that leaves says nothing about the store.
func TestCallerLeaves(t *testing.T) {
	t.Parallel()
	s := storetest.Serve(t)
	c := open(t, s)
	if err := c.Set(t.Context(), "k", nil, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.Pause()
	defer s.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if outages, there := c.breaker.state(); outages != 0 || !there {
		t.Errorf("%d outages, there: %t", outages, there)
	}
}
