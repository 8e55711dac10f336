package redis

import (
	"testing"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/ratelimit/ratelimittest"
)

// TestStore is the suite that the scheduler in one process passes.
func TestStore(t *testing.T) {
	t.Parallel()
	shared := serve(t)
	ratelimittest.Run(t, 3, func(t *testing.T, clock *ratelimittest.Clock, replicas int) []ratelimit.Scheduler {
		stores := make([]ratelimit.Scheduler, replicas)
		s := &server{shared.For(t), t}
		for i := range stores {
			store := s.store(replicas, func(c *Config) {
				c.clock, c.Prefix = clock.Now, t.Name()
			})
			t.Cleanup(func() {
				if n := store.Stats().Outages; n > 0 {
					t.Errorf("replica %d was without the store %d times: the rest of this test says nothing", i, n)
				}
			})
			stores[i] = store
		}
		return stores
	})
}
