package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/store/storetest"
)

// slowStore is more time than a store needs that answers, on any machine.
const slowStore = 20 * time.Second

// trio is three replicas that share a store, in front of a simulated Dashboard.
type trio struct {
	replicas     [3]*daemon
	store        *storetest.Server
	organization string

	mu    sync.Mutex
	posts int
	reads []string // paths
	// hold is waited for by the Dashboard before it answers a write; nil for nothing.
	// held tells that a write has arrived.
	hold, held chan struct{}
}

// more is added to the configuration of the store. patience is how long a round trip to it
// may take; 0 for the usual.
func newTrio(t *testing.T, more string, patience time.Duration) *trio {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	x := &trio{store: storetest.Serve(t, "--maxmemory-policy", "noeviction"), held: make(chan struct{}, 100)}
	contracts, err := contract.Load()
	must(err)
	dashboard, err := sandbox.New(contracts, sandbox.Options{LimitsOff: true})
	must(err)
	x.organization = dashboard.OrganizationID(0)
	next := dashboard.Handler()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body) // read, so that a client that leaves is noticed
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.Method == http.MethodGet {
			x.mu.Lock()
			x.reads = append(x.reads, r.URL.Path)
			x.mu.Unlock()
		}
		if r.Method == http.MethodPost {
			x.mu.Lock()
			x.posts++
			hold := x.hold
			x.mu.Unlock()
			x.held <- struct{}{}
			if hold != nil {
				select {
				case <-hold:
				case <-r.Context().Done():
					return
				}
			}
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(upstream.Close)
	file := filepath.Join(t.TempDir(), "merakid.yaml")
	must(os.WriteFile(file, []byte(fmt.Sprintf("listen: 127.0.0.1:1\nadmin: 127.0.0.1:2\nrest: 127.0.0.1:3\nupstream: %s/api/v1\nstore: {addresses: ['%s'], replicas: 3%s}\ncredentials: {keys: [{name: one, env: MERAKID_TEST_OUTCOMES}]}\n",
		upstream.URL, x.store.Address(), more)), 0o600))
	for i := range x.replicas {
		f, err := config.Read(file)
		must(err)
		f.Store.Timeout = patience
		x.replicas[i], err = build(context.Background(), f, slog.New(slog.DiscardHandler))
		must(err)
		t.Cleanup(x.replicas[i].close)
	}
	return x
}

// post makes a write at one of the replicas.
func (x *trio) post(ctx context.Context, replica int, key, name string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/api/v1/organizations/"+x.organization+"/networks",
		strings.NewReader(`{"name":"`+name+`","productTypes":["appliance"]}`))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	x.replicas[replica].rest.Handler.ServeHTTP(w, r)
	return w
}

// sent gives how many writes have reached the Dashboard since the last look.
func (x *trio) sent() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.posts
	x.posts = 0
	return n
}

// read gives how many reads of paths with this end have reached the Dashboard.
func (x *trio) read(end string) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, path := range x.reads {
		if strings.HasSuffix(path, end) {
			n++
		}
	}
	return n
}

// block makes the Dashboard hold writes back until release is called.
func (x *trio) block() (release func()) {
	hold := make(chan struct{})
	for len(x.held) > 0 {
		<-x.held
	}
	x.mu.Lock()
	x.hold = hold
	x.mu.Unlock()
	return sync.OnceFunc(func() {
		x.mu.Lock()
		x.hold = nil
		x.mu.Unlock()
		close(hold)
	})
}

func reason(w *httptest.ResponseRecorder) string { return w.Header().Get("Meraki-Broker-Reason") }

// TestOneOutcomeAtThreeReplicas: a write is sent once, wherever its client asks.
func TestOneOutcomeAtThreeReplicas(t *testing.T) {
	t.Setenv("MERAKID_TEST_OUTCOMES", "0123456789abcdef0123456789abcdef01234567")
	keys := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(base64.StdEncoding.EncodeToString(make([]byte, 32))+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	x := newTrio(t, ", keys_file: "+keys, slowStore)
	release := x.block()
	answers := make([]*httptest.ResponseRecorder, 3)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = x.post(t.Context(), i, "one", "made once") })
	}
	<-x.held
	release()
	all.Wait()
	if n := x.sent(); n != 1 {
		t.Errorf("%d writes were sent", n)
	}
	for i, a := range answers {
		if a.Code != http.StatusCreated || a.Body.String() != answers[0].Body.String() {
			t.Errorf("replica %d: %d %s %s", i, a.Code, reason(a), a.Body)
		}
	}
	for i := range x.replicas {
		if a := x.post(t.Context(), i, "one", "made once"); a.Code != http.StatusCreated || a.Header().Get("Meraki-Broker-Cache") != "outcome" || a.Body.Len() == 0 {
			t.Errorf("later, replica %d: %d %s %v", i, a.Code, reason(a), a.Header())
		}
		if a := x.post(t.Context(), i, "one", "another"); a.Code != http.StatusForbidden || reason(a) != "IDEMPOTENCY_KEY_REUSED" {
			t.Errorf("another write under the name, replica %d: %d %s", i, a.Code, reason(a))
		}
	}
	if n := x.sent(); n != 0 {
		t.Errorf("%d more were sent", n)
	}
	client := x.store.Client()
	for _, key := range client.Keys(t.Context(), "merakibroker:outcome:*").Val() {
		if value := client.Get(t.Context(), key).Val(); strings.Contains(value, "made once") || strings.Contains(value, "state") {
			t.Errorf("%s is not encrypted", key)
		}
		if ttl := client.PTTL(t.Context(), key).Val(); ttl <= 0 {
			t.Errorf("%s has no expiry: %v", key, ttl)
		}
	}

	t.Run("no name", func(t *testing.T) {
		release := x.block()
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan *httptest.ResponseRecorder)
		go func() { left <- x.post(ctx, 0, "", "no name") }()
		<-x.held
		leave()
		<-left
		release()
		for i, want := range []string{"outcome", "miss"} { // once it is delivered the same is another write
			if a := x.post(t.Context(), i+1, "", "no name"); a.Code != http.StatusCreated || a.Header().Get("Meraki-Broker-Cache") != want || x.sent() != 1 {
				t.Errorf("replica %d: %d %s %v", i+1, a.Code, reason(a), a.Header())
			}
		}
	})

	t.Run("a replica dies between sending and the answer", func(t *testing.T) {
		release := x.block()
		defer release()
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		go x.post(ctx, 0, "lost", "lost")
		<-x.held
		// It dies: its word runs out, and what it would write does not arrive. It lives, and
		// gives its word again, which is gone at once.
		words := client.Keys(t.Context(), "merakibroker:outcome:alive:*").Val()
		var dead sync.WaitGroup
		asked, cancel := context.WithCancel(t.Context())
		dead.Go(func() {
			for asked.Err() == nil {
				_ = client.Del(t.Context(), words...).Err() // the posts tell
			}
		})
		defer dead.Wait()
		defer cancel()
		for i := 1; i < 3; i++ {
			if a := x.post(t.Context(), i, "lost", "lost"); a.Code != http.StatusConflict || reason(a) != "OUTCOME_UNKNOWN" {
				t.Errorf("replica %d: %d %s %s", i, a.Code, reason(a), a.Body)
			}
		}
		if n := x.sent(); n != 1 {
			t.Errorf("%d writes were sent", n)
		}
	})

	t.Run("the store is full", func(t *testing.T) {
		if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if a := x.post(t.Context(), 1, "full", "full"); a.Code != http.StatusBadGateway || reason(a) != "OUTCOME_STORE_UNAVAILABLE" || a.Header().Get("Retry-After") != "60" {
			t.Errorf("a new name: %d %s %s", a.Code, reason(a), a.Body)
		}
		if a := x.post(t.Context(), 2, "one", "made once"); a.Code != http.StatusCreated {
			t.Errorf("a name that is there: %d %s %s", a.Code, reason(a), a.Body)
		}
		if n := x.sent(); n != 0 {
			t.Errorf("%d writes were sent", n)
		}
		if a := x.post(t.Context(), 1, "", "unnamed"); a.Code != http.StatusCreated {
			t.Errorf("no name: %d %s %s", a.Code, reason(a), a.Body)
		}
		x.sent()
		if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("the store goes", func(t *testing.T) {
		release := x.block()
		done := make(chan *httptest.ResponseRecorder)
		go func() { done <- x.post(t.Context(), 0, "going-on", "going on") }()
		<-x.held
		x.store.Kill()
		if a := x.post(t.Context(), 1, "gone", "gone"); a.Code != http.StatusBadGateway || reason(a) != "OUTCOME_STORE_UNAVAILABLE" {
			t.Errorf("a name without the store: %d %s %s", a.Code, reason(a), a.Body)
		}
		if n := x.sent(); n != 1 {
			t.Errorf("%d writes were sent", n)
		}
		release()
		if a := <-done; a.Code != http.StatusCreated || a.Body.Len() == 0 {
			t.Errorf("the write under way: %d %s %s", a.Code, reason(a), a.Body)
		}
		if a := x.post(t.Context(), 1, "", "alone"); a.Code != http.StatusCreated {
			t.Errorf("no name, without the store: %d %s %s", a.Code, reason(a), a.Body)
		}
	})
}

func TestEvicts(t *testing.T) {
	t.Parallel()
	server := storetest.Serve(t)
	client := server.Client()
	for _, row := range []struct {
		most, policy string
		want         bool
	}{{"0", "allkeys-lru", false}, {"100mb", "allkeys-lru", true}, {"100mb", "volatile-ttl", true}, {"100mb", "noeviction", false}} {
		for name, value := range map[string]string{"maxmemory": row.most, "maxmemory-policy": row.policy} {
			if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if memory := client.Info(t.Context(), "memory").Val(); evicts(memory) != row.want {
			t.Errorf("%+v: %s", row, memory)
		}
	}
}
