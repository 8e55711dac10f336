package service_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// An exam is which keys the Dashboard takes at the moment. It stands in front of
// the sandbox, which knows one key for all of them.
type exam struct {
	mu   sync.Mutex
	keys map[string]bool
	// asked counts requests by key; news tells that one has come.
	asked map[string]int
	news  chan struct{}
}

const passed = "the-key-that-the-sandbox-knows"

func (e *exam) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Authorization")
		e.mu.Lock()
		e.asked[key]++
		if e.keys[key] {
			r.Header.Set("Authorization", "Bearer "+passed)
		}
		e.mu.Unlock()
		select {
		case e.news <- struct{}{}:
		default:
		}
		next.ServeHTTP(w, r)
	})
}

// takes sets the keys that are taken from now on.
func (e *exam) takes(keys ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.keys, e.asked = make(map[string]bool), make(map[string]int)
	for _, k := range keys {
		e.keys["Bearer "+k] = true
	}
}

func (e *exam) askedWith(key string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.asked["Bearer "+key]
}

// A load is calls at a steady rate, from several connections, one of them new for
// each call.
type load struct {
	made, failed atomic.Int64
	first        atomic.Pointer[string] // failure
	stop         func()
}

// run makes about rate calls a second of what call does.
func run(rate int, call func(worker, i int) error) *load {
	const workers = 25
	l := new(load)
	end := make(chan struct{})
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			ticker := time.NewTicker(time.Second * workers / time.Duration(rate))
			defer ticker.Stop()
			for i := 0; ; i++ {
				select {
				case <-ticker.C:
				case <-end:
					return
				}
				l.made.Add(1)
				if err := call(w, i); err != nil {
					l.failed.Add(1)
					text := fmt.Sprintf("%v: %v", status.Code(err), err)
					l.first.CompareAndSwap(nil, &text)
				}
			}
		})
	}
	l.stop = sync.OnceFunc(func() { close(end); group.Wait() })
	return l
}

// TestRotationUnderLoad changes the Dashboard key, the server's certificate and the
// authorities of clients under 500 calls a second. No call fails.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	const rate, organizations = 500, 500
	dashboardKeys := &exam{news: make(chan struct{}, 1)}
	dashboardKeys.takes("old-key-000")
	hour := time.Now().Add(time.Hour)
	before, after := newAuthority(t), newAuthority(t)
	files := newSecrets(t)
	files.write("key", []byte("old-key-000\n"))
	files.certificate(before.issue(1, hour), before)
	h := build(t, plan{
		broker: fast, upstream: dashboardKeys.handler,
		sandbox: sandbox.Options{
			LimitsOff: true, AddressRate: -1, Organizations: organizations, NetworksPerOrganization: 1, DevicesPerNetwork: 1,
			Keys: map[string][]string{passed: nil},
		},
		server: func(c *service.Config) {
			files.serve(c)
			store, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "rotated", File: files.path("key")}}}, files.watcher, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.Access.Keys = store
		},
	})
	// Clients trust both authorities and have a certificate of the one of the moment,
	// as where a mesh changes its root.
	// Who has begun with one certificate ends before the clients have the next one: the
	// authority of the former goes right after that.
	mine := before.issue(2, hour)
	var connecting sync.RWMutex
	const lasting = 4
	var conns [lasting]*harness
	for i := range conns {
		as := *h
		as.conn = dial(t, h, &mine, before, after)
		conns[i] = &as
		defer as.conn.Close()
	}
	l := run(rate, func(worker, i int) error {
		caller := conns[worker%lasting]
		if worker == 0 {
			connecting.RLock()
			defer connecting.RUnlock()
			as, fresh := mine, *h
			fresh.conn = dial(t, h, &as, before, after)
			defer fresh.conn.Close()
			caller = &fresh
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, err := caller.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID((worker*20 + i) % organizations)})
		return err
	})
	defer l.stop()
	begun := time.Now()
	// reach waits until the Dashboard has been asked with a key.
	reach := func(key string, n int) {
		t.Helper()
		late := time.After(20 * time.Second)
		for dashboardKeys.askedWith(key) < n {
			select {
			case <-dashboardKeys.news:
			case <-late:
				t.Fatalf("the Dashboard was asked %d times with %s, %d calls failed", dashboardKeys.askedWith(key), key, l.failed.Load())
			}
		}
	}
	reach("old-key-000", 100)

	// The new key is put beside the old one; then the Dashboard takes only the new;
	// then the old one goes from the file.
	files.write("key", []byte("old-key-000\nnew-key-000\n"))
	files.use("key rotated")
	dashboardKeys.takes("new-key-000")
	reach("new-key-000", 100)
	files.write("key", []byte("new-key-000\n"))
	files.use("key rotated")
	reach("new-key-000", 200)
	// The next one is in the file before the Dashboard knows it.
	files.write("key", []byte("next-key-00\n"))
	files.use("key rotated")
	reach("new-key-000", 500)

	// The certificate: clients' authorities first, then the server's own, then the
	// clients', then the old authority goes.
	files.certificate(before.issue(3, hour), before, after)
	files.use("tls certificates")
	files.certificate(after.issue(4, hour), before, after)
	files.use("tls certificates")
	connecting.Lock()
	mine = after.issue(5, hour)
	connecting.Unlock()
	files.certificate(after.issue(6, hour), after)
	files.use("tls certificates")
	reach("new-key-000", dashboardKeys.askedWith("new-key-000")+200)
	l.stop()
	took := time.Since(begun)
	t.Logf("%d calls in %v, %.0f a second; %d failed", l.made.Load(), took.Round(time.Millisecond), float64(l.made.Load())/took.Seconds(), l.failed.Load())
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d calls failed, the first with %s", n, *l.first.Load())
	}
	gone := *h
	old := before.issue(7, hour)
	gone.conn = dial(t, h, &old, before, after)
	defer gone.conn.Close()
	if _, err := gone.call(t.Context(), t, "getOrganizations", nil); err == nil {
		t.Error("a certificate of the authority that has gone is still let in")
	}
}
