// Package secretfile re-reads files when they change: Dashboard keys, TLS
// certificates, the keys that tokens are checked with. It polls, because polling
// is the one way that sees a rename, a write in place and the symlink swap by
// which Kubernetes publishes a new secret alike, on every file system; and it
// reads the contents each time, because a modification time is too coarse to
// tell two writes apart. The files are few and small.
package secretfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultInterval between two looks at the files. Kubernetes itself takes up
	// to a minute to bring a changed secret to the node.
	DefaultInterval = 10 * time.Second
	// minInterval keeps a slip of the pen from becoming a busy loop.
	minInterval = time.Second
	// settle is how long changed contents have to stay the same before they are
	// taken, so that a file being written in place is not taken half.
	settle = 200 * time.Millisecond
)

// A Group is files that belong together and are taken together: a certificate
// and its key are one group.
type Group struct {
	// Name says what the files hold, for errors, logs and metrics.
	Name  string
	Paths []string
	// Load takes the contents, in the order of Paths. An error refuses them:
	// what was loaded before stays. It must not keep the slices, and its error
	// must not hold what they say, and need not name the file where there is only
	// one. It is never called twice at the same time.
	Load func(contents [][]byte) error
}

// An Outcome is what a look at a group of files led to.
type Outcome uint8

// The outcomes. Unchanged is not reported.
const (
	Unchanged Outcome = iota
	// Loaded: new contents are in use.
	Loaded
	// Unreadable: a file is missing, empty, too large or may not be read.
	Unreadable
	// Refused: the contents are not what they should be.
	Refused
)

var outcomes = [...]string{Unchanged: "unchanged", Loaded: "loaded", Unreadable: "unreadable", Refused: "refused"}

// String names the outcome as metrics do.
func (o Outcome) String() string {
	if int(o) < len(outcomes) {
		return outcomes[o]
	}
	return "unknown"
}

// A Config says how a Watcher watches. The zero Config is useful.
type Config struct {
	// Interval between two looks; DefaultInterval when 0, a second at the least.
	Interval time.Duration
	// Log gets a line for each change and each failure; nil for slog.Default.
	Log *slog.Logger
	// Observe is told each outcome but Unchanged, for a counter. May be nil.
	Observe func(group string, outcome Outcome)
}

// A Watcher watches groups of files until it is closed.
type Watcher struct {
	interval time.Duration
	log      *slog.Logger
	observe  func(string, Outcome)
	poke     chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}

	mu     sync.Mutex
	groups []*watched
}

// watched is a group and what is known about its files. Only the holder of
// Watcher.mu touches it.
type watched struct {
	Group
	loaded  [sha256.Size]byte // of the contents in use
	refused [sha256.Size]byte // of contents that Load would not take
	seen    [sha256.Size]byte // changed contents that have yet to settle
	failing string            // the last failure, so that it is logged once
}

// New starts a watcher of nothing; Add gives it files.
func New(c Config) *Watcher {
	if c.Interval == 0 {
		c.Interval = DefaultInterval
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Observe == nil {
		c.Observe = func(string, Outcome) {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{
		interval: max(c.Interval, minInterval), log: c.Log, observe: c.Observe,
		poke: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{}),
	}
	go w.run(ctx)
	return w
}

// Add reads the group now and watches it from now on. An error means that the
// files cannot be used as they are, and that they are not watched.
func (w *Watcher) Add(g Group) error {
	contents, sum, err := g.read()
	if err != nil {
		return err
	}
	if err := g.load(contents); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.groups = append(w.groups, &watched{Group: g, loaded: sum})
	return nil
}

// Poke asks for a look soon: something suggests that a file has changed. It does
// not wait.
func (w *Watcher) Poke() {
	select {
	case w.poke <- struct{}{}:
	default: // one is asked for already
	}
}

// NotTaken are the groups whose files have changed and could not be taken: what was read
// before is in use.
func (w *Watcher) NotTaken() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	for _, g := range w.groups {
		if g.failing != "" {
			names = append(names, g.Name)
		}
	}
	return names
}

// Close ends the watching and waits for the end of a look that is under way.
func (w *Watcher) Close() {
	w.cancel()
	<-w.done
}

func (w *Watcher) run(ctx context.Context) {
	defer close(w.done)
	timer := time.NewTimer(w.interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.poke:
		case <-timer.C:
		}
		next := w.interval
		if w.look() {
			next = settle
		}
		timer.Reset(next)
	}
}

// look reads every group once. It reports whether contents wait to settle.
func (w *Watcher) look() (unsettled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.groups {
		if w.lookAt(g) {
			unsettled = true
		}
	}
	return unsettled
}

func (w *Watcher) lookAt(g *watched) (unsettled bool) {
	contents, sum, err := g.read()
	switch {
	case err != nil:
		g.seen = [sha256.Size]byte{}
		w.fail(g, Unreadable, err)
		return false
	case sum == g.loaded:
		if g.failing != "" {
			w.log.Info("files are as before again", "files", g.Name)
		}
		g.seen, g.refused, g.failing = [sha256.Size]byte{}, [sha256.Size]byte{}, ""
		return false
	case sum == g.refused:
		w.observe(g.Name, Refused)
		return false
	case sum != g.seen:
		g.seen = sum
		return true
	}
	if err := g.load(contents); err != nil {
		g.refused = sum
		w.fail(g, Refused, err)
		return false
	}
	g.loaded, g.refused, g.failing = sum, [sha256.Size]byte{}, ""
	w.log.Info("files re-read", "files", g.Name)
	w.observe(g.Name, Loaded)
	return false
}

// fail reports a failure: each time to the counter, once to the log.
func (w *Watcher) fail(g *watched, o Outcome, err error) {
	if text := err.Error(); text != g.failing {
		g.failing = text
		w.log.Error("files changed and cannot be used; what was read before stays in use",
			"files", g.Name, "outcome", o.String(), "error", text)
	}
	w.observe(g.Name, o)
}

// sumOf tells contents apart: a hash of each file's hash, so that bytes cannot
// move from one file to the next unnoticed.
func sumOf(contents [][]byte) (sum [sha256.Size]byte) {
	var all bytes.Buffer
	for _, c := range contents {
		one := sha256.Sum256(c)
		all.Write(one[:])
	}
	return sha256.Sum256(all.Bytes())
}
