package usage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A memory stands for the store.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
	gone   bool
	// unheard: the next change is made, and whoever has made it hears of an error.
	unheard bool
}

var errGone = errors.New("the store is out of reach")

func (m *memory) do(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone {
		return errGone
	}
	f()
	return nil
}

func (m *memory) Write(_ context.Context, key string, value []byte, _ time.Duration) error {
	return m.do(func() { m.values[key] = value })
}

func (m *memory) Read(_ context.Context, keys []string) (out [][]byte, err error) {
	err = m.do(func() {
		for _, k := range keys {
			out = append(out, m.values[k])
		}
	})
	return out, err
}

func (m *memory) Change(_ context.Context, key string, change func([]byte) ([]byte, time.Duration, error)) error {
	unheard := false
	err := m.do(func() {
		m.values[key], _, _ = change(m.values[key])
		unheard, m.unheard = m.unheard, false
	})
	if unheard {
		return errGone
	}
	return err
}

// set changes the store from outside.
func (m *memory) set(f func()) { m.mu.Lock(); f(); m.mu.Unlock() }

// TestReplicas: an answer has what all have counted, over minutes, through an outage of
// the store and after one that left it empty; who is killed loses what it had not written,
// and who stops loses nothing.
func TestReplicas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &memory{values: make(map[string][]byte)}
		var all [3]*Usage
		var stop [3]context.CancelFunc
		for i := range all {
			all[i] = New(Config{Shared: store})
			ctx, cancel := context.WithCancel(t.Context())
			stop[i] = cancel
			go all[i].Share(ctx)
		}
		want := int64(0)
		spend := func(replicas ...int) {
			for _, i := range replicas {
				all[i].Add(time.Now(), Key{fmt.Sprint("c", i), "1", "op"}, spent(1, 1))
				want++
			}
		}
		pass := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		hold := func(what string, replica int, most, fewer int64, incomplete bool) {
			t.Helper()
			a := ask(t, all[replica], time.Now(), Query{Groups: ByCaller, Span: Kept})
			got := a.Other[Attempts]
			for _, r := range a.Rows {
				got += r.Figures[Attempts]
			}
			if got != a.Total[Attempts] || got > most || got < most-fewer || (a.Incomplete != "") != incomplete {
				t.Errorf("%s, at replica %d: %d attempts, total %d, want %d less %d at the most; incomplete %q", what, replica, got, a.Total[Attempts], most, fewer, a.Incomplete)
			}
		}
		each := func(what string) {
			t.Helper()
			pass(2 * Every)
			for i := range all {
				hold(what, i, want, 0, false)
			}
		}
		for range 400 { // 13 minutes
			spend(0, 1, 2)
			pass(Every)
		}
		each("all are there")
		for range 2 {
			spend(0, 1, 2)
			pass(time.Minute)
		}
		spend(0, 1, 2)
		each("as much as in the minute before")

		store.set(func() { store.gone = true })
		for range 200 {
			spend(0, 1, 2)
			pass(Every)
		}
		hold("the store is gone", 1, want/3, 0, true)
		store.set(func() { store.gone = false })
		each("the store is back")

		store.set(func() { clear(store.values) })
		spend(0, 1, 2)
		each("the store came back empty")

		store.set(func() { clear(store.values); store.unheard = true })
		spend(0, 1, 2)
		each("it came back empty, and the first to say that it is there was not answered")

		store.set(func() { // a later version's, and no list of ours
			for k := range store.values {
				if strings.HasPrefix(k, all[2].id) {
					store.values[k] = []byte("?")
				}
			}
		})
		hold("one replica's cannot be read", 0, want, want, true)
		store.set(func() { store.values[replicasKey] = []byte("?") })
		each("the list of replicas was broken")

		spend(2) // and stops, which writes it
		stop[2]()
		synctest.Wait()
		hold("one has stopped", 0, want, 0, false)
		pass(Every)
		spend(1, 1, 1)
		store.set(func() { store.gone = true }) // for one that is killed there is no last time
		stop[1]()
		pass(lastTime + Every)
		store.set(func() { store.gone = false })
		pass(Every)
		hold("one was killed", 0, want, 3, false)
		if a := ask(t, all[0], time.Now(), Query{Span: Kept}); len(a.Replicas) != 3 || a.Replicas[0].ID != all[0].id || a.Replicas[0].Last.Before(a.Replicas[1].Last) || a.Replicas[0].Last.Before(a.Replicas[2].Last) {
			t.Errorf("replicas %+v", a.Replicas)
		}
		pass(5 * time.Minute)
		if a := ask(t, all[0], time.Now(), Query{Span: time.Minute}); len(a.Replicas) != 1 {
			t.Errorf("of the last minute: %+v", a.Replicas)
		}
		pass(Kept + time.Hour)
		if a := ask(t, all[0], time.Now(), Query{Span: Kept}); len(a.Replicas) != 1 || a.Total[Attempts] != 0 {
			t.Errorf("a day later: %+v", a)
		}
		stop[0]()
		synctest.Wait()
	})
}
