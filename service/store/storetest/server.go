// Package storetest runs a redis-server for a test, on loopback and without a disk.
package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// A Server is a redis-server of the test's own.
type Server struct {
	t    testing.TB
	port int
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

// Serve starts a server with these arguments, which ends with the test. A first
// argument that is no option is the configuration file. A server that asks for a
// password, or for TLS alone, is waited for by its port only.
func Serve(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, args: args}
	for range 5 { // another test may take the port in between
		s.port = FreePort(t)
		if s.start() {
			t.Cleanup(s.Kill)
			return s
		}
	}
	t.Fatal("redis-server ends as soon as it has started")
	return nil
}

// FreePort is a port that nobody listens on. It is below those that systems give to
// connections: a server that ends and starts again finds it free.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 12_000 + rand.IntN(20_000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue // another one listens there
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		return port
	}
	t.Fatal("of a hundred ports none is free")
	return 0
}

// For is the same server for another test, which goes on when that one ends.
func (s *Server) For(t testing.TB) *Server { return &Server{t: t, port: s.port} }

// Address is the server's host:port.
func (s *Server) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Port is the server's port.
func (s *Server) Port() int { return s.port }

// Start starts the server again, empty, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	if !s.start() {
		s.t.Fatalf("redis-server does not start again at %s", s.Address())
	}
}

// start starts the server and waits until it answers, or has ended because its port
// is taken.
func (s *Server) start() (answers bool) {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatalf("the tests of the shared store need redis-server on the PATH: %v", err)
	}
	args := []string{"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.t.TempDir(), "--loglevel", "warning"}
	if len(s.args) > 0 && !strings.HasPrefix(s.args[0], "--") { // a file
		args = append([]string{s.args[0]}, append(args, s.args[1:]...)...)
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
	Eventually(s.t, 20*time.Second, "the server answers", func() bool { return s.ended() || s.answers() })
	return !s.ended()
}

// ended tells whether the process is over.
func (s *Server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// answers tells whether it is this server that answers, and not that of another test
// which has got the port. One that asks for a password does not say.
func (s *Server) answers() bool {
	client := goredis.NewClient(&goredis.Options{Addr: s.Address(), MaxRetries: -1})
	defer func() { _ = client.Close() }()
	info, err := client.Info(context.Background(), "server").Result()
	if err != nil {
		return strings.HasPrefix(err.Error(), "NOAUTH")
	}
	return strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid))
}

// Kill ends the server and all it knows.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.done
}

// Pause stops the server in its tracks: connections stay, answers do not come.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets it go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// Client is a plain client, for what a test does behind the back of ours.
func (s *Server) Client() *goredis.Client {
	client := goredis.NewClient(&goredis.Options{Addr: s.Address()})
	s.t.Cleanup(func() {
		if err := client.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return client
}

// Eventually waits until it is true.
func Eventually(t testing.TB, within time.Duration, what string, is func() bool) {
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
