package watch

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// A connected store is a real one, as one replica reaches it until it is killed.
type connected struct {
	*store.Client
	killed atomic.Bool
}

func (c *connected) Get(ctx context.Context, key string) ([]byte, error) {
	if c.killed.Load() {
		return nil, errGone
	}
	value, err := c.Client.Get(ctx, key)
	return value.Bytes, err
}

func (c *connected) Set(ctx context.Context, key string, value []byte, expiry time.Duration) error {
	if c.killed.Load() {
		return errGone
	}
	return c.Client.Set(ctx, key, value, expiry)
}

func connect(t *testing.T, server *storetest.Server) *connected {
	t.Helper()
	redis, err := store.Connect(t.Context(), store.Config{Addresses: []string{server.Address()}, Timeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	c := &connected{Client: store.New(redis, store.Options{Prefix: "test", Timeout: 30 * time.Second})}
	t.Cleanup(func() { _ = redis.Close() })
	return c
}

// TestThroughARealStore: three replicas poll together, go on when the one that polls
// dies, each for itself while the store is gone, and together again when it is back,
// empty. No watcher sees a state twice or misses one.
func TestThroughARealStore(t *testing.T) {
	t.Parallel()
	const age = 200 * time.Millisecond
	server := storetest.Serve(t)
	d := &fakeDashboard{}
	d.set(fleet(50, "begin")...)
	var all []*replica
	var links []*connected
	var readers []*reader
	for i := range 3 {
		links = append(links, connect(t, server))
		all = append(all, newReplica(t, d, fmt.Sprint(i), links[i], func(c *Config) { c.youngest = age }))
		t.Cleanup(all[i].close)
	}
	for i := range 6 {
		readers = append(readers, follow(t, all[i%3], watching("c", age)))
	}
	alive := []int{0, 1, 2}
	arrives := func(name string) {
		t.Helper()
		rows := fleet(50, "begin")
		rows[7] = device(7, name)
		d.set(rows...)
		want := strings.Join(slices.Sorted(slices.Values(rows)), ",")
		storetest.Eventually(t, time.Minute, name+" is at everyone", func() bool {
			return !slices.ContainsFunc(readers, func(r *reader) bool { return r.ended() == nil && r.has() != want })
		})
	}
	// together counts the polls of a while. A slow machine makes fewer, and one more where it
	// stops somebody in the middle of a poll for longer than an age.
	together := func(what string) {
		t.Helper()
		start, before := time.Now(), len(d.polls())
		storetest.Eventually(t, time.Minute, "polls", func() bool { return time.Since(start) > 5*age })
		if n, most := len(d.polls())-before, int(1.5*float64(time.Since(start)/age))+1; n > most {
			t.Errorf("%s: %d polls, and one and a half for each age are %d", what, n, most)
		}
	}
	arrives("begin")
	arrives("shared")
	together("three replicas")

	d.mu.Lock()
	poller := int(d.by[len(d.by)-1][0] - '0')
	d.mu.Unlock()
	links[poller].killed.Store(true)
	all[poller].Close()
	alive = slices.DeleteFunc(alive, func(i int) bool { return i == poller })
	arrives("the poller is dead")

	server.Kill()
	before := len(d.polls())
	arrives("the store is gone")
	storetest.Eventually(t, time.Minute, "each polls for itself", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return !slices.ContainsFunc(alive, func(i int) bool { return !slices.Contains(d.by[before:], fmt.Sprint(i)) })
	})

	server.Start()
	storetest.Eventually(t, time.Minute, "the store is back", func() bool {
		return !slices.ContainsFunc(alive, func(i int) bool {
			_, err := links[i].Get(t.Context(), "nothing")
			return err != nil
		})
	})
	arrives("the store is back")
	together("two replicas again")

	for i, r := range readers {
		got := r.got()
		want, versions := 50+4, len(slices.Compact(slices.Sorted(slices.Values(got.seen))))
		if i%3 == poller {
			want = 50 + 1
		}
		if len(got.seen) != want || versions != want || got.wholes != 1 {
			t.Errorf("reader %d was sent %d rows, %d different ones, want %d, and a whole state %d times", i, len(got.seen), versions, want, got.wholes)
		}
	}
}

// TestSealed: what stands in the store shows nothing of an answer, and only replicas
// with the same key read it, under the name that it was written under.
func TestSealed(t *testing.T) {
	d := &fakeDashboard{}
	d.set(device(1, "a password"))
	kept := new(memory)
	bubble(t, d, kept, 1, func(t *testing.T, all []*replica) {
		follow(t, all[0], watching("c", age))
		pass(t, age/2)
		if len(kept.values) != 3 {
			t.Errorf("a claim, a head and pages are 3 values, not %d", len(kept.values))
		}
		for key, v := range kept.values {
			if bytes.Contains(v.value, []byte("asked")) || bytes.Contains(v.value, []byte{0x1f, 0x8b, 8}) || strings.Contains(key, "devices") || v.expires.IsZero() {
				t.Errorf("%s is readable, or for ever", key)
			}
		}
		other := dashboard.NewKey("another secret")
		ours, theirs := seal(kept, testKey), seal(kept, other.Of("an entry"))
		if err := ours.Set(t.Context(), "a", []byte("said"), time.Hour); err != nil {
			t.Fatal(err)
		}
		kept.values["b"] = kept.values["a"]
		for what, get := range map[string]func() ([]byte, error){
			"with another key":   func() ([]byte, error) { return theirs.Get(t.Context(), "a") },
			"under another name": func() ([]byte, error) { return ours.Get(t.Context(), "b") },
		} {
			if value, err := get(); value != nil || err != nil {
				t.Errorf("%s: %q, %v", what, value, err)
			}
		}
		if value, err := seal(kept, testKey.Of("an entry")).Get(t.Context(), "a"); string(value) != "said" || err != nil {
			t.Errorf("with the same key: %q, %v", value, err)
		}
		if seal(kept, dashboard.Key{}) != nil || seal(nil, testKey) != nil {
			t.Error("there is a store without a key, or without a store")
		}
		synctest.Wait()
	})
}

// TestWhatIsLeftInTheStoreIsBounded: what has no room there each replica polls for itself,
// and the room of a watch that has ended is free again.
func TestWhatIsLeftInTheStoreIsBounded(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(50, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		first, err := all[0].Open(t.Context(), watching("c", age))
		if err != nil {
			t.Fatal(err)
		}
		pass(t, age/2)
		one := all[0].left.Load()
		if one == 0 {
			t.Fatal("nothing is left in the store")
		}
		all[0].config.AllSharedBytes = one
		q := watching("c", age)
		q.Ask = readsOf("2")
		for _, r := range all {
			follow(t, r, q)
		}
		pass(t, age)
		if n := all[0].left.Load(); n > one {
			t.Errorf("%d bytes are left there, and %d are allowed", n, one)
		}
		first.Close()
		synctest.Wait()
		if n := all[0].left.Load(); n != 0 {
			t.Errorf("%d bytes are counted for a watch that has ended", n)
		}
		d.set(fleet(50, "b")...) // of the same size
		pass(t, 2*age)
		if all[0].left.Load()+all[1].left.Load() == 0 {
			t.Error("the other watch has not got the room")
		}
	})
}
