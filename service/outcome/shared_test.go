package outcome

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A memory is a store that behaves: records with a life, and it can be gone.
type memory struct {
	mu      sync.Mutex
	records map[string][]byte
	until   map[string]time.Time // of records and of words
	gone    bool
}

var errGone = errors.New("gone")

func newMemory() *memory {
	return &memory{records: make(map[string][]byte), until: make(map[string]time.Time)}
}

func (m *memory) lock() (func(), error) {
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return nil, errGone
	}
	return m.mu.Unlock, nil
}

func (m *memory) Begin(_ context.Context, key string, record []byte, life time.Duration) ([]byte, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if r := m.records[key]; r != nil && time.Now().Before(m.until[key]) {
		return r, nil
	}
	m.records[key], m.until[key] = record, time.Now().Add(life)
	return nil, nil
}

func (m *memory) Replace(_ context.Context, key string, record []byte, life time.Duration) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m.records[key], m.until[key] = record, time.Now().Add(life)
	return nil
}

func (m *memory) Read(_ context.Context, key string) ([]byte, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	return m.records[key], nil
}

func (m *memory) Hold(_ context.Context, key string, life time.Duration) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	m.until["hold "+key] = time.Now().Add(life)
	return nil
}

func (m *memory) Held(_ context.Context, key string) (bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	return time.Now().Before(m.until["hold "+key]), nil
}

func (m *memory) lose(gone bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = gone
}

func replicas(t *testing.T, c Config, f func(t *testing.T, store *memory, one, two *Keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		c.Shared = store
		one, two := New(c), New(c)
		defer one.Close()
		defer two.Close()
		f(t, store, one, two)
	})
}

func TestANameHasOneOutcomeAtAllReplicas(t *testing.T) {
	for _, bodies := range []bool{false, true} {
		replicas(t, Config{SharedBodies: bodies}, func(t *testing.T, _ *memory, one, two *Keeper) {
			d := &dashboard{takes: 3 * time.Second}
			var wg sync.WaitGroup
			answers := make([]*Result, 2)
			for i, k := range []*Keeper{one, two} {
				wg.Go(func() {
					time.Sleep(time.Duration(i) * time.Second)
					r, f := do(t, k, d, named("one", `{}`), time.Minute)
					if f != nil {
						t.Error(f)
					}
					answers[i] = r
				})
			}
			wg.Wait()
			if d.executed.Load() != 1 {
				t.Errorf("executed %d times", d.executed.Load())
			}
			want := ""
			if bodies {
				want = `{"n":1}`
			}
			if a := answers[1].Answer; a.Status != 201 || string(a.Body) != want {
				t.Errorf("the other replica answers %d %q", a.Status, a.Body)
			}
			if _, f := do(t, two, d, named("one", `{"other":1}`), time.Minute); f == nil || f.Reason != "IDEMPOTENCY_KEY_REUSED" {
				t.Errorf("another write under the name, elsewhere: %v", f)
			}
		})
	}
}

func TestAFailureIsAnOutcomeAtAllReplicas(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{fault: &fault.Error{Kind: fault.BadRequest, Reason: "NAME_TAKEN", HTTPStatus: 400, Messages: []string{"taken"}, RequestID: "r1"}}
		for _, k := range []*Keeper{one, two} {
			_, f := do(t, k, d, named("one", `{}`), time.Minute)
			if f == nil || f.Kind != fault.BadRequest || f.Reason != "NAME_TAKEN" || f.HTTPStatus != 400 || len(f.Messages) != 1 || f.RequestID != "r1" {
				t.Errorf("%+v", f)
			}
			time.Sleep(time.Second)
		}
		if d.executed.Load() != 1 {
			t.Errorf("asked %d times", d.executed.Load())
		}
	})
}

func TestAWriteThatWasNotExecutedMayBeMadeElsewhere(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{fault: &fault.Error{Kind: fault.BudgetExhausted}}
		if _, f := do(t, one, d, named("one", `{}`), time.Minute); f == nil {
			t.Fatal("no fault")
		}
		time.Sleep(time.Second)
		d.fault = nil
		if r, f := do(t, two, d, named("one", `{}`), time.Minute); f != nil || r.Answer.Status != 201 {
			t.Errorf("%v %+v", f, r)
		}
	})
}

// TestAReplicaThatDiedLeavesAnUnknownOutcome: never a free name.
func TestAReplicaThatDiedLeavesAnUnknownOutcome(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, _, two *Keeper) {
		w := named("one", `{}`)
		content := w.content()
		dead := &entry{write: w, content: content, key: w.key(content)}
		key := hexKey(dead)
		if err := store.Hold(t.Context(), "dead", holdFor); err != nil {
			t.Fatal(err)
		}
		if there, err := store.Begin(t.Context(), key, pendingRecord(dead, "dead"), time.Hour); there != nil || err != nil {
			t.Fatal(there, err)
		}
		d := new(dashboard)
		start := time.Now()
		for { // a client that repeats does not keep the dead one alive
			_, f := do(t, two, d, w, 5*time.Second)
			if f != nil && f.Kind == fault.OutcomeUnknown {
				break
			}
			if time.Since(start) > holdFor+2*time.Second {
				t.Fatalf("%v after %v", f, time.Since(start))
			}
		}
		third := New(Config{Shared: store})
		defer third.Close()
		if _, f := do(t, third, d, w, time.Minute); f == nil || f.Kind != fault.OutcomeUnknown {
			t.Errorf("a third replica: %v", f)
		}
		if d.executed.Load() != 0 {
			t.Error("executed although the outcome is not known")
		}
	})
}

func TestASlowReplicaKeepsItsWord(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{takes: 50 * time.Second}
		var wg sync.WaitGroup
		for _, k := range []*Keeper{one, two} {
			wg.Go(func() {
				if _, f := do(t, k, d, named("one", `{}`), time.Minute); f != nil {
					t.Error(f)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if d.executed.Load() != 1 {
			t.Errorf("executed %d times", d.executed.Load())
		}
	})
}

func TestWithoutTheStoreNoNamedWriteBegins(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, _ *Keeper) {
		d := new(dashboard)
		store.lose(true)
		if _, f := do(t, one, d, named("one", `{}`), time.Minute); f == nil || f.Kind != fault.Unreachable || f.Reason != "OUTCOME_STORE_UNAVAILABLE" || f.RetryAfter <= 0 {
			t.Errorf("%v", f)
		}
		if _, f := do(t, one, d, reboot("a"), time.Minute); f != nil {
			t.Errorf("a write without a name: %v", f)
		}
		if d.executed.Load() != 1 {
			t.Errorf("executed %d times", d.executed.Load())
		}
	})
}

// TestTheStoreGoesWhileAWriteIsUnderWay: the caller has its answer at once, and
// the others have it when the store is back.
func TestTheStoreGoesWhileAWriteIsUnderWay(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		start := time.Now()
		_, err := one.Do(t.Context(), named("one", `{}`), func(context.Context) (*broker.Answer, error) {
			store.lose(true)
			return &broker.Answer{Status: 201}, nil
		})
		if err != nil || time.Since(start) > 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(4 * time.Second)
		store.lose(false)
		time.Sleep(10 * time.Second)
		d := new(dashboard)
		if r, f := do(t, two, d, named("one", `{}`), time.Minute); f != nil || r.Answer.Status != 201 || d.executed.Load() != 0 {
			t.Errorf("%v %+v, executed %d times", f, r, d.executed.Load())
		}
	})
}
