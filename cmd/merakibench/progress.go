package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A progress keeps a person informed: one line on standard error, renewed each
// second on a terminal, written anew every 15 seconds elsewhere. An interval that
// shows passes in a log, too.
type progress struct {
	name     string
	out      io.Writer
	terminal bool

	mu    sync.Mutex
	state func() string
	begun time.Time
	stop  chan struct{}
	done  chan struct{}
}

const (
	renewTerminal = time.Second
	renewLog      = 15 * time.Second
)

func newProgress(out io.Writer, name string) *progress {
	p := &progress{name: name, out: out, begun: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	if f, ok := out.(*os.File); ok {
		if info, err := f.Stat(); err == nil {
			p.terminal = info.Mode()&os.ModeCharDevice != 0
		}
	}
	every := renewLog
	if p.terminal {
		every = renewTerminal
	}
	go func() {
		defer close(p.done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				p.print()
			case <-p.stop:
				return
			}
		}
	}()
	return p
}

// shows sets what is done now, and how the line is made from here on.
func (p *progress) shows(state func() string) {
	p.mu.Lock()
	p.state = state
	p.mu.Unlock()
	p.print()
}

// says sets a line that stays the same.
func (p *progress) says(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	p.shows(func() string { return line })
}

func (p *progress) print() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == nil {
		return
	}
	line := fmt.Sprintf("%s %4.0fs  %s", p.name, time.Since(p.begun).Seconds(), p.state())
	if p.terminal {
		fmt.Fprintf(p.out, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.out, line)
}

// close ends the line.
func (p *progress) close() {
	close(p.stop)
	<-p.done
	if p.terminal {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}
