package redis

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/lane"
)

// A listener of nothing.
type ignored struct{}

func (ignored) Waited(string, ratelimit.Priority, time.Duration) {}
func (ignored) Refused(string, ratelimit.Priority, string)       {}
func (ignored) Queued(string, ratelimit.Priority, int)           {}

// TestAnOperationsLimitIsNotOverrunAfterAStop: calls at two replicas that their own
// limit has let through keep nothing of it while the organization is stopped, through
// the store as in one process. A round trip to the store takes no time of the bubble's.
func TestAnOperationsLimitIsNotOverrunAfterAStop(t *testing.T) {
	t.Parallel()
	shared := serve(t)
	ping := &apiv1.Operation{Id: "createDeviceLiveToolsPing", Limit: &apiv1.Limit{Requests: 1, Seconds: 5, Burst: 5, Key: "serial"}}
	const rate, burst, stop = 0.2, 5.0, 20 * time.Second
	synctest.Test(t, func(t *testing.T) {
		s := &server{shared.For(t), t}
		var replicas []*lane.Lanes
		for range 2 {
			store := s.store(2, func(c *Config) { c.clock, c.Prefix = time.Now, t.Name() })
			life := lane.NewLifecycle()
			t.Cleanup(life.Close)
			ls, err := lane.New(lane.Config{Scheduler: store, Observer: ignored{}}, life)
			if err != nil {
				t.Fatal(err)
			}
			replicas = append(replicas, ls)
		}
		payer := lane.Payer{Organization: "1", Operation: ping, Parameter: "Q1"}
		acquire := func(ls *lane.Lanes, slot *lane.Slot) {
			ls.Assign(slot, payer)
			f := slot.Acquire(t.Context(), &lane.Request{
				Operation: ping.Id, Path: "/devices/Q1/liveTools/ping", Weight: 1,
				Class: ratelimit.Class{Caller: "a", Priority: ratelimit.Bulk}, Probe: func() bool { return false },
			})
			if f != nil || !slot.Spend() {
				t.Error(f)
			}
		}
		var first lane.Slot
		acquire(replicas[0], &first)
		first.Report(time.Now(), lane.Result{Stop: stop})
		stopped := time.Now()
		var mu sync.Mutex
		var left []time.Time
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				var slot lane.Slot
				acquire(replicas[i%2], &slot)
				mu.Lock()
				defer mu.Unlock()
				left = append(left, time.Now())
			})
		}
		wg.Wait()
		if early := left[0].Sub(stopped); early < stop {
			t.Errorf("a call left %v after the stop of %v began", early, stop)
		}
		// The store has the burst less what the replicas keep for an outage, and a slot may
		// be 200 ms old when it leaves.
		full := kept(ratelimit.Budget{Burst: burst}, 2).Burst + rate*0.2
		tokens, last := full, left[0]
		for i, at := range left {
			tokens = min(full, tokens+rate*at.Sub(last).Seconds()) - 1
			last = at
			if tokens < -0.01 {
				t.Fatalf("call %d of %d left %v after the first, %.2f tokens too early", i, len(left), at.Sub(left[0]), -tokens)
			}
		}
		if took := left[len(left)-1].Sub(left[0]).Seconds(); took > 20/rate+20 {
			t.Errorf("20 calls took %v s", took)
		}
	})
}
