package redis

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

const (
	// patience is a timeout that a busy machine keeps, too, when nothing is wrong.
	patience = 250 * time.Millisecond
	// rounding is how far a decision may lie from when the test takes it to have been.
	rounding = 10 * time.Millisecond
)

// A crowd draws on one budget through several replicas as fast as it may.
type crowd struct {
	t      *testing.T
	stores []*Store
	start  time.Time
	stop   func()
	done   sync.WaitGroup

	mu    sync.Mutex
	bound ratelimittest.Bound
}

// draw lets a crowd begin.
func draw(t *testing.T, b ratelimit.Budget, stores ...*Store) *crowd {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := &crowd{t: t, stores: stores, start: time.Now(), stop: stop}
	c.bound = ratelimittest.Bound{Rate: b.Rate, Burst: b.Burst + b.Rate*rounding.Seconds()}
	for _, s := range stores {
		c.done.Go(func() { c.pull(ctx, s, b) })
	}
	t.Cleanup(func() {
		stop()
		c.done.Wait()
	})
	return c
}

func (c *crowd) pull(ctx context.Context, s *Store, b ratelimit.Budget) {
	for {
		began := time.Now()
		g, err := s.Pull(ctx, began, ratelimit.Ask{
			Budget:  b,
			Waiting: []ratelimit.Waiting{{Class: ratelimit.Class{Priority: ratelimit.Normal, Caller: "a"}, Count: 100}},
		})
		if err != nil {
			c.t.Error(err)
			return
		}
		took := time.Since(began)
		at := began // when it was decided: alone, at the time that was given
		switch {
		case g.State.Shared:
			at = s.decided(b)
		case took >= patience/2:
			at = began.Add(took) // or when the store had been given up
		}
		c.mu.Lock()
		for range g.Classes {
			c.bound.Leave(at.Sub(c.start))
		}
		c.mu.Unlock()
		timer := time.NewTimer(g.Again)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// decided is when the store granted the last slots here.
func (s *Store) decided(b ratelimit.Budget) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, _ := s.notes.of(time.Now(), b.Key).last()
	return time.UnixMicro(g.at)
}

// left is how many slots were granted so far.
func (c *crowd) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bound.Left()
}

// goesOn waits until so many more slots are granted. That there are not too many is
// what end checks, exactly; how long they take on a busy machine says nothing.
func (c *crowd) goesOn(what string, slots int) {
	c.t.Helper()
	before := c.left()
	storetest.Eventually(c.t, 30*time.Second, what, func() bool { return c.left() >= before+slots })
}

// end ends the crowd, and holds all that was granted against the bound.
func (c *crowd) end() {
	c.t.Helper()
	c.stop()
	c.done.Wait()
	if err := c.bound.Check(); err != nil {
		c.t.Error(err)
	}
}

// shared tells whether all replicas use the store.
func (c *crowd) shared() bool {
	for _, s := range c.stores {
		if !s.Stats().Shared {
			return false
		}
	}
	return true
}

// alone tells whether none does.
func (c *crowd) alone() bool {
	for _, s := range c.stores {
		if s.Stats().Shared {
			return false
		}
	}
	return true
}

// grown waits until a server has been up for long enough to be believed that a
// budget it does not know has never been used.
func (s *server) grown() {
	s.t.Helper()
	store := s.store(1)
	b := ratelimit.Budget{Rate: 10, Burst: 8}
	n := 0
	storetest.Eventually(s.t, time.Minute, "a budget that was never used is full", func() bool {
		n++
		b.Key = s.t.Name() + time.Now().String()
		return len(ask(s.t, store, b, 1).Classes) == 1
	})
	if err := store.Close(); err != nil {
		s.t.Error(err)
	}
}

// The store goes, in every way there is, and comes back, in every way there is,
// while three replicas ask for all they can get.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		go_, back func(*server)
	}{
		{"killed, back without its data", (*server).Kill, (*server).Start},
		{"paused", (*server).Pause, (*server).Resume},
		{"read only", func(s *server) { s.follow("127.0.0.1", "1") }, func(s *server) { s.follow("NO", "ONE") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			patient := func(c *Config) { c.Timeout = patience }
			stores := []*Store{s.store(3, patient), s.store(3, patient), s.store(3, patient)}
			for _, store := range stores { // all have heard of each other
				if err := store.announce(t.Context(), time.Minute); err != nil {
					t.Fatal(err)
				}
			}
			crowd := draw(t, organization, stores...)
			crowd.goesOn("slots with the store", 15)
			c.go_(s)
			storetest.Eventually(t, 30*time.Second, "all replicas go on alone", crowd.alone)
			crowd.goesOn("slots without the store", 15)
			c.back(s)
			storetest.Eventually(t, 30*time.Second, "all replicas are back", crowd.shared)
			crowd.goesOn("slots with the store again", 10)
			crowd.end()
			for i, store := range stores {
				t.Logf("replica %d: %+v", i, store.Stats())
			}
		})
	}
}

// follow makes the server the replica of another, which takes no writes.
func (s *server) follow(host, port string) {
	s.t.Helper()
	if err := s.Client().ReplicaOf(context.Background(), host, port).Err(); err != nil {
		s.t.Fatal(err)
	}
}

// The first call after the store has gone waits for the timeout and no longer; the
// next does not wait at all.
func TestFirstCallAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ gone, back func(*server) }{
		"killed": {(*server).Kill, func(*server) {}}, "paused": {(*server).Pause, (*server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			const timeout = 3 * time.Second // of which a busy machine needs a part only
			store := s.store(3, func(c *Config) { c.Timeout = timeout })
			c.gone(s)
			defer c.back(s)
			began := time.Now()
			g := ask(t, store, organization, 1)
			first := time.Since(began)
			if len(g.Classes) != 1 || g.State.Shared {
				t.Fatalf("the first pull gave %d slots, shared %v", len(g.Classes), g.State.Shared)
			}
			began = time.Now()
			g = ask(t, store, organization, 1)
			if second := time.Since(began); first > 2*timeout || second > timeout/2 {
				t.Errorf("the first pull took %v, the second %v", first, second)
			}
			if g.State.Shared || g.Again > 400*time.Millisecond {
				t.Errorf("the second pull gave %d slots, again in %v", len(g.Classes), g.Again)
			}
		})
	}
}

// Nobody is at home: a replica starts alone, with a part that leaves room for the others.
func TestNeverThere(t *testing.T) {
	t.Parallel()
	store, err := New(t.Context(), Config{Client: connect(t, "127.0.0.1:1", 0), Replicas: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	g := ask(t, store, organization, 1)
	if g.State.Shared || g.State.Rate > 10.0/3 || len(g.Classes) != 1 {
		t.Errorf("%d slots, state %+v", len(g.Classes), g.State)
	}
}

// A server that answers, but not as ours would.
func TestNonsense(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer func() { _ = conn.Close() }()
				buffer := make([]byte, 4096)
				for {
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					if _, err := conn.Write([]byte("+fine\r\n")); err != nil {
						return
					}
				}
			})
		}
	})
	store, err := New(t.Context(), Config{Client: connect(t, listener.Addr().String(), 0), Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	g := ask(t, store, organization, 1)
	if g.State.Shared || len(g.Classes) != 1 {
		t.Errorf("%d slots, shared %v", len(g.Classes), g.State.Shared)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	conns.Wait()
}

// A stop that lasts when the store goes, or comes while it is away, is kept.
func TestStopAcrossOutage(t *testing.T) {
	t.Parallel()
	s := serve(t)
	// Longer than a busy machine takes for a step, and stops longer than for the test.
	patient := func(c *Config) { c.Timeout = 2 * time.Second }
	const stop, most = 10 * time.Minute, 5 * time.Minute
	store, other := s.store(2, patient), s.store(2, patient)
	ask(t, store, organization, 1)
	store.Stop(t.Context(), time.Now(), organization, stop)
	s.Pause()
	g := ask(t, store, organization, 1)
	if len(g.Classes) != 0 || g.State.Shared || g.Again < most {
		t.Errorf("%d slots, again in %v, in a stop that the store told of", len(g.Classes), g.Again)
	}
	b := ratelimit.Budget{Key: "organization:2", Rate: 10, Burst: 8}
	store.Stop(t.Context(), time.Now(), b, stop)
	s.Resume()
	storetest.Eventually(t, 30*time.Second, "the replica is back", func() bool { return store.Stats().Shared && other.Stats().Shared })
	if g = ask(t, store, b, 1); len(g.Classes) != 0 || !g.State.Shared || g.Again < most {
		t.Errorf("%d slots, again in %v, in a stop that the store has not heard of", len(g.Classes), g.Again)
	}
	if g = ask(t, other, b, 1); len(g.Classes) != 0 || g.Again < most {
		t.Errorf("%d slots at the other replica, again in %v", len(g.Classes), g.Again)
	}
}

// What is in a key and is not ours does not stop anybody for long.
func TestGarbageInKey(t *testing.T) {
	t.Parallel()
	s := serve(t)
	store := s.store(1)
	if err := s.Client().Set(t.Context(), store.key(organization.Key), "\xc1 not ours", 0).Err(); err != nil {
		t.Fatal(err)
	}
	g := ask(t, store, organization, 1)
	if len(g.Classes) != 0 || !g.State.Shared || g.Again > 150*time.Millisecond {
		t.Errorf("%d slots, again in %v, shared %v", len(g.Classes), g.Again, g.State.Shared)
	}
}
