package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A store is a real redis-server of the scenario's own, without a disk.
type store struct {
	program string
	address string
	child   *child
}

// store starts one; it ends with the scenario.
func (r *run) store(ctx context.Context) (*store, error) {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not there: install it (Debian: apt-get install redis-server), or choose a scenario that needs none")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &store{program: program, address: l.Addr().String()}
	_ = l.Close() // the server takes the port
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	r.closing(s.end)
	return s, nil
}

// start starts the server, empty, and waits until it takes connections.
func (s *store) start(ctx context.Context) error {
	host, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	ready := make(chan struct{})
	heard := func(line string) bool {
		if !strings.Contains(line, "Ready to accept connections") {
			return false
		}
		close(ready)
		return true
	}
	s.child, err = spawn("redis-server", nil, heard, s.program, "--bind", host, "--port", port, "--save", "", "--appendonly", "no")
	if err != nil {
		return err
	}
	return s.child.await(ctx, ready, 10*time.Second)
}

// crash ends the server as a power cut does: nothing of its data is left.
func (s *store) crash() { s.child.kill() }

// freeze makes the server hang, thaw lets it go on.
func (s *store) freeze() error { return s.child.signal(syscall.SIGSTOP) }

func (s *store) thaw() error { return s.child.signal(syscall.SIGCONT) }

func (s *store) end() {
	_ = s.thaw()
	s.child.end()
}

// trips counts what the server has been asked for since it started, by its own
// statistics: every run of a script is a journey from a replica and back.
func (s *store) trips(ctx context.Context) (int, error) {
	text, err := s.info(ctx, "commandstats")
	if err != nil {
		return 0, fmt.Errorf("the store's statistics: %w", err)
	}
	return tripsIn(text), nil
}

// info asks the server for a section of its statistics. One question in the
// protocol's inline form needs no client.
func (s *store) info(ctx context.Context, section string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(conn, "INFO %s\r\n", section); err != nil {
		return "", err
	}
	// A bulk string: its length in a line, then so many bytes.
	r := bufio.NewReader(conn)
	head, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(head), "$"))
	if err != nil || n < 0 || n > 1<<20 {
		return "", fmt.Errorf("the server answers %q", strings.TrimSpace(head))
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return string(text), err
}

// tripsIn reads the count out of INFO commandstats. What scripts call inside of
// the server stands there as well and is no journey; so the scripts are counted.
func tripsIn(info string) int {
	n := 0
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimSpace(line), ":calls=")
		if !ok {
			continue
		}
		switch name {
		case "cmdstat_eval", "cmdstat_evalsha", "cmdstat_fcall":
			calls, _, _ := strings.Cut(rest, ",")
			if c, err := strconv.Atoi(calls); err == nil {
				n += c
			}
		}
	}
	return n
}
