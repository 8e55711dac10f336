package watch

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// The ages that a watcher may accept.
const (
	Youngest = time.Second
	Oldest   = time.Hour
)

// Config is what Watches are made of. Broker is needed; every other field has a usable
// zero value, named beside it.
type Config struct {
	Broker *broker.Broker
	// Shared is where replicas leave what they have read for each other; nil where
	// this one polls for itself. SharedBytes bounds a value of it: 1 MiB;
	// AllSharedBytes what this replica leaves there: 64 MiB. What has no room each
	// replica polls for itself.
	Shared         Shared
	SharedBytes    int
	AllSharedBytes int64
	// Observer is told for metrics; nil for none.
	Observer Observer

	// CallerWatches and AllWatches bound the watches of one caller and of all: 500
	// and 4,000.
	CallerWatches, AllWatches int
	// CallerBytes and AllBytes bound the states that watchers hold: 64 MiB and
	// 256 MiB. StateBytes bounds the pages of one: 32 MiB.
	CallerBytes, AllBytes, StateBytes int64

	// youngest is Youngest, but in a test that does not want to wait.
	youngest time.Duration
}

// An Observer is told what happens, for metrics. Its methods are called from many
// goroutines at once, some with a lock held: they must be quick and must not call
// the Watches.
type Observer interface {
	// Watching: the number of watches under way changed by n.
	Watching(n int)
	// Polled: a poll of an operation ended; result is "ok", or the kind of its fault.
	Polled(operation, result string)
	// Saved: watchers were served without n requests that they would have made, each
	// for itself.
	Saved(n int)
}

type noop struct{}

func (noop) Watching(int)          {}
func (noop) Polled(string, string) {}
func (noop) Saved(int)             {}

// Watches are all that is watched at this replica.
type Watches struct {
	config  Config
	holding *holding
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	left    atomic.Int64 // bytes that this replica has in the store

	mu       sync.Mutex
	closed   bool
	pollers  map[readKey]*poller
	callers  map[string]int // watches by caller
	watching int
	opened   uint64
}

// A readKey identifies a read: what has the same credential and the same URL.
type readKey struct{ partition, path, query string }

func keyOf(c *broker.Call) readKey { return readKey{c.Key.Partition(), c.Path, c.Query} }

// New makes Watches. Close ends them.
func New(c Config) (*Watches, error) {
	if c.Broker == nil {
		return nil, errors.New("watch: no Broker to ask")
	}
	if c.Observer == nil {
		c.Observer = noop{}
	}
	c.SharedBytes, c.AllSharedBytes, c.youngest = cmp.Or(c.SharedBytes, 1<<20), cmp.Or(c.AllSharedBytes, 64<<20), cmp.Or(c.youngest, Youngest)
	c.CallerWatches, c.AllWatches = cmp.Or(c.CallerWatches, 500), cmp.Or(c.AllWatches, 4000)
	c.CallerBytes, c.AllBytes, c.StateBytes = cmp.Or(c.CallerBytes, 64<<20), cmp.Or(c.AllBytes, 256<<20), cmp.Or(c.StateBytes, 32<<20)
	if min(c.SharedBytes, c.CallerWatches, c.AllWatches) < 1 || min(c.CallerBytes, c.AllBytes, c.StateBytes, c.AllSharedBytes) < 1 {
		return nil, errors.New("watch: a bound is below 1")
	}
	ws := &Watches{
		config: c, holding: newHolding(c.CallerBytes, c.AllBytes),
		pollers: make(map[readKey]*poller), callers: make(map[string]int),
	}
	ws.ctx, ws.stop = context.WithCancel(context.Background())
	return ws, nil
}

// Close ends all watches, and returns when nothing is polled any more.
func (ws *Watches) Close() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	ws.stop()
	ws.running.Wait()
}

// A Request is what a caller wants to watch.
type Request struct {
	// Operation is the read's.
	Operation *apiv1.Operation
	// Ask makes the read as a call, once the rules have been asked: at the start, and
	// each time that it has been read anew. The error is a *fault.Error.
	Ask func(context.Context) (*broker.Call, error)
	// Age is how old a state may become before it is read anew.
	Age time.Duration
	// Whole gives every state whole.
	Whole bool
}

// Open begins a watch. It waits for no state; the error is a *fault.Error. Close ends
// the watch.
func (ws *Watches) Open(ctx context.Context, r Request) (*Watcher, error) {
	id := r.Operation.GetId()
	switch {
	case r.Operation.GetVerb() != apiv1.Verb_VERB_GET:
		return nil, notRead(id)
	case r.Age < ws.config.youngest || r.Age > Oldest:
		return nil, badAge(id, r.Age)
	}
	w := &Watcher{of: ws, request: r}
	call, err := w.ask(ctx)
	if err != nil {
		return nil, err
	}
	w.caller = call.Caller
	if f := ws.enter(w); f != nil {
		return nil, f
	}
	if f := ws.join(w, call); f != nil {
		ws.exit(w)
		return nil, f
	}
	return w, nil
}

// enter counts a watch, if there is room for one more.
func (ws *Watches) enter(w *Watcher) *fault.Error {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	switch id := w.request.Operation.GetId(); {
	case ws.callers[w.caller] >= ws.config.CallerWatches:
		return tooMany(id, "the caller", ws.config.CallerWatches)
	case ws.watching >= ws.config.AllWatches:
		return tooMany(id, "the broker", ws.config.AllWatches)
	}
	ws.callers[w.caller]++
	ws.watching++
	ws.opened++
	w.number = ws.opened
	ws.config.Observer.Watching(1)
	return nil
}

func (ws *Watches) exit(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.callers[w.caller]--; ws.callers[w.caller] == 0 {
		delete(ws.callers, w.caller)
	}
	ws.watching--
	ws.config.Observer.Watching(-1)
}

// join puts a watcher to those of the same read, with a poller of its own where it is
// the first.
func (ws *Watches) join(w *Watcher, call *broker.Call) *fault.Error {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return fault.Stopping(w.request.Operation.GetId())
	}
	key := keyOf(call)
	p := ws.pollers[key]
	if p == nil {
		var ctx context.Context
		p = newPoller(ws, call, w.request.Operation)
		ctx, p.cancel = context.WithCancel(ws.ctx)
		ws.pollers[key] = p
		ws.running.Go(func() { p.run(ctx) })
	}
	p.add(w, call)
	return nil
}

// leave takes a watcher away from those of its read. The last one ends the poller.
func (ws *Watches) leave(w *Watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if p := w.at; p.remove(w) == 0 {
		ws.forget(p)
	}
}

// end lets nobody join a poller any more.
func (ws *Watches) end(p *poller) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.forget(p)
}

// forget ends a poller, with the lock held.
func (ws *Watches) forget(p *poller) {
	if ws.pollers[p.key] == p {
		delete(ws.pollers, p.key)
	}
	p.cancel()
}
