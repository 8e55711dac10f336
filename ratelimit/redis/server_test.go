package redis

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/ratelimit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// A server is a redis-server of the test's own, on loopback, without a disk.
type server struct {
	t    testing.TB
	port int
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// serve starts a server with these arguments, which ends with the test.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, port: listener.Addr().(*net.TCPAddr).Port, args: args}
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// start starts the server, empty, and waits until it answers.
func (s *server) start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("the tests of the shared store need redis-server on the PATH: %v", err)
	}
	args := []string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.t.TempDir(), "--loglevel", "warning"}
	if len(s.args) > 0 && !strings.HasPrefix(s.args[0], "--") { // a file
		args = append(s.args, args...)
	} else {
		args = append(append(args, "--save", "", "--appendonly", "no"), s.args...)
	}
	s.cmd = exec.Command(path, args...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		defer close(done)
		_ = cmd.Wait() // it is killed; that is no news
	}(s.cmd, s.done)
	client := goredis.NewClient(&goredis.Options{Addr: s.address()})
	defer func() {
		if err := client.Close(); err != nil {
			s.t.Error(err)
		}
	}()
	eventually(s.t, 10*time.Second, "the server answers", func() bool {
		return client.Ping(context.Background()).Err() == nil
	})
}

// kill ends the server and all it knows.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// pause stops the server in its tracks: connections stay, answers do not come.
func (s *server) pause() { s.signal(syscall.SIGSTOP) }

// resume lets it go on.
func (s *server) resume() { s.signal(syscall.SIGCONT) }

func (s *server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// client is a plain client, for what a test does behind a Store's back.
func (s *server) client() *goredis.Client {
	client := goredis.NewClient(&goredis.Options{Addr: s.address()})
	s.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return client
}

// store opens a Store as one of some replicas.
func (s *server) store(replicas int, change ...func(*Config)) *Store {
	s.t.Helper()
	// On a machine that is busy with tests, a step may well take more than 50 ms.
	config := Config{Addresses: []string{s.address()}, Replicas: replicas, Timeout: 30 * time.Second}
	for _, f := range change {
		f(&config)
	}
	store, err := New(context.Background(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = store.Close() }) // the server may have gone before
	return store
}

// prompt is for tests of what happens without an answer in time.
func prompt(c *Config) { c.Timeout = usualTimeout }

// eventually waits until it is true.
func eventually(t testing.TB, within time.Duration, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", within, what)
		case <-tick.C:
		}
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
