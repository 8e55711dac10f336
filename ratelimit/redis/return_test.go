package redis

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

// slots asks for some calls by the clock.
func slots(t *testing.T, s *Store, clock *ratelimittest.Clock, count int) int {
	t.Helper()
	g, err := s.Pull(t.Context(), clock.Now(), ratelimit.Ask{
		Budget:  organization,
		Waiting: []ratelimit.Waiting{{Class: ratelimit.Class{Caller: "a"}, Count: count}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return len(g.Classes)
}

// owed is what is in a budget's bucket, below 0 when it owes.
func owed(t *testing.T, s *server, store *Store) float64 {
	t.Helper()
	reply, err := s.Client().Eval(t.Context(), "return tostring(cmsgpack.unpack(redis.call('HGET', KEYS[1], 's')).tokens)",
		[]string{store.key(organization.Key)}).Float64()
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// leave takes the replicas away from the store for a while.
func leave(clock *ratelimittest.Clock, d time.Duration, stores ...*Store) {
	for _, s := range stores {
		s.goAlone(clock.Now(), organization.Key, errors.New("gone"))
	}
	clock.Advance(d)
}

func TestReturn(t *testing.T) {
	t.Parallel()
	server := serve(t)
	for _, c := range []struct {
		name string
		run  func(t *testing.T, clock *ratelimittest.Clock, a, b *Store)
	}{
		{"a budget that was used before is empty", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			if n := slots(t, a, clock, 9); n != 6 {
				t.Fatalf("%d slots of a burst of 8, less a spare for each", n)
			}
			leave(clock, time.Minute, a, b)
			a.comeBack()
			if n := slots(t, a, clock, 9); n != 0 {
				t.Errorf("%d slots at once", n)
			}
			clock.Advance(time.Second)
			if n := slots(t, a, clock, 9); n != 6 {
				t.Errorf("%d slots a second later", n)
			}
		}},
		{"a budget that was not used is empty while others may still be alone", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			leave(clock, time.Minute, a, b)
			a.comeBack()
			clock.Advance(returning / 2)
			if n := slots(t, a, clock, 9); n != 0 {
				t.Errorf("%d slots at once", n)
			}
			leave(clock, time.Second, a)
			a.comeBack()
			clock.Advance(returning + time.Second)
			if n := slots(t, a, clock, 9); n != 6 {
				t.Errorf("%d slots later", n)
			}
		}},
		{"the second one pays for what it spent meanwhile", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			leave(clock, time.Second, a, b)
			slots(t, b, clock, 9)
			a.comeBack()
			slots(t, a, clock, 9)
			clock.Advance(400 * time.Millisecond)
			spent := slots(t, b, clock, 9) // its part of 0.4 s is 2
			b.comeBack()
			slots(t, b, clock, 9)
			owes := -owed(t, server, b)
			if want := float64(min(spent, 2)) + 1; owes < want-1e-3 || owes > want+1e-3 {
				t.Errorf("the bucket owes %g for %d slots and the spare", owes, spent)
			}
		}},
		{"the spare has to be paid before there is another", func(t *testing.T, clock *ratelimittest.Clock, a, _ *Store) {
			slots(t, a, clock, 9)
			for i, want := range []int{1, 0, 0} {
				leave(clock, 0, a)
				if n := slots(t, a, clock, 9); n != want {
					t.Errorf("outage %d: %d slots, want %d", i, n, want)
				}
				a.comeBack()
				if n := slots(t, a, clock, 9); n != 0 {
					t.Errorf("%d slots after the spare", n)
				}
			}
			clock.Advance(time.Second)
			leave(clock, 0, a)
			if n := slots(t, a, clock, 9); n != 1 {
				t.Errorf("%d slots when the spare is paid for", n)
			}
		}},
		{"a key that was lost is empty", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			slots(t, a, clock, 9)
			if err := server.Client().Del(context.Background(), a.key(organization.Key)).Err(); err != nil {
				t.Fatal(err)
			}
			if n := slots(t, a, clock, 9); n != 0 {
				t.Errorf("%d slots of a budget that was lost", n)
			}
		}},
		{"a key that expired is full", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			slots(t, a, clock, 9)
			if err := server.Client().Del(context.Background(), a.key(organization.Key)).Err(); err != nil {
				t.Fatal(err)
			}
			clock.Advance(remembered)
			if n := slots(t, a, clock, 9); n != 6 {
				t.Errorf("%d slots of a budget that has expired", n)
			}
		}},
		{"refunds of slots from before an outage are none", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			granted := clock.Now()
			slots(t, a, clock, 2)
			leave(clock, 50*time.Millisecond, a, b)
			a.comeBack()
			if n := slots(t, a, clock, 1); n != 0 {
				t.Fatalf("%d slots at once", n)
			}
			a.Refund(t.Context(), clock.Now(), organization, 1, granted)
			if n := slots(t, a, clock, 9); n != 0 {
				t.Errorf("%d slots out of a refund from before an outage", n)
			}
		}},
		{"a refund in an outage of a slot from the store is none of the replica's own", func(t *testing.T, clock *ratelimittest.Clock, a, _ *Store) {
			granted := clock.Now()
			slots(t, a, clock, 2)
			clock.Advance(time.Millisecond)
			leave(clock, 0, a)
			if n := slots(t, a, clock, 9); n != 1 {
				t.Fatalf("%d slots, want the spare", n)
			}
			a.Refund(t.Context(), clock.Now(), organization, 1, granted)
			if n := slots(t, a, clock, 9); n != 0 {
				t.Errorf("%d slots out of a refund of one that the store granted", n)
			}
			a.Refund(t.Context(), clock.Now(), organization, 1, clock.Now())
			if n := slots(t, a, clock, 9); n != 1 {
				t.Errorf("%d slots out of a refund of the spare", n)
			}
		}},
		{"refunds of slots that have flowed in again are none", func(t *testing.T, clock *ratelimittest.Clock, a, b *Store) {
			slots(t, a, clock, 2)
			a.Refund(t.Context(), clock.Now(), organization, 2, clock.Now())
			clock.Advance(time.Second)
			if n := slots(t, b, clock, 6); n != 6 {
				t.Fatalf("%d slots", n)
			}
			if n := slots(t, a, clock, 6); n != 0 {
				t.Errorf("%d slots out of a refund that came too late", n)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			clock := ratelimittest.NewClock()
			a := server.unwatched(t, clock, t.Name(), 2)
			b := server.unwatched(t, clock, t.Name(), 2)
			for range 2 {
				clock.Advance(settling) // all have heard of all
				for _, store := range []*Store{a, b} {
					if err := store.announce(t.Context(), time.Minute); err != nil {
						t.Fatal(err)
					}
				}
			}
			c.run(t, clock, a, b)
		})
	}
}
