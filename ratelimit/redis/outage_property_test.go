package redis

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

// Through outages that come at any time, that the replicas notice one after the
// other, and after which the store has its data or has not, no more leaves than
// burst + rate x t.
func TestBoundThroughOutages(t *testing.T) {
	t.Parallel()
	s := serve(t)
	for seed := range uint64(60) {
		if err := outages(t, s, seed); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}

// unwatched opens a Store whose outages the test decides on.
func (s *server) unwatched(t *testing.T, clock *ratelimittest.Clock, prefix string, replicas int) *Store {
	t.Helper()
	config := Config{
		Client:   connect(t, s.Address(), time.Minute),
		Replicas: replicas, Timeout: time.Minute, clock: clock.Now, Prefix: prefix,
	}
	if err := config.check(); err != nil {
		t.Fatal(err)
	}
	store, err := newStore(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.client.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func outages(t *testing.T, s *server, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 5))
	clock := ratelimittest.NewClock()
	clock.Advance(time.Duration(seed) * time.Hour) // keys of its own
	begin := clock.Now()
	replicas := 1 + random.IntN(4)
	expected := max(replicas, random.IntN(6))
	stores := make([]*Store, replicas)
	for i := range stores {
		stores[i] = s.unwatched(t, clock, fmt.Sprint("seed", seed), expected)
	}
	for _, store := range stores {
		if err := store.announce(t.Context(), time.Minute); err != nil {
			return err
		}
	}
	clock.Advance(settling)
	begin = clock.Now()
	for _, store := range stores { // all have heard of all
		if err := store.announce(t.Context(), time.Minute); err != nil {
			return err
		}
	}
	bound := ratelimittest.Bound{Rate: organization.Rate, Burst: organization.Burst}
	pull := func(store *Store) error {
		ask := ratelimit.Ask{Budget: organization, Most: random.IntN(9)}
		for c := range random.IntN(3) {
			ask.Waiting = append(ask.Waiting, ratelimit.Waiting{Class: ratelimit.Class{Caller: string(rune('a' + c))}, Count: random.IntN(9)})
		}
		g, err := store.Pull(t.Context(), clock.Now(), ask)
		for range g.Classes {
			bound.Leave(clock.Now().Sub(begin))
		}
		return err
	}
	for range 12 {
		// The store is well, for a while or hardly at all.
		for range random.IntN(1 + random.IntN(60)) {
			clock.Advance(time.Duration(random.ExpFloat64() * float64(40*time.Millisecond)))
			if err := pull(stores[random.IntN(replicas)]); err != nil {
				return err
			}
		}
		// It is gone; each replica notices when it asks.
		for range random.IntN(1 + random.IntN(80)) {
			clock.Advance(time.Duration(random.ExpFloat64() * float64(60*time.Millisecond)))
			store := stores[random.IntN(replicas)]
			// It is the heartbeat of all that it was heard just before.
			store.heard = clock.Now()
			store.goAlone(clock.Now(), organization.Key, errors.New("gone"))
			if err := pull(store); err != nil {
				return err
			}
		}
		if random.IntN(2) == 0 {
			if err := s.Client().Del(t.Context(), stores[0].key(organization.Key)).Err(); err != nil {
				return err
			}
		}
		// It is back; each replica notices within the second.
		for _, store := range stores {
			store.goAlone(clock.Now(), organization.Key, errors.New("gone")) // by its heartbeat at the latest
		}
		for _, i := range random.Perm(replicas) {
			for range random.IntN(10) {
				clock.Advance(time.Duration(random.ExpFloat64() * float64(20*time.Millisecond)))
				if err := pull(stores[random.IntN(replicas)]); err != nil {
					return err
				}
			}
			stores[i].comeBack()
		}
	}
	if bound.Left() < 50 {
		return fmt.Errorf("only %d left: nothing was tried", bound.Left())
	}
	return bound.Check()
}

// The parts never sum up to more than all.
func TestPart(t *testing.T) {
	t.Parallel()
	for replicas := 1; replicas <= 40; replicas++ {
		for heard := 0; heard <= replicas; heard++ {
			sum := float64(heard)*part(heard, true, replicas) + float64(replicas-heard)*part(0, false, replicas)
			if sum > 1+1e-9 {
				t.Errorf("%d of %d replicas were heard from: the parts sum up to %g", heard, replicas, sum)
			}
		}
		if p := part(replicas, true, replicas); p*float64(replicas) < 1-1e-9 {
			t.Errorf("%d replicas, all heard from: a part of %g leaves something over", replicas, p)
		}
		if p := part(replicas+3, true, replicas); p*float64(replicas+3) > 1+1e-9 {
			t.Errorf("%d replicas where %d were expected: a part of %g", replicas+3, replicas, p)
		}
		for _, burst := range []float64{1, 1.5, 2, 8, 80} {
			b := kept(ratelimit.Budget{Burst: burst}, replicas)
			if b.Burst < 1 || b.Burst+float64(replicas)*spare(burst, replicas) > burst+1e-9 {
				t.Errorf("a burst of %g for %d replicas: %g in the store, %g spare for each", burst, replicas, b.Burst, spare(burst, replicas))
			}
		}
	}
}
