package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A child is a process that the bench has started. It ends with the scenario at
// the latest: by a signal, and if that does not help, by force.
type child struct {
	name string
	cmd  *exec.Cmd
	// stdin is where it can be told something.
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended

	mu   sync.Mutex
	said []string // the last lines that it wrote
}

// shownLines is how many of a child's last words stand in an error; keptLines how
// many are kept to look for something in.
const (
	shownLines = 5
	keptLines  = 2000
)

// graceful is how long a child may take to end when asked.
const graceful = 3 * time.Second

// spawn starts a program. What it writes goes to heard, line by line, until heard
// says true; nil hears nothing. environ is added to the bench's own.
func spawn(name string, environ []string, heard func(line string) bool, program string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), environ...)
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.cmd.Stdout, c.cmd.Stderr = w, w
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s does not start: %w", name, err), r.Close(), w.Close())
	}
	_ = w.Close() // the child has its own
	go c.listen(r, heard)
	return c, nil
}

// listen reads what the child writes until it ends.
func (c *child) listen(r io.ReadCloser, heard func(string) bool) {
	defer close(c.done)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if heard != nil && heard(line) {
			heard = nil
		}
		c.mu.Lock()
		if len(c.said) == keptLines {
			c.said = c.said[1:]
		}
		c.said = append(c.said, line)
		c.mu.Unlock()
	}
	_ = r.Close()
	_ = c.cmd.Wait() // how it ended is in what it said
}

// last is what the child wrote last.
func (c *child) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := ""
	for _, l := range c.said {
		text += l + "\n"
	}
	return lastLines(text, shownLines)
}

// times is how often the child has said something.
func (c *child) times(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, l := range c.said {
		if strings.Contains(l, what) {
			n++
		}
	}
	return n
}

// signal sends a signal to the child.
func (c *child) signal(s syscall.Signal) error { return c.cmd.Process.Signal(s) }

// kill ends the child at once, as a crash does, and returns when it is gone.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	<-c.done
}

// end asks the child to end, and sees to it.
func (c *child) end() {
	_ = c.signal(syscall.SIGTERM)
	t := time.NewTimer(graceful)
	defer t.Stop()
	select {
	case <-c.done:
	case <-t.C:
		c.kill()
	}
}

// await waits until ready is closed, the child has ended, or ctx or a time is over.
func (c *child) await(ctx context.Context, ready <-chan struct{}, within time.Duration) error {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-ready:
		return nil
	case <-c.done:
		return fmt.Errorf("%s ended at once: %s", c.name, c.last())
	case <-t.C:
		return fmt.Errorf("%s is not ready after %v: %s", c.name, within, c.last())
	case <-ctx.Done():
		return ctx.Err()
	}
}
