// Package outcome keeps what became of writes, for the caller that asks again: a
// write that was named (an idempotency key) or that a client repeats because it
// gave up waiting gets the outcome of the first, and is not made twice.
package outcome

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// CacheOutcome is what an answer's Cache is that is the outcome of an earlier request.
const CacheOutcome = "outcome"

// A Config says what a Keeper keeps. Zero values mean the defaults.
type Config struct {
	// Life is how long the outcome of a named write is kept: 24 h.
	Life time.Duration
	// Undelivered is how long the outcome of a write without a name is kept for the
	// client that gave up waiting for it: 2 min.
	Undelivered time.Duration
	// Grace is how long a write that has not been sent goes on waiting after its
	// caller has left: 30 s.
	Grace time.Duration
	// Most bounds the outcomes of all callers, CallerMost those of one: 10,000 and
	// 2,500. Named outcomes are never dropped before their time: a new name is
	// refused instead.
	Most, CallerMost int
	// Bytes bounds the bodies that are kept: 32 MiB. An outcome beyond it is kept
	// without its body.
	Bytes int64
	// Shared keeps outcomes for all replicas; nil for this one alone.
	Shared Shared
	// SharedBodies keeps the Dashboard's own words there, too: bodies of answers, and
	// messages. They can hold secrets: it is for a Shared that encrypts.
	SharedBodies bool
}

func (c Config) complete() Config {
	def(&c.Life, 24*time.Hour)
	def(&c.Undelivered, 2*time.Minute)
	def(&c.Grace, 30*time.Second)
	def(&c.Most, 10_000)
	def(&c.CallerMost, max(1, c.Most/4))
	def(&c.Bytes, 32<<20)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// A Keeper keeps outcomes. It is safe for concurrent use.
type Keeper struct {
	config Config

	mu      sync.Mutex
	entries map[digest]*entry
	places  map[digest]*place // of the writes without a name
	callers map[string]int    // entries by caller
	bytes   int64             // of the bodies kept
	sweep   time.Time         // when expired entries are looked for next
	closed  bool
	running sync.WaitGroup  // writes
	behind  sync.WaitGroup  // what is told to the store
	closing context.Context // ends when no write is under way any more
	stop    context.CancelFunc
	// lets ends when no new write is let in: what another replica makes is waited for no more.
	lets context.Context
	last context.CancelFunc
}

// An entry is one write and what became of it.
type entry struct {
	write   Write
	content digest
	key     digest
	cancel  context.CancelFunc
	waiting int         // callers that wait for the outcome
	grace   *time.Timer // runs while nobody waits

	// delivering counts the callers that are being told the outcome. told is closed when
	// it is known whether they have it; nil while nobody is being told.
	delivering int
	told       chan struct{}

	// sharedKey is where the store has the write, and holder who makes it there.
	// published: the outcome stands there. follows: it is another replica's.
	// delivered: a caller has it. unheard: whether the store has the write is not known; it
	// may come there until late.
	sharedKey, holder                      string
	published, follows, delivered, unheard bool
	late                                   time.Time
	// revoked: nothing is to be sent any more.
	revoked atomic.Bool

	done    chan struct{} // closed with the next two set
	answer  *broker.Answer
	fault   error
	expires time.Time // zero while the write is under way
	bytes   int64     // of the answer's body, while it is kept
}

// New makes a Keeper.
func New(c Config) *Keeper {
	closing, stop := context.WithCancel(context.Background())
	lets, last := context.WithCancel(context.Background())
	return &Keeper{
		config: c.complete(), entries: make(map[digest]*entry), places: make(map[digest]*place), callers: make(map[string]int),
		closing: closing, stop: stop, lets: lets, last: last,
	}
}

// Grace is how long a write that has not been sent goes on waiting after its caller has
// left.
func (k *Keeper) Grace() time.Duration { return k.config.Grace }

// A Result is the outcome of a write.
type Result struct {
	Answer *broker.Answer
	// Again tells that the outcome is that of an earlier request.
	Again bool

	keeper *Keeper
	entry  *entry
}

// Delivering says that the caller is being told the outcome. settle says, once, whether
// it has it then. The same write without a name waits until that is settled, and is a
// new one if it is: two reboots that are wanted are two.
func (r *Result) Delivering() (settle func(delivered bool)) {
	k, e := r.keeper, r.entry
	if e.write.Name != "" {
		return func(bool) {}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e.delivering++; e.told == nil {
		e.told = make(chan struct{})
	}
	return func(delivered bool) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if delivered {
			k.forget(e)
			k.forgetEverywhere(e)
		}
		if e.delivering--; e.delivering == 0 || delivered && e.told != nil {
			k.settled(e)
		}
	}
}

// settled lets those go on who wait for the delivery of an outcome, with the lock held.
func (k *Keeper) settled(e *entry) {
	if e.told != nil {
		close(e.told)
		e.told = nil
	}
}

// A Maker makes the write. Its context ends when the write has to be given up, which
// is later than the caller's own: a write that has been sent is finished.
type Maker func(ctx context.Context) (*broker.Answer, error)

// Do makes a write, or gives the outcome of the same one before. It returns when
// the outcome is known or ctx ends; in the second case the write goes on, and the
// fault's RetryAfter says when to ask again. The error is a *fault.Error. A Result
// comes with an error, too: a failure is an outcome.
func (k *Keeper) Do(ctx context.Context, w Write, how Maker) (*Result, error) {
	if f := w.check(); f != nil {
		return nil, f
	}
	var e *entry
	var again bool
	for {
		var told chan struct{}
		var f *fault.Error
		if e, again, told, f = k.enter(ctx, w, how); f != nil {
			return nil, f
		}
		if told == nil && (!again || k.stands(ctx, &w, e)) {
			break
		}
		if told == nil {
			k.dismiss(e)
			continue
		}
		select {
		case <-told:
		case <-ctx.Done():
			return nil, underWay(&w, ctx.Err())
		}
	}
	select {
	case <-e.done:
		answer, err := k.leave(e)
		again = again || e.follows
		if again && answer != nil {
			kept := *answer
			kept.Cache, kept.Attempts, kept.Queue = CacheOutcome, nil, 0
			answer = &kept
		}
		return &Result{Answer: answer, Again: again, keeper: k, entry: e}, err
	case <-ctx.Done():
		_, _ = k.leave(e)
		return nil, underWay(&w, ctx.Err())
	}
}

// enter gives the entry of a write: that of the same write before, or a new one
// whose write has begun. With told it gives none: the outcome of the write before is
// being delivered, and what becomes of that decides.
func (k *Keeper) enter(ctx context.Context, w Write, how Maker) (_ *entry, again bool, told chan struct{}, _ *fault.Error) {
	content := w.content()
	key := w.key(content)
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return nil, false, nil, draining(&w)
	}
	if now.After(k.sweep) {
		k.expire(now)
	}
	if w.Name == "" {
		k.supersede(&w, content)
	}
	if e := k.entries[key]; e != nil && (e.expires.IsZero() || now.Before(e.expires)) {
		if e.content != content {
			return nil, false, nil, reused(&w)
		}
		if e.told != nil {
			return nil, false, e.told, nil
		}
		e.waiting++
		if e.grace != nil {
			e.grace.Stop()
			e.grace = nil
		}
		return e, true, nil, nil
	} else if e != nil {
		k.forget(e)
	}
	if f := k.room(&w); f != nil {
		return nil, false, nil, f
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if !w.Finish.IsZero() {
		run, cancel = context.WithDeadline(context.WithoutCancel(ctx), w.Finish)
	}
	e := &entry{write: w, content: content, key: key, cancel: cancel, waiting: 1, done: make(chan struct{})}
	e.write.Body = nil // only its digest is needed from here on
	k.entries[key] = e
	k.callers[w.Caller]++
	if w.Name == "" {
		k.stand(e)
	}
	k.running.Add(1)
	go k.run(run, e, how)
	return e, false, nil, nil
}

// run makes the write and keeps its outcome.
func (k *Keeper) run(ctx context.Context, e *entry, how Maker) {
	defer k.running.Done()
	defer e.cancel()
	answer, err := k.make(ctx, e, how)
	k.mu.Lock()
	defer k.mu.Unlock()
	e.answer, e.fault = answer, err
	e.expires = time.Now().Add(k.keptFor(&e.write))
	if e.grace != nil {
		e.grace.Stop()
	}
	if answer != nil {
		e.bytes = int64(len(answer.Body))
		k.bytes += e.bytes
	}
	if retryable(err) || e.follows { // the store knows what another replica has made
		k.forget(e)
	}
	close(e.done)
}

// leave counts one caller less, and gives the outcome where it is known. When
// nobody waits any more, a write that has not been sent goes on for the grace. An
// outcome that is too large to be kept loses its body with the last who waited.
func (k *Keeper) leave(e *entry) (*broker.Answer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answer, err := e.answer, e.fault
	if e.waiting--; e.waiting > 0 {
		return answer, err
	}
	switch {
	case e.expires.IsZero():
		e.grace = time.AfterFunc(k.config.Grace, e.cancel)
	case e.bytes > 0 && k.bytes > k.config.Bytes:
		short := *answer
		short.Body = nil
		e.answer, k.bytes, e.bytes = &short, k.bytes-e.bytes, 0
	}
	return answer, err
}

// dismiss leaves an entry that does not count any more.
func (k *Keeper) dismiss(e *entry) {
	_, _ = k.leave(e)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget(e)
}

// forget drops an entry, with the lock held. A write under way goes on.
func (k *Keeper) forget(e *entry) {
	if k.entries[e.key] != e {
		return
	}
	delete(k.entries, e.key)
	k.withdraw(e)
	k.bytes, e.bytes = k.bytes-e.bytes, 0
	if k.callers[e.write.Caller]--; k.callers[e.write.Caller] == 0 {
		delete(k.callers, e.write.Caller)
	}
}

// sweepEvery is how often expired entries are looked for.
const sweepEvery = 10 * time.Second

// expire forgets what is older than its life, with the lock held.
func (k *Keeper) expire(now time.Time) {
	k.sweep = now.Add(sweepEvery)
	for _, e := range k.entries {
		if !e.expires.IsZero() && !now.Before(e.expires) {
			k.forget(e)
		}
	}
}

// room says whether one more outcome can be kept, with the lock held. Outcomes
// without a name make room; named ones stay for their life.
func (k *Keeper) room(w *Write) *fault.Error {
	full := func() bool {
		return len(k.entries) >= k.config.Most || k.callers[w.Caller] >= k.config.CallerMost
	}
	if !full() {
		return nil
	}
	for _, e := range k.entries {
		if e.write.Name == "" && !e.expires.IsZero() && e.write.Caller == w.Caller {
			k.forget(e)
		}
	}
	if !full() {
		return nil
	}
	return &fault.Error{Kind: fault.BudgetExhausted, Reason: "OUTCOMES_FULL", Operation: w.Operation, RetryAfter: time.Minute,
		Detail: "too many outcomes of writes are kept already; nothing was sent; come back later, or make the write without an idempotency key"}
}

// Close lets no new write in, and returns when those under way are done.
func (k *Keeper) Close() {
	k.mu.Lock()
	k.closed = true
	k.last()
	k.mu.Unlock()
	k.running.Wait()
	k.mu.Lock()
	k.stop()
	k.mu.Unlock()
	k.behind.Wait()
}
