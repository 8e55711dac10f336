package outcome

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

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
	replicas(t, Config{SharedBodies: true}, func(t *testing.T, _ *memory, one, two *Keeper) {
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
		key := "name:" + hex.EncodeToString(dead.key[:])
		if err := store.Hold(t.Context(), "dead", holdFor); err != nil {
			t.Fatal(err)
		}
		if there, err := store.Begin(t.Context(), key, record{State: statePending, Content: hex.EncodeToString(content[:]), Holder: "dead"}.text(), time.Hour); there != nil || err != nil {
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

// TestWithoutAKeyNoneOfTheDashboardsWordsAreKept in the store: they hold secrets.
func TestWithoutAKeyNoneOfTheDashboardsWordsAreKept(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := &dashboard{fault: &fault.Error{Kind: fault.BadRequest, HTTPStatus: 400, Messages: []string{"psk hunter2 is too short"}}}
		if _, f := do(t, one, d, named("one", `{"psk":"hunter2"}`), time.Minute); f == nil {
			t.Fatal("no fault")
		}
		d.fault = nil
		if _, f := do(t, one, d, named("two", `{"psk":"hunter2"}`), time.Minute); f != nil {
			t.Fatal(f)
		}
		time.Sleep(time.Second)
		store.mu.Lock()
		for _, record := range store.records {
			if strings.Contains(string(record), "hunter2") || strings.Contains(string(record), "body") {
				t.Errorf("the store has %s", record)
			}
		}
		store.mu.Unlock()
		if _, f := do(t, two, d, named("one", `{"psk":"hunter2"}`), time.Minute); f == nil || f.HTTPStatus != 400 || len(f.Messages) > 0 {
			t.Errorf("%+v", f)
		}
	})
}

// TestAWriteWithoutANameAtTwoReplicas: joined while it is under way, or when its outcome
// was not delivered.
func TestAWriteWithoutANameAtTwoReplicas(t *testing.T) {
	for name, test := range map[string]struct {
		patience time.Duration // of the first client, for a write that takes 3 s
		deliver  bool
		between  *Write
		again    bool
	}{
		"under way":       {time.Second, false, nil, true},
		"undelivered":     {time.Minute, false, nil, true},
		"delivered":       {time.Minute, true, nil, false},
		"another reboot":  {time.Minute, false, &Write{Caller: "a", Verb: apiv1.Verb_VERB_POST, Path: "/devices/Q2/reboot", Body: []byte(`{"x":1}`)}, true},
		"closed by a PUT": {time.Minute, false, &Write{Caller: "a", Verb: apiv1.Verb_VERB_PUT, Path: "/devices/Q2/reboot"}, false},
	} {
		for _, back := range []bool{false, true} { // the repetition comes to the first replica
			replicas(t, Config{SharedBodies: true}, func(t *testing.T, _ *memory, one, two *Keeper) {
				d := &dashboard{takes: 3 * time.Second}
				first, f := do(t, one, d, reboot("a"), test.patience)
				if test.deliver {
					first.Delivering()(true)
				}
				if f == nil {
					time.Sleep(time.Second)
				}
				made := int64(1)
				if test.between != nil {
					made++
					if _, f := do(t, two, d, *test.between, time.Minute); f != nil {
						t.Fatal(f)
					}
				}
				if !test.again {
					made++
				}
				k := two
				if back {
					k = one
				}
				r, f := do(t, k, d, reboot("a"), time.Minute)
				if f != nil || r.Again != test.again || test.again && (string(r.Answer.Body) != `{"n":1}` || r.Answer.Cache != CacheOutcome) {
					t.Errorf("%s, back %v: %v, %+v", name, back, f, r)
				}
				if n := d.executed.Load(); n != made {
					t.Errorf("%s, back %v: executed %d times, want %d", name, back, n, made)
				}
			})
		}
	}
}

// TestWhoHasGotItElsewhereClosesIt: the outcome is delivered by the second replica, and
// the first one does not give it out again.
func TestWhoHasGotItElsewhereClosesIt(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{takes: 3 * time.Second}
		if _, f := do(t, one, d, reboot("a"), time.Second); f == nil {
			t.Fatal("done too early")
		}
		r, f := do(t, two, d, reboot("a"), time.Minute)
		if f != nil || !r.Again {
			t.Fatalf("%v %+v", f, r)
		}
		r.Delivering()(true)
		time.Sleep(time.Second)
		for i, k := range []*Keeper{one, two} {
			if r, f := do(t, k, d, reboot("a"), time.Minute); f != nil || r.Again {
				t.Errorf("%v %+v", f, r)
			} else {
				r.Delivering()(true)
			}
			time.Sleep(time.Second)
			if n := d.executed.Load(); n != int64(i)+2 {
				t.Errorf("executed %d times", n)
			}
		}
	})
}

// TestAWriteMadeAfterWaitingIsNoRepetition: a replica waits for the write of another one,
// and makes its own when there is none any more.
func TestAWriteMadeAfterWaitingIsNoRepetition(t *testing.T) {
	for name, w := range map[string]Write{"the first was not executed": named("one", `{}`), "the first was delivered": reboot("a")} {
		replicas(t, Config{SharedBodies: true}, func(t *testing.T, _ *memory, one, two *Keeper) {
			first, second := &dashboard{takes: 3 * time.Second}, &dashboard{takes: 3 * time.Second}
			comes := 3*time.Second + deliveryTime/4 // the second client
			if w.Name != "" {
				first.fault, comes = &fault.Error{Kind: fault.BudgetExhausted}, time.Second
			}
			var wg sync.WaitGroup
			wg.Go(func() {
				if r, f := do(t, one, first, w, time.Minute); f == nil {
					time.Sleep(deliveryTime / 2)
					r.Delivering()(true)
				}
			})
			time.Sleep(comes)
			r, f := do(t, two, second, w, time.Minute)
			wg.Wait()
			if f != nil || r.Again || r.Answer.Cache == CacheOutcome {
				t.Errorf("%s: %v %+v", name, f, r)
			}
			time.Sleep(time.Second)
			for _, k := range []*Keeper{two, one} {
				if r, f := do(t, k, second, w, time.Minute); f != nil || !r.Again {
					t.Errorf("%s, repeated: %v %+v", name, f, r)
				}
			}
			if first.executed.Load() != 1 || second.executed.Load() != 1 {
				t.Errorf("%s: executed %d and %d times", name, first.executed.Load(), second.executed.Load())
			}
		})
	}
}

// TestAFullStore takes no new name, and every outcome.
func TestAFullStore(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := &dashboard{takes: 40 * time.Second} // longer than a word lasts
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, f := do(t, one, d, named("old", `{}`), time.Minute); f != nil {
				t.Error(f)
			}
		})
		time.Sleep(time.Second)
		store.mu.Lock()
		store.full = true
		store.mu.Unlock()
		if _, f := do(t, two, d, named("new", `{}`), time.Minute); f == nil || f.Kind != fault.Unreachable || f.Reason != "OUTCOME_STORE_UNAVAILABLE" || f.RetryAfter < time.Second {
			t.Errorf("a new name: %v", f)
		}
		if r, f := do(t, two, d, named("old", `{}`), time.Minute); f != nil || !r.Again {
			t.Errorf("a name that was there: %v", f)
		}
		wg.Wait()
		d.takes = 0
		if _, f := do(t, two, d, reboot("a"), time.Minute); f != nil {
			t.Errorf("no name: %v", f)
		}
		if n := d.executed.Load(); n != 2 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestAnOutcomeThatIsTooLargeIsKeptWithoutItsBody(t *testing.T) {
	replicas(t, Config{SharedBodies: true}, func(t *testing.T, store *memory, one, two *Keeper) {
		store.most = 150
		answer := &broker.Answer{Status: 201, Body: bytes.Repeat([]byte("x"), 200)}
		if _, err := one.Do(t.Context(), named("one", `{}`), func(context.Context) (*broker.Answer, error) { return answer, nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r, f := do(t, two, new(dashboard), named("one", `{}`), time.Minute); f != nil || r.Answer.Status != 201 || len(r.Answer.Body) > 0 {
			t.Errorf("%v %+v", f, r)
		}
	})
}

// TestAnOutcomeThatCannotBeRead is unknown, and its name not free.
func TestAnOutcomeThatCannotBeRead(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := new(dashboard)
		if _, f := do(t, one, d, named("one", `{}`), time.Minute); f != nil {
			t.Fatal(f)
		}
		time.Sleep(time.Second)
		store.mu.Lock()
		store.unreadable = true
		store.mu.Unlock()
		if _, f := do(t, two, d, named("one", `{}`), time.Minute); f == nil || f.Kind != fault.OutcomeUnknown || !strings.Contains(f.Detail, "keys_file") || d.executed.Load() != 1 {
			t.Errorf("%v, executed %d times", f, d.executed.Load())
		}
	})
}
