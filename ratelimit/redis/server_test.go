package redis

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// A server is a redis-server of the test's own.
type server struct {
	*storetest.Server
	t testing.TB
}

// serve starts a server with these arguments, which ends with the test.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	return &server{storetest.Serve(t, args...), t}
}

// store opens a Store as one of some replicas.
func (s *server) store(replicas int, change ...func(*Config)) *Store {
	s.t.Helper()
	// On a machine that is busy with tests, a step may well take more than 50 ms.
	config := Config{Replicas: replicas, Timeout: 30 * time.Second}
	for _, f := range change {
		f(&config)
	}
	if config.Client == nil {
		config.Client = connect(s.t, s.Address(), config.Timeout)
	}
	opened, err := New(context.Background(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = opened.Close() }) // the server may have gone before
	return opened
}

// connect opens connections to an address.
func connect(t testing.TB, address string, timeout time.Duration, change ...func(*store.Config)) goredis.UniversalClient {
	t.Helper()
	c := store.Config{Addresses: []string{address}, Timeout: timeout}
	for _, f := range change {
		f(&c)
	}
	client, err := store.Connect(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// cluster makes the address that of a cluster.
func cluster(c *store.Config) { c.Cluster = true }

// counted counts what goes through a Store's connections.
func (s *server) counted(count *counter) func(*Config) {
	return func(c *Config) {
		c.Client = connect(s.t, s.Address(), c.Timeout)
		c.Client.AddHook(count)
	}
}

// counter counts the commands that go to the server, and the words of the longest.
type counter struct{ commands, longest atomic.Int64 }

func (c *counter) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (c *counter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		c.commands.Add(1)
		c.longest.Store(max(c.longest.Load(), int64(len(cmd.Args()))))
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

var organization = ratelimit.Budget{Key: "organization:1", Rate: 10, Burst: 8}

// ask asks for some of one caller's calls now.
func ask(t testing.TB, s *Store, b ratelimit.Budget, count int) ratelimit.Grant {
	t.Helper()
	g, err := s.Pull(context.Background(), time.Now(), ratelimit.Ask{
		Budget:  b,
		Waiting: []ratelimit.Waiting{{Class: ratelimit.Class{Priority: ratelimit.Normal, Caller: "a"}, Count: count}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}
