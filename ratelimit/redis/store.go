package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/merakibroker/merakibroker/ratelimit"
)

// Store is the Scheduler of several replicas. It has one goroutine, which ends
// with Close.
type Store struct {
	config    Config
	id        string // of this replica; it means nothing, and no other has it
	client    goredis.UniversalClient
	script    *goredis.Script
	heartbeat *goredis.Script
	breaker   *breaker
	steps     atomic.Uint64

	mu      sync.Mutex
	notes   *notes
	members int
	heard   time.Time // when members was last heard
	since   time.Time // since when it is heard without a gap
	// hearings are those within presence.
	hearings []hearing

	stop func()
	done chan struct{}
}

var _ ratelimit.Scheduler = (*Store)(nil)

// New returns a Scheduler that shares its budgets through the store. It waits for
// the first connection for up to a second, or the time of a step where that is
// longer; a store that is not there is no error: the replica goes on alone until it is.
func New(ctx context.Context, config Config) (*Store, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	s, err := newStore(config)
	if err != nil {
		return nil, err
	}
	if err := s.announce(ctx, max(firstTimeout, config.Timeout)); err != nil {
		s.goAlone(s.wall(), "", err)
	}
	ctx, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(s.done)
		watch(ctx, s.breaker, heartbeat, s.probe,
			func(err error) { s.goAlone(s.wall(), "", err) }, s.comeBack)
	}()
	return s, nil
}

// newStore is a Store that nobody watches.
func newStore(config Config) (*Store, error) {
	notes, err := newNotes()
	if err != nil {
		return nil, err
	}
	return &Store{
		config:    config,
		id:        rand.Text()[:10],
		client:    config.Client,
		script:    goredis.NewScript(bucketSource + queueSource),
		heartbeat: goredis.NewScript(heartbeatSource),
		breaker:   newBreaker(),
		notes:     notes,
		done:      make(chan struct{}),
	}, nil
}

// wall is the time for what has no caller.
func (s *Store) wall() time.Time {
	if s.config.clock != nil {
		return s.config.clock()
	}
	return time.Now()
}

// comeBack ends an outage.
func (s *Store) comeBack() {
	now := s.wall()
	if s.breaker.restore(now) {
		s.config.Logger.Info("the store of the budgets is back", "replicas_heard", s.membership())
	}
}

// Pull implements ratelimit.Scheduler. It never fails: without the store, this
// replica's own part is granted.
func (s *Store) Pull(ctx context.Context, now time.Time, ask ratelimit.Ask) (ratelimit.Grant, error) {
	b := ask.Budget
	if !valid(b) {
		return ratelimit.Grant{Again: time.Second, State: ratelimit.State{Ceiling: b.Rate, Burst: b.Burst}}, nil
	}
	if o := s.breaker.alone(); o != nil {
		return s.pullAlone(ctx, o, now, ask), nil
	}
	began := time.Now()
	grant, err := s.pullShared(ctx, now, ask)
	if err != nil {
		now = now.Add(time.Since(began))
		return s.pullAlone(ctx, s.goAlone(now, b.Key, err), now, ask), nil
	}
	return grant, nil
}

// valid tells whether a budget lets anything through at all. The script divides by
// its rate.
func valid(b ratelimit.Budget) bool {
	return b.Rate > 0 && b.Burst > 0 && !math.IsInf(b.Rate+b.Burst, 0)
}

// pullShared pulls from the store.
func (s *Store) pullShared(ctx context.Context, now time.Time, ask ratelimit.Ask) (ratelimit.Grant, error) {
	b := ask.Budget
	r := s.feedback(now, b.Key)
	ask, more := s.first(now, ask)
	if owed := r.stopped.Sub(now); owed > 0 {
		// The stop came while the store was away; it has to know before it grants.
		if _, err := s.step(ctx, s.key(b.Key), b, feedback{sinceGrant: r.sinceGrant}, "stop", owed.Microseconds()); err != nil {
			return ratelimit.Grant{}, err
		}
	}
	args := make([]any, 0, 2+5*len(ask.Waiting))
	args = append(args, max(0, ask.Most), more)
	for i, turn := range s.turns(now, ask) {
		w := ask.Waiting[i]
		args = append(args, int(w.Priority), w.Caller, max(0, w.Count), number(w.Share()), turn)
	}
	a, err := s.step(ctx, s.key(b.Key), b, r, "pull", args...)
	if err != nil {
		return ratelimit.Grant{}, err
	}
	classes, err := a.classes(ask)
	if err != nil {
		return ratelimit.Grant{}, err
	}
	grant := ratelimit.Grant{Classes: classes, Again: a.again}
	if a.again < 0 {
		grant.Again = -1
	}
	grant.State = s.hear(now, b, r, a)
	s.learn(now, ask, classes, a)
	return grant, nil
}

// first bounds an ask to the classes that come first, as far as this replica knows
// the order of the queue. It returns how many more there are.
func (s *Store) first(now time.Time, ask ratelimit.Ask) (ratelimit.Ask, int) {
	if len(ask.Waiting) <= ratelimit.MostClasses {
		return ask, 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, more := s.notes.of(now, ask.Budget.Key), 0
	ask.Waiting, more = ratelimit.First(ask.Waiting, func(caller string) float64 { return max(k.virtual, k.finish[caller]) })
	return ask, more
}

// turns are the numbers of the last slots of the classes of an ask at this replica.
func (s *Store) turns(now time.Time, ask ratelimit.Ask) []int64 {
	turns := make([]int64, len(ask.Waiting))
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.notes.of(now, ask.Budget.Key)
	for i, w := range ask.Waiting {
		turns[i] = k.turns[w.Class]
	}
	return turns
}

// learn notes what the store tells of the order of the queue. It is right for the
// classes of this ask, so one that other replicas have served meanwhile does not
// stand before the others a second time.
func (s *Store) learn(now time.Time, ask ratelimit.Ask, granted []ratelimit.Class, a result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.notes.of(now, ask.Budget.Key)
	for i, class := range granted {
		k.took(class, a.turn-int64(len(granted)-1-i))
	}
	if len(a.finish) == 0 {
		k.virtual, k.finish = 0, nil
		return
	}
	k.virtual = a.virtual
	if k.finish == nil {
		k.finish = make(map[string]float64)
	}
	for i, w := range ask.Waiting {
		k.finish[w.Caller] = a.finish[i]
	}
	maps.DeleteFunc(k.finish, func(_ string, finish float64) bool { return finish <= k.virtual })
}

// feedback takes what there is to tell of a budget.
func (s *Store) feedback(now time.Time, key string) feedback {
	past := s.breaker.history()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.notes.of(now, key).feedback(now, past)
}

// hear notes the answer to a step.
func (s *Store) hear(now time.Time, b ratelimit.Budget, r feedback, a result) ratelimit.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := a.state(now, kept(b, s.config.Replicas), max(1, s.members))
	s.notes.of(now, b.Key).hear(now, r, state, a, s.config.Timeout)
	return state
}

// pullAlone pulls from this replica's part.
func (s *Store) pullAlone(ctx context.Context, o *outage, now time.Time, ask ratelimit.Ask) ratelimit.Grant {
	key := ask.Budget.Key
	ask.Budget = s.divide(o, now, ask.Budget)
	grant, err := o.local.Pull(ctx, now, ask)
	if err != nil {
		return ratelimit.Grant{Again: time.Second}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes.of(now, key).alone += len(grant.Classes)
	grant.State.Replicas = max(1, s.members)
	return grant
}

// divide returns this replica's part of a budget, and sees to it that it begins
// where the store left off: with the spare, and with a stop that lasts.
func (s *Store) divide(o *outage, now time.Time, b ratelimit.Budget) ratelimit.Budget {
	peers, _ := s.peers(now)
	s.mu.Lock()
	k, n := s.notes.of(now, b.Key), s.config.Replicas
	own := spare(b.Burst, n)
	if peers > n { // more than were to be expected have to do with the same spares
		own *= float64(n) / float64(peers)
	}
	pace, stopped, tokens := k.pace(now), k.state.StoppedUntil, k.start(o.since, own)
	s.mu.Unlock()
	b = o.divided(b, pace)
	o.local.Open(o.since, b, tokens)
	if stopped.After(now) {
		o.local.Hold(now, b, stopped)
	}
	return b
}

// Stop implements ratelimit.Scheduler. All replicas stop.
func (s *Store) Stop(ctx context.Context, now time.Time, b ratelimit.Budget, d time.Duration) {
	if !valid(b) {
		return
	}
	d = min(max(0, d), 12*time.Hour)
	o := s.breaker.alone()
	if o == nil {
		r := s.feedback(now, b.Key)
		d = max(d, r.stopped.Sub(now))
		began := time.Now()
		a, err := s.step(ctx, s.key(b.Key), b, r, "stop", d.Microseconds())
		if err == nil {
			s.hear(now, b, r, a)
			return
		}
		o = s.goAlone(now.Add(time.Since(began)), b.Key, err)
	}
	o.local.Stop(ctx, now, s.divide(o, now, b), d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.notes.of(now, b.Key); now.Add(d).After(k.stopped) {
		k.stopped = now.Add(d)
	}
}

// Succeed implements ratelimit.Scheduler. The store hears of it with the next
// step, if there is a rate to recover.
func (s *Store) Succeed(ctx context.Context, now time.Time, b ratelimit.Budget) {
	if o := s.breaker.alone(); o != nil {
		o.local.Succeed(ctx, now, s.divide(o, now, b))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.notes.of(now, b.Key); k.state.Rate < k.state.Ceiling {
		k.successes++
	}
}

// Refund implements ratelimit.Scheduler. The store hears of it with the next step.
func (s *Store) Refund(ctx context.Context, now time.Time, b ratelimit.Budget, n int, granted time.Time) {
	if n <= 0 || !valid(b) {
		return
	}
	o := s.breaker.alone()
	alone := o != nil && !granted.Before(o.since)
	if alone {
		o.local.Refund(ctx, now, s.divide(o, now, b), n, granted)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.notes.of(now, b.Key)
	if alone {
		k.alone = max(0, k.alone-n)
	} else {
		k.refund(n, granted)
	}
}

// Peek implements ratelimit.Scheduler.
func (s *Store) Peek(now time.Time, b ratelimit.Budget) ratelimit.State {
	if o := s.breaker.alone(); o != nil {
		state := o.local.Peek(now, s.divide(o, now, b))
		state.Replicas = max(1, s.membership())
		return state
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.notes.of(now, b.Key)
	state := k.peek(now, kept(b, s.config.Replicas))
	state.Replicas, state.Shared = max(1, s.members), true
	return state
}

// Stats are for metrics.
type Stats struct {
	Steps    uint64 // round trips to the store for a budget
	Outages  uint64 // how often this replica has gone on alone
	Replicas int    // as last heard
	Shared   bool   // false while the store is out of reach
}

// Stats tells how the store is used.
func (s *Store) Stats() Stats {
	return Stats{
		Steps: s.steps.Load(), Outages: s.breaker.history().outages,
		Replicas: max(1, s.membership()), Shared: s.breaker.alone() == nil,
	}
}

// Close says goodbye to the store, if it is there, and ends the goroutine.
func (s *Store) Close() error {
	s.stop()
	<-s.done
	var err error
	if s.breaker.alone() == nil {
		ctx, cancel := context.WithTimeout(context.Background(), s.config.Timeout)
		defer cancel()
		err = s.client.ZRem(ctx, s.membersKey(), s.id).Err()
	}
	return errors.Join(err, s.client.Close())
}
