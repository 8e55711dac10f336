package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// In a cluster every budget is on one node, whichever it is.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := serve(t, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")
	if err := s.Client().ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	storetest.Eventually(t, time.Minute, "the cluster is up", func() bool {
		return s.Client().Set(t.Context(), "any", "", time.Second).Err() == nil
	})
	shared := s.store(1, func(c *Config) {
		c.Client = connect(t, s.Address(), c.Timeout, cluster)
	})
	for i := range 20 {
		b := ratelimit.Budget{Key: fmt.Sprint("organization:", i), Rate: 10, Burst: 8}
		shared.Stop(t.Context(), time.Now(), b, time.Second)
		if g := ask(t, shared, b, 1); !g.State.Shared || g.State.Rate != 7 || len(g.Classes) != 0 {
			t.Errorf("%d slots, state %+v", len(g.Classes), g.State)
		}
	}
}

// A replica that is there is counted, and one that has said goodbye is not.
func TestMembers(t *testing.T) {
	t.Parallel()
	s := serve(t)
	a, b := s.store(3), s.store(3)
	if n := ask(t, b, organization, 1).State.Replicas; n != 2 {
		t.Errorf("%d replicas, want 2", n)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := a.announce(t.Context(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := a.Stats().Replicas; n != 1 {
		t.Errorf("%d replicas after one has left, want 1", n)
	}
}

// A server that has just started may have lost what it knew: what it does not
// know is empty, for as long as a bucket takes to fill.
func TestYoungServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	// A machine that is slow takes no part of the time that this bucket takes to fill.
	deep := ratelimit.Budget{Key: "organization:2", Rate: 10, Burst: 1000}
	if g := ask(t, s.store(1), deep, 9); len(g.Classes) != 0 || g.Again > 110*time.Millisecond {
		t.Errorf("%d slots of a server that has just started, again in %v", len(g.Classes), g.Again)
	}
	s.grown()
}

// Keys expire when they say nothing any more.
func TestExpiry(t *testing.T) {
	t.Parallel()
	s := serve(t)
	store := s.store(1)
	began := time.Now()
	ask(t, store, organization, 1)
	stopped := ratelimit.Budget{Key: "organization:2", Rate: 10, Burst: 8}
	store.Stop(t.Context(), time.Now(), stopped, time.Minute)
	for key, want := range map[string][2]time.Duration{
		store.key(organization.Key): {remembered, remembered + 3*time.Second},
		store.key(stopped.Key):      {2 * time.Minute, 3 * time.Minute},
		store.membersKey():          {presence, 2 * presence},
	} {
		ttl, err := s.Client().PTTL(t.Context(), key).Result()
		if err != nil || ttl+time.Since(began) < want[0] || ttl > want[1] {
			t.Errorf("%s expires in %v (%v), want it between %v", key, ttl, err, want)
		}
	}
}

// A call costs 1.0 to 1.9 commands, with all that there is to say of it.
func TestTrips(t *testing.T) {
	t.Parallel()
	s := serve(t)
	clock := ratelimittest.NewClock()
	var count counter
	var stores []ratelimit.Scheduler
	for range 3 {
		store := s.store(3, func(c *Config) {
			c.clock = clock.Now
		}, s.counted(&count))
		stores = append(stores, store)
	}
	normal := func(caller string) ratelimit.Class {
		return ratelimit.Class{Priority: ratelimit.Normal, Caller: caller}
	}
	before := count.commands.Load()
	r := ratelimittest.Simulation{
		Budget: organization, Server: ratelimit.Limit{Rate: 10, Burst: 10},
		Duration: 3 * time.Minute, Deadline: 5 * time.Second, Outside: 4, From: time.Minute, To: 2 * time.Minute,
		Loads: []ratelimittest.Load{
			{Replica: 0, Class: normal("a"), Rate: 9.6}, {Replica: 1, Class: normal("a"), Rate: 1.2},
			{Replica: 2, Class: normal("b"), Rate: 1.2},
		},
	}.Run(clock, stores)
	trips := float64(count.commands.Load()-before) / float64(r.Total)
	t.Logf("%.2f commands a call", trips)
	if trips > 1.9 {
		t.Errorf("%.2f commands a call, want 1.9 or less", trips)
	}
}

// What a step is told, what it keeps and what it looks at are bounded, however many
// classes wait: 900 callers once made steps of more than 50 ms, and so an outage.
func TestStepIsBounded(t *testing.T) {
	t.Parallel()
	s := serve(t)
	clock := ratelimittest.NewClock()
	var count counter
	ask := ratelimit.Ask{Budget: organization}
	for i := range 1000 {
		ask.Waiting = append(ask.Waiting, ratelimit.Waiting{Class: ratelimit.Class{Caller: fmt.Sprint("caller ", i)}, Count: 3})
	}
	var store *Store
	for range 3 {
		store = s.store(3, func(c *Config) { c.clock = clock.Now }, s.counted(&count))
		for range 5 {
			if _, err := store.Pull(t.Context(), clock.Now(), ask); err != nil {
				t.Fatal(err)
			}
			clock.Advance(100 * time.Millisecond)
		}
	}
	if n := count.longest.Load(); n > 20+5*ratelimit.MostClasses {
		t.Errorf("a step is told %d words", n)
	}
	kept, err := s.Client().Eval(t.Context(), "return #cmsgpack.unpack(redis.call('HGET', KEYS[1], 's')).waiting",
		[]string{store.key(organization.Key)}).Int()
	if err != nil || kept != ratelimit.MostClasses {
		t.Errorf("%d classes are kept (%v), want %d", kept, err, ratelimit.MostClasses)
	}
}

// The virtual finishes of callers that have gone are forgotten.
func TestCallersAreForgotten(t *testing.T) {
	t.Parallel()
	s := serve(t)
	clock := ratelimittest.NewClock()
	store := s.store(1, func(c *Config) { c.clock = clock.Now })
	for i := range 1000 {
		g, err := store.Pull(t.Context(), clock.Now(), ratelimit.Ask{Budget: organization, Waiting: []ratelimit.Waiting{
			{Class: ratelimit.Class{Caller: fmt.Sprint("caller ", i)}, Count: 1}, {Class: ratelimit.Class{Caller: "always"}, Count: 1},
		}})
		if err != nil || len(g.Classes) != 2 {
			t.Fatalf("%d slots, %v", len(g.Classes), err)
		}
		clock.Advance(200 * time.Millisecond)
	}
	if n, err := s.Client().HLen(t.Context(), store.key(organization.Key)).Result(); err != nil || n > 200 {
		t.Errorf("%d fields after a thousand callers, %v", n, err)
	}
}

// BenchmarkPull is a journey to a store on this machine: one call that waits, and
// is granted.
func BenchmarkPull(b *testing.B) {
	s := serve(b)
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			store := s.store(3)
			ask := ratelimit.Ask{Budget: ratelimit.Budget{Key: fmt.Sprint("wide", callers), Rate: 1e6, Burst: 1e6}, Most: 1}
			for i := range callers {
				ask.Waiting = append(ask.Waiting, ratelimit.Waiting{Class: ratelimit.Class{Caller: fmt.Sprint("caller ", i)}, Count: 3})
			}
			for b.Loop() {
				if _, err := store.Pull(context.Background(), time.Now(), ask); err != nil {
					b.Fatal(err)
				}
			}
			if store.Stats().Outages > 0 {
				b.Error("the store was left")
			}
			info, err := s.Client().Info(context.Background(), "commandstats").Result()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(perCall(info), "us-in-server/op")
		})
	}
}

// BenchmarkClasses is a step at a replica with many classes, beside another one with
// as many: what it takes in the server, and in all.
func BenchmarkClasses(b *testing.B) {
	for _, classes := range []int{1, 8, 64, 200, 1000} {
		b.Run(fmt.Sprint(classes), func(b *testing.B) {
			s := serve(b)
			replicas := []*Store{s.store(3), s.store(3)}
			ask := ratelimit.Ask{Budget: ratelimit.Budget{Key: fmt.Sprint("classes", classes), Rate: 10, Burst: 8}}
			for i := range classes {
				ask.Waiting = append(ask.Waiting, ratelimit.Waiting{Class: ratelimit.Class{Caller: fmt.Sprint("caller ", i)}, Count: 3})
			}
			for i := 0; b.Loop(); i++ {
				if _, err := replicas[i%2].Pull(context.Background(), time.Now(), ask); err != nil {
					b.Fatal(err)
				}
			}
			info, err := s.Client().Info(context.Background(), "commandstats").Result()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(perCall(info), "us-in-server/op")
		})
	}
}

// perCall is what the server says that the script takes.
func perCall(info string) float64 {
	_, after, _ := strings.Cut(info, "cmdstat_evalsha:")
	_, after, _ = strings.Cut(after, "usec_per_call=")
	value, _, _ := strings.Cut(after, ",")
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return -1
	}
	return f
}
