package batch

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// A fakeStore is the store that replicas share.
type fakeStore struct {
	mu      sync.Mutex
	values  map[string][]byte
	expires map[string]time.Time
	err     error  // of all that is asked; nil while it is there
	full    bool   // no key that is new
	not     string // keys that begin so are out of reach; empty for none
}

func newFakeStore() *fakeStore {
	return &fakeStore{values: make(map[string][]byte), expires: make(map[string]time.Time)}
}

// there gives a value that has not expired, with the lock held.
func (s *fakeStore) there(key string) []byte {
	if at, ok := s.expires[key]; ok && time.Now().Before(at) {
		return s.values[key]
	}
	return nil
}

func (s *fakeStore) Begin(_ context.Context, key string, record []byte, life time.Duration) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.not != "" && strings.HasPrefix(key, s.not) {
		return nil, errStoreGone
	}
	if there := s.there(key); there != nil || s.err != nil {
		return there, s.err
	}
	if s.full {
		return nil, outcome.ErrFull
	}
	s.values[key], s.expires[key] = bytes.Clone(record), time.Now().Add(life)
	return nil, nil
}

func (s *fakeStore) Read(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there(key), s.err
}

func (s *fakeStore) Hold(_ context.Context, holder string, life time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return outcome.ErrFull
	}
	if s.err == nil {
		s.values["alive:"+holder], s.expires["alive:"+holder] = []byte("1"), time.Now().Add(life)
	}
	return s.err
}

func (s *fakeStore) Renew(_ context.Context, holder string, life time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.there("alive:"+holder) != nil {
		s.expires["alive:"+holder] = time.Now().Add(life)
	}
	return s.err
}

func (s *fakeStore) Held(_ context.Context, holder string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.there("alive:"+holder) != nil, s.err
}

func (*fakeStore) Replace(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, errors.ErrUnsupported
}
func (*fakeStore) Drop(context.Context, string, []byte) (bool, error) {
	return false, errors.ErrUnsupported
}

// A replica is one that a test can cut off, as if its process had been killed: nothing
// that it does afterwards reaches anybody.
type replica struct {
	*fakeDashboard
	store *fakeStore
	// at is the step, a call or a round trip to the store, in which it is cut off.
	at int
	manner
	cut   chan struct{}
	thaw  chan struct{} // closed when a replica that is frozen goes on
	end   chan struct{} // the test's
	mu    sync.Mutex
	steps int
}

// A manner is how a replica is cut off: late, when the step has been made; partitioned,
// from the store alone; asleep, so that the step is made, but later than the others wait;
// frozen, so that this is so of all its steps, as when its process is stopped for a time.
type manner struct{ late, partitioned, asleep, frozen bool }

func newReplica(d *fakeDashboard, s *fakeStore, end chan struct{}) *replica {
	return &replica{fakeDashboard: d, store: s, at: -1, cut: make(chan struct{}), thaw: make(chan struct{}), end: end}
}

// step makes a step, or not; false where nobody sees what came of it.
func (r *replica) step(store bool, do func()) bool {
	off := func() bool {
		select {
		case <-r.cut:
			return !r.asleep && !r.frozen && (store || !r.partitioned)
		default:
			return false
		}
	}
	r.mu.Lock()
	now := r.steps == r.at
	r.steps++
	if now && !r.late {
		if close(r.cut); r.frozen {
			time.AfterFunc(2*heldFor, func() { close(r.thaw) })
		}
	}
	r.mu.Unlock()
	thawed := func() {
		select {
		case <-r.cut:
			if r.frozen {
				<-r.thaw
			}
		default:
		}
	}
	thawed()
	if now && r.asleep {
		waited(context.Background(), 2*heldFor)
	}
	if off() {
		return false
	}
	do()
	if now && r.late {
		if close(r.cut); r.frozen {
			time.AfterFunc(2*heldFor, func() { close(r.thaw) })
		}
	}
	thawed()
	return !off()
}

func (r *replica) Do(ctx context.Context, c *broker.Call) (a *broker.Answer, err error) {
	if !r.step(false, func() { a, err = r.fakeDashboard.Do(ctx, c) }) {
		<-r.end
		return nil, &fault.Error{Kind: fault.Draining}
	}
	return a, err
}

func (r *replica) Begin(ctx context.Context, key string, record []byte, life time.Duration) (there []byte, err error) {
	if !r.step(true, func() { there, err = r.store.Begin(ctx, key, record, life) }) {
		return nil, errStoreGone
	}
	return there, err
}

func (r *replica) Read(ctx context.Context, key string) (there []byte, err error) {
	if !r.step(true, func() { there, err = r.store.Read(ctx, key) }) {
		return nil, errStoreGone
	}
	return there, err
}

func (r *replica) Hold(ctx context.Context, holder string, life time.Duration) (err error) {
	if !r.step(true, func() { err = r.store.Hold(ctx, holder, life) }) {
		return errStoreGone
	}
	return err
}

func (r *replica) Renew(ctx context.Context, holder string, life time.Duration) (err error) {
	if !r.step(true, func() { err = r.store.Renew(ctx, holder, life) }) {
		return errStoreGone
	}
	return err
}

func (r *replica) Held(ctx context.Context, holder string) (held bool, err error) {
	if !r.step(true, func() { held, err = r.store.Held(ctx, holder) }) {
		return false, errStoreGone
	}
	return held, err
}

func (*replica) Replace(context.Context, string, []byte, []byte, time.Duration) (bool, error) {
	return false, errors.ErrUnsupported
}
func (*replica) Drop(context.Context, string, []byte) (bool, error) {
	return false, errors.ErrUnsupported
}

var errStoreGone = errors.New("the store is gone")

func (r *replica) batches(t *testing.T) *Batches {
	t.Helper()
	b, err := New(Config{Contract: theContract(), Dashboard: r, Places: 3, Shared: r, SharedMessages: true})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
