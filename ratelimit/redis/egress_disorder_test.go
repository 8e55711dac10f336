package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/lane"
)

// A detour is one replica's way to the store: it loses what is asked, or the answer.
type detour struct {
	mu         sync.Mutex
	random     *rand.Rand
	asked, not float64 // how much of what is asked is lost, and of the answers
}

func (d *detour) set(asked, not float64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked, d.not = asked, not
}

func (d *detour) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (d *detour) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		d.mu.Lock()
		lost, unheard := d.random.Float64() < d.asked, d.random.Float64() < d.not
		d.mu.Unlock()
		if lost {
			return errLost
		}
		err := next(ctx, cmd)
		if unheard && err == nil {
			cmd.SetErr(errLost)
			return errLost
		}
		return err
	}
}

func (d *detour) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

var errLost = errors.New("lost on the way")

// TestAnEgressInDisorder: each replica loses the store at moments of its own, before or after
// it has done what it was asked, the store forgets a budget, slots are given back, callers
// leave, organizations and the address are stopped. No more leaves than either budget has.
func TestAnEgressInDisorder(t *testing.T) {
	t.Parallel()
	own := serve(t)
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			s := &server{own.For(t), t}
			e := newEgress(t, s, 0)
			random := rand.New(rand.NewPCG(seed, 3))
			var detours []*detour
			for i, store := range e.stores {
				d := &detour{random: rand.New(rand.NewPCG(seed, uint64(10+i)))}
				store.client.AddHook(d)
				detours = append(detours, d)
			}
			var mu sync.Mutex
			left := make(map[string][]time.Time)
			var wg sync.WaitGroup
			call := func(replica int, organization string, patience time.Duration, fate int, result lane.Result) {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				wg.Go(func() {
					defer cancel()
					var slot lane.Slot
					e.lanes[replica].Assign(&slot, lane.Payer{Organization: organization})
					f := slot.Acquire(ctx, &lane.Request{
						Operation: "getOrganizationNetworks", Path: "/organizations/" + organization + "/networks", Weight: 1,
						Class: ratelimit.Class{Caller: fmt.Sprint(fate % 3), Priority: ratelimit.Priority(fate % 3)}, Probe: func() bool { return false },
					})
					if f != nil {
						return
					}
					if fate < 2 {
						slot.GiveBack()
						return
					}
					if !slot.Spend() {
						t.Error("a slot is empty")
					}
					mu.Lock()
					left[organization] = append(left[organization], time.Now())
					left[""] = append(left[""], time.Now())
					mu.Unlock()
					slot.Report(time.Now(), result)
				})
			}
			start := time.Now()
			for time.Since(start) < 12*time.Second {
				if random.IntN(60) == 0 {
					d := detours[random.IntN(3)]
					switch random.IntN(4) {
					case 0:
						d.set(1, 0)
					case 1:
						d.set(0, 0.05)
					default:
						d.set(0, 0)
					}
				}
				if random.IntN(200) == 0 {
					key := e.stores[0].key([]string{"address:east", "organization:1", "organization:2"}[random.IntN(3)])
					if err := s.Client().Del(context.Background(), key).Err(); err != nil {
						t.Fatal(err)
					}
				}
				organization := fmt.Sprint(random.IntN(14))
				result := lane.Result{OK: true, Answered: true}
				if random.IntN(150) == 0 {
					result = lane.Result{Stop: time.Duration(random.IntN(1500)) * time.Millisecond, Nameless: random.IntN(4) == 0}
				}
				call(random.IntN(3), organization, time.Duration(50+random.IntN(3000))*time.Millisecond, random.IntN(8), result)
				time.Sleep(time.Second / 150)
			}
			for _, d := range detours {
				d.set(0, 0)
			}
			wg.Wait()
			for organization, times := range left {
				e.left = times
				if organization == "" {
					e.bounded(100, 80)
				} else {
					e.bounded(10, 10)
				}
			}
			t.Logf("%d left", len(left[""]))
			if len(left[""]) < 200 {
				t.Errorf("only %d left: nothing was tried", len(left[""]))
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for i, ls := range e.lanes {
				for kind, n := range ls.Waiting() {
					if n != 0 {
						t.Errorf("replica %d: %d calls wait for %s budgets", i, n, kind)
					}
				}
			}
		})
	}
}
