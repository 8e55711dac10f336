package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
)

// A moody store answers late, not at all, or not though it has done what it was asked for;
// it is full or empty for a while.
type moody struct {
	*memory
	mu     sync.Mutex
	random *rand.Rand
	// part is how much of what is asked goes wrong; full refuses every write.
	part float64
	full bool
}

func (m *moody) mood(ctx context.Context, write bool, do func() error) error {
	m.mu.Lock()
	wrong, what := m.random.Float64() < m.part, m.random.IntN(4)
	late := time.Duration(m.random.IntN(50)) * time.Millisecond
	full := m.full
	m.mu.Unlock()
	select {
	case <-time.After(late):
	case <-ctx.Done():
		return ctx.Err()
	}
	switch {
	case full && write, wrong && what == 0:
		return errGone
	case wrong && what == 1:
		_ = do()
		return errGone
	}
	err := do()
	if wrong {
		<-time.After(late) // heard late
	}
	return err
}

func (m *moody) Get(ctx context.Context, key string) (value []byte, err error) {
	err = m.mood(ctx, false, func() (err error) { value, err = m.memory.Get(ctx, key); return err })
	if err != nil {
		return nil, err
	}
	return value, nil
}

func (m *moody) Set(ctx context.Context, key string, value []byte, expiry time.Duration) error {
	return m.mood(ctx, true, func() error { return m.memory.Set(ctx, key, value, expiry) })
}

func (m *moody) SetNew(ctx context.Context, key string, value []byte, expiry time.Duration) (set bool, err error) {
	err = m.mood(ctx, true, func() (err error) { set, err = m.memory.SetNew(ctx, key, value, expiry); return err })
	return set && err == nil, err
}

// TestDisorder: whatever the store does, whoever comes and goes, no watcher is sent an older
// state after a newer one, each has every state that lasts, and in time.
func TestDisorder(t *testing.T) {
	for seed := range uint64(12) {
		d := &fakeDashboard{perPage: 2}
		bubble(t, d, nil, 0, func(t *testing.T, _ []*replica) {
			random := rand.New(rand.NewPCG(seed, 7))
			store := new(memory)
			var all []*replica
			var moods []*moody
			for i := range 3 {
				m := &moody{memory: store, random: rand.New(rand.NewPCG(seed, uint64(i)))}
				moods = append(moods, m)
				all = append(all, newReplica(t, d, fmt.Sprint(i), m))
				defer all[i].close()
			}
			version := 0
			change := func() {
				version++
				d.set(fleet(3, fmt.Sprintf("%04d", version))...)
				d.mu.Lock()
				d.delay = time.Duration(random.IntN(2000)) * time.Millisecond
				d.mu.Unlock()
			}
			change()
			ages := []time.Duration{2 * time.Second, 3 * time.Second, 10 * time.Second}
			type member struct {
				*reader
				age   time.Duration
				leave context.CancelFunc
			}
			var members []*member
			for range 200 {
				switch n := random.IntN(12); {
				case n < 3 && len(members) < 12:
					age := ages[random.IntN(3)]
					ctx, leave := context.WithCancel(t.Context())
					r := followUntil(t, ctx, all[random.IntN(3)], watching(fmt.Sprint(random.IntN(2)), age))
					members = append(members, &member{r, age, leave})
				case n < 5 && len(members) > 0:
					i := random.IntN(len(members))
					members[i].leave()
					members = append(members[:i], members[i+1:]...)
				case n < 6:
					change()
				case n < 7:
					store.mu.Lock()
					clear(store.values)
					store.mu.Unlock()
				case n < 9:
					m := moods[random.IntN(3)]
					m.mu.Lock()
					m.part = []float64{0, 0.1, 0.5, 1}[random.IntN(4)]
					m.mu.Unlock()
				case n < 10:
					m := moods[random.IntN(3)]
					m.mu.Lock()
					m.full = !m.full
					m.mu.Unlock()
				default:
					pass(t, time.Duration(random.IntN(4000))*time.Millisecond)
				}
			}
			change()
			for range 25 {
				pass(t, time.Second)
			}
			for i, m := range members {
				if m.has() != strings.Join(fleet(3, fmt.Sprintf("%04d", version)), ",") || m.ended() != nil {
					t.Errorf("seed %d: after 25 s watcher %d of age %v has %q, want version %d; %v", seed, i, m.age, m.has(), version, m.ended())
				}
				m.leave()
				<-m.done
				last := map[string]string{}
				for _, row := range m.got().seen {
					serial, name := serialOf(row), row
					if name <= last[serial] {
						t.Errorf("seed %d: watcher %d was sent %s after %s", seed, i, name, last[serial])
					}
					last[serial] = name
				}
			}
		})
	}
}
