package batch

import (
	"context"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// everyMoment: of the moments, or steps, at which something can happen one in so many is
// tried, the first drawn by lot. All of them take a minute under the race detector.
const everyMoment = 80

// told collects what a list tells.
func told(ctx, lifetime context.Context, b *Batches, r Request) (out map[string]Result, err error) {
	out = make(map[string]Result)
	err = b.Apply(ctx, lifetime, r, func(results []Result) error {
		for _, x := range results {
			out[r.Writes[x.Index].ID] = x
		}
		return nil
	})
	return out, err
}

// noneIsLeft: no batch that nobody has confirmed stays at the Dashboard.
func noneIsLeft(t *testing.T, d *fakeDashboard) {
	t.Helper()
	for _, b := range d.batches {
		if !b.confirmed {
			t.Errorf("batch %s stays, not confirmed", b.id)
		}
	}
}

// A deafStore executes what it is asked, and from one step on to another nobody hears of it.
type deafStore struct {
	*fakeStore
	mu              sync.Mutex
	steps, from, to int
}

// unheard counts a step.
func (s *deafStore) unheard(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.steps++; s.steps > s.from && s.steps <= s.to {
		return errStoreGone
	}
	return err
}

func (s *deafStore) Begin(ctx context.Context, key string, record []byte, life time.Duration) ([]byte, error) {
	there, err := s.fakeStore.Begin(ctx, key, record, life)
	if err := s.unheard(err); err != nil {
		return nil, err
	}
	return there, nil
}

func (s *deafStore) Read(ctx context.Context, key string) ([]byte, error) {
	there, err := s.fakeStore.Read(ctx, key)
	return there, s.unheard(err)
}

func (s *deafStore) Hold(ctx context.Context, holder string, life time.Duration) error {
	return s.unheard(s.fakeStore.Hold(ctx, holder, life))
}

func (s *deafStore) Renew(ctx context.Context, holder string, life time.Duration) error {
	return s.unheard(s.fakeStore.Renew(ctx, holder, life))
}

func (s *deafStore) Held(ctx context.Context, holder string) (bool, error) {
	held, err := s.fakeStore.Held(ctx, holder)
	return held, s.unheard(err)
}

// TestTheStoreIsNotHeard for one step of a replica, or for many: what it has executed then
// does not make anything twice, nor anything that is told untrue.
func TestTheStoreIsNotHeard(t *testing.T) {
	t.Parallel()
	for _, length := range []int{1, 12} {
		for at, over := mathrand.IntN(everyMoment), false; !over && !t.Failed(); at += everyMoment {
			synctest.Test(t, func(t *testing.T) {
				d, s := newFake(), &deafStore{fakeStore: newFakeStore(), from: at, to: at + length}
				a, err := New(Config{Contract: theContract(), Dashboard: d, Shared: s, SharedMessages: true})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				b := newReplica(d, s.fakeStore, nil).batches(t)
				defer b.Close()
				r := Request{Caller: "me", Name: "key", Writes: mixed()}
				if out, err := told(t.Context(), t.Context(), a, r); err == nil {
					truth(t, d, r.Writes, out, false)
				}
				truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
				s.mu.Lock()
				over, s.to = s.steps <= s.from, 0
				s.mu.Unlock()
				truth(t, d, r.Writes, apply(t, a, t.Context(), r), true)
				if t.Failed() {
					t.Logf("it is not heard from step %d on, for %d", at, length)
				}
			})
		}
	}
}

// TestTheCallerLeaves at a moment, or its replica stops, and it comes again at the others at
// once, and at the first.
func TestTheCallerLeaves(t *testing.T) {
	t.Parallel()
	for _, latency := range []time.Duration{100 * time.Millisecond, 3 * time.Second} {
		for _, stops := range []bool{false, true} {
			for n, over := mathrand.IntN(everyMoment), false; !over && !t.Failed(); n += everyMoment {
				synctest.Test(t, func(t *testing.T) {
					d, s := newFake(), newFakeStore()
					d.latency = latency
					var all []*Batches
					for range 3 {
						all = append(all, newReplica(d, s, nil).batches(t))
						defer all[len(all)-1].Close()
					}
					r := Request{Caller: "me", Name: "key", Writes: mixed()}
					ctx, leave := context.WithTimeout(t.Context(), time.Duration(n)*latency/4)
					defer leave()
					out, err := told(ctx, context.Background(), all[0], r)
					if over = ctx.Err() == nil; err == nil {
						truth(t, d, r.Writes, out, false)
					}
					var readers sync.WaitGroup
					if stops {
						readers.Go(all[0].Close)
						all = all[1:]
					}
					for _, b := range all {
						readers.Go(func() { truth(t, d, r.Writes, apply(t, b, t.Context(), r), true) })
					}
					readers.Wait()
					noneIsLeft(t, d)
					if t.Failed() {
						t.Logf("latency %v, it stops: %v, after %d quarters of that", latency, stops, n)
					}
				})
			}
		}
	}
}

// TestTwoTakeOver at once from a replica that dies, or is stopped for a time, and one of
// them dies, too, or is stopped.
func TestTwoTakeOver(t *testing.T) {
	t.Parallel()
	for _, way := range []manner{{}, {late: true}, {partitioned: true}, {frozen: true}, {frozen: true, late: true}} {
		for at, died := mathrand.IntN(everyMoment), true; died && !t.Failed(); at += everyMoment {
			synctest.Test(t, func(t *testing.T) {
				d, s, end := newFake(), newFakeStore(), make(chan struct{})
				one, two, three := newReplica(d, s, end), newReplica(d, s, end), newReplica(d, s, end)
				one.at, one.manner, two.at, two.manner = at, way, at/2, way
				r := Request{Caller: "me", Name: "key", Writes: mixed()}
				all := []*Batches{one.batches(t), two.batches(t), three.batches(t)}
				ctx, leave := context.WithCancel(t.Context())
				var readers sync.WaitGroup
				read := func(b *Batches) {
					out, err := told(ctx, context.Background(), b, r)
					if err == nil && ctx.Err() == nil {
						truth(t, d, r.Writes, out, false)
					}
				}
				over := make(chan struct{})
				readers.Go(func() {
					defer close(over)
					read(all[0])
				})
				select {
				case <-one.cut:
				case <-over:
					died = false
				}
				readers.Go(func() { read(all[1]) })
				truth(t, d, r.Writes, apply(t, all[2], t.Context(), r), true)
				time.Sleep(3 * heldFor) // who was stopped goes on
				leave()
				close(end)
				readers.Wait()
				for _, b := range all {
					b.Close()
				}
				truth(t, d, r.Writes, apply(t, newReplica(d, s, nil).batches(t), t.Context(), r), true)
				if t.Failed() {
					t.Logf("%+v in step %d", way, at)
				}
			})
		}
	}
}

// A drainingDashboard takes no calls any more from a moment on, as the broker when its
// replica is about to stop.
type drainingDashboard struct {
	*fakeDashboard
	from time.Time
}

func (d drainingDashboard) Do(ctx context.Context, c *broker.Call) (*broker.Answer, error) {
	if !time.Now().Before(d.from) {
		return nil, fault.Stopping(c.Operation.GetId())
	}
	return d.fakeDashboard.Do(ctx, c)
}

// TestAReplicaDrains at a moment, also while it finds out about a POST whose answer was
// lost: nothing is said to be unknown that the next replica finds out, and no batch is left
// behind.
func TestAReplicaDrains(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		for n, over := mathrand.IntN(everyMoment/2), false; !over && !t.Failed(); n += everyMoment / 2 {
			synctest.Test(t, func(t *testing.T) {
				d, s, at := newFake(), newFakeStore(), time.Duration(n)*50*time.Millisecond
				if lost { // every other one is executed
					d.fate = func(op string, n int) (bool, *fault.Error) {
						now := n < 8 && op == "createOrganizationActionBatch"
						return !now || n%2 == 0, lostIf(now, &fault.Error{Kind: fault.OutcomeUnknown})
					}
				}
				a, err := New(Config{Contract: theContract(), Dashboard: drainingDashboard{d, time.Now().Add(at)}, Shared: s, SharedMessages: true})
				if err != nil {
					t.Fatal(err)
				}
				b := newReplica(d, s, nil).batches(t)
				defer b.Close()
				r := Request{Caller: "me", Name: "key", Writes: mixed()}
				life, stop := context.WithTimeout(t.Context(), at)
				defer stop()
				out, err := told(t.Context(), life, a, r)
				if over = life.Err() == nil; err == nil {
					truth(t, d, r.Writes, out, false)
				}
				var closes sync.WaitGroup
				closes.Go(func() {
					time.Sleep(time.Second)
					a.Close()
				})
				truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
				noneIsLeft(t, d)
				closes.Wait()
				if t.Failed() {
					t.Logf("answers are lost: %v, after %v", lost, at)
				}
			})
		}
	}
}
