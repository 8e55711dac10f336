package redis

import (
	"errors"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

// TestPartsOfThoseWhoHaveNotHeardOfEachOther: the store goes again before everyone has
// heard of everyone, after a start or after it has lost who was there. What leaves stays
// within the budget.
func TestPartsOfThoseWhoHaveNotHeardOfEachOther(t *testing.T) {
	t.Parallel()
	server := serve(t)
	const replicas = 8
	for name, run := range map[string]func(say func(int), lose func(), pass func(time.Duration)){
		"all have just started": func(say func(int), _ func(), _ func(time.Duration)) { say(replicas) },
		"the others have started since the first was heard": func(say func(int), _ func(), pass func(time.Duration)) {
			say(1)
			pass(heartbeat)
			say(1)
			pass(heartbeat)
			say(replicas)
		},
		"the store has lost them": func(say func(int), lose func(), pass func(time.Duration)) {
			for range 3 {
				say(replicas)
				pass(heartbeat)
			}
			lose()
			say(replicas)
		},
		"the store has lost them, again and again": func(say func(int), lose func(), pass func(time.Duration)) {
			for range 3 {
				say(replicas)
				pass(heartbeat)
			}
			for range 5 {
				lose()
				say(replicas)
				pass(time.Second)
			}
		},
		"the store was away for long, and has lost them": func(say func(int), lose func(), pass func(time.Duration)) {
			for range 3 {
				say(replicas)
				pass(heartbeat)
			}
			pass(time.Hour)
			lose()
			say(replicas)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := ratelimittest.NewClock()
			stores := make([]*Store, replicas)
			for i := range stores {
				stores[i] = server.unwatched(t, clock, t.Name(), replicas)
			}
			run(func(n int) {
				for _, s := range stores[:n] {
					if err := s.announce(t.Context(), time.Minute); err != nil {
						t.Fatal(err)
					}
				}
			}, func() {
				if err := server.Client().Del(t.Context(), stores[0].membersKey()).Err(); err != nil {
					t.Fatal(err)
				}
			}, clock.Advance)
			sum := 0.0
			for _, s := range stores {
				sum += s.goAlone(clock.Now(), "", errors.New("gone")).part
			}
			if sum > 1+1e-9 {
				t.Errorf("the parts sum up to %.2f", sum)
			}
			bound := ratelimittest.Bound{Rate: organization.Rate, Burst: organization.Burst}
			for i := range 200 {
				clock.Advance(25 * time.Millisecond)
				for _, s := range stores {
					g, err := s.Pull(t.Context(), clock.Now(), ratelimit.Ask{Budget: organization, Waiting: []ratelimit.Waiting{{Class: ratelimit.Class{Caller: "a"}, Count: 9}}})
					if err != nil {
						t.Fatal(err)
					}
					for range g.Classes {
						bound.Leave(time.Duration(i) * 25 * time.Millisecond)
					}
				}
			}
			if err := bound.Check(); err != nil || bound.Left() < 10 {
				t.Errorf("%d left; %v", bound.Left(), err)
			}
		})
	}
}
