package outcome

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A dashboard executes writes: it counts them, and takes a while.
type dashboard struct {
	takes     time.Duration
	fault     *fault.Error
	executed  atomic.Int64
	abandoned atomic.Int64
}

func (d *dashboard) make(ctx context.Context) (*broker.Answer, error) {
	if err := wait(ctx, d.takes); err != nil {
		d.abandoned.Add(1)
		return nil, &fault.Error{Kind: fault.Cancelled, Cause: err}
	}
	n := d.executed.Add(1)
	if d.fault != nil {
		return nil, d.fault
	}
	return &broker.Answer{Status: 201, Body: fmt.Appendf(nil, `{"n":%d}`, n)}, nil
}

func reboot(caller string) Write {
	return Write{Caller: caller, Operation: "rebootDevice", Verb: apiv1.Verb_VERB_POST, Path: "/devices/Q2/reboot"}
}

func named(name, body string) Write {
	return Write{Caller: "a", Operation: "createOrganizationNetwork", Name: name, Verb: apiv1.Verb_VERB_POST, Path: "/organizations/1/networks", Body: []byte(body)}
}

// do makes a write that waits at most for patience.
func do(t *testing.T, k *Keeper, d *dashboard, w Write, patience time.Duration) (*Result, *fault.Error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := k.Do(ctx, w, d.make)
	f := fault.As(err)
	if err != nil && f == nil {
		t.Fatalf("an error that is no fault: %v", err)
	}
	return r, f
}

func bubble(t *testing.T, c Config, f func(t *testing.T, k *Keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := New(c)
		defer k.Close()
		f(t, k)
	})
}

func TestTwoRebootsThatAreWantedAreTwo(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: time.Second}
		for range 2 {
			r, f := do(t, k, d, reboot("a"), time.Minute)
			if f != nil || r.Again {
				t.Fatalf("%v %+v", f, r)
			}
			r.Delivering()(true)
		}
		if n := d.executed.Load(); n != 2 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestAClientThatGaveUpGetsTheOutcomeOfItsFirstRequest(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: 12 * time.Second}
		for range 2 { // at 5 s and at 10 s it gives up
			if _, f := do(t, k, d, reboot("a"), 5*time.Second); f == nil || f.Reason != "WRITE_UNDER_WAY" || f.RetryAfter <= 0 {
				t.Fatalf("%v", f)
			}
		}
		r, f := do(t, k, d, reboot("a"), 5*time.Second)
		if f != nil || !r.Again || string(r.Answer.Body) != `{"n":1}` {
			t.Fatalf("%v %+v", f, r)
		}
		r.Delivering()(true)
		if n := d.executed.Load(); n != 1 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestAnOutcomeThatNobodyGotIsKeptForTheNext(t *testing.T) {
	bubble(t, Config{Undelivered: time.Minute}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: 8 * time.Second}
		if _, f := do(t, k, d, reboot("a"), 5*time.Second); f == nil {
			t.Fatal("done too early")
		}
		time.Sleep(30 * time.Second)
		if r, f := do(t, k, d, reboot("a"), 5*time.Second); f != nil || !r.Again {
			t.Fatalf("%v %+v", f, r)
		}
		time.Sleep(time.Minute) // nobody said that it was delivered, but it is old by now
		if r, f := do(t, k, d, reboot("a"), time.Minute); f != nil || r.Again {
			t.Fatalf("%v %+v", f, r)
		}
		if n := d.executed.Load(); n != 2 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestAnotherWriteOnThePathClosesTheOutcome(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		put := func(body string) *Result {
			r, f := do(t, k, d, Write{Caller: "a", Verb: apiv1.Verb_VERB_PUT, Path: "/networks/N_1", Body: []byte(body)}, time.Minute)
			if f != nil {
				t.Fatal(f)
			}
			return r
		}
		put(`{"name":"x"}`)
		put(`{"name":"y"}`)
		if r := put(`{"name":"x"}`); r.Again {
			t.Error("the third write got the outcome of the first, and the name stays y")
		}
		if n := d.executed.Load(); n != 3 {
			t.Errorf("executed %d times", n)
		}
	})
}

// TestWhichWritesCloseAnOutcome: what a client has lost is asked for again after
// another write at the same path.
func TestWhichWritesCloseAnOutcome(t *testing.T) {
	const post, put, remove = apiv1.Verb_VERB_POST, apiv1.Verb_VERB_PUT, apiv1.Verb_VERB_DELETE
	write := func(verb apiv1.Verb, body string) Write {
		return Write{Caller: "a", Verb: verb, Path: "/organizations/1/networks", Body: []byte(body)}
	}
	for name, test := range map[string]struct {
		lost, between Write
		closed        bool
	}{
		"two POSTs":           {write(post, `{"name":"x"}`), write(post, `{"name":"y"}`), false},
		"two PUTs":            {write(put, `{"name":"x"}`), write(put, `{"name":"y"}`), true},
		"a POST and a DELETE": {write(post, `{"name":"x"}`), write(remove, ``), true},
		"a DELETE and a POST": {write(remove, ``), write(post, `{"name":"x"}`), true},
		"a POST and a PUT":    {write(post, `{"name":"x"}`), write(put, `{"name":"x"}`), true},
	} {
		for _, delivered := range []bool{false, true} { // that between
			bubble(t, Config{}, func(t *testing.T, k *Keeper) {
				d := new(dashboard)
				for i, w := range []Write{test.lost, test.between, test.lost} {
					r, f := do(t, k, d, w, time.Minute)
					if f != nil || r.Again != (i == 2 && !test.closed) {
						t.Errorf("%s, write %d: %v, again %v", name, i, f, r.Again)
					}
					if delivered && i == 1 {
						r.Delivering()(true)
					}
				}
			})
		}
	}
}

// TestAPlaceGoesWithItsOutcomes: nothing is left of a path that nobody writes to.
func TestAPlaceGoesWithItsOutcomes(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		for n := range 10 {
			w := reboot("a")
			w.Path += fmt.Sprint(n % 3)
			r, f := do(t, k, d, w, time.Minute)
			if f != nil {
				t.Fatal(f)
			}
			r.Delivering()(true)
		}
		if len(k.places) != 0 || len(k.entries) != 0 || len(k.callers) != 0 {
			t.Errorf("%d places, %d entries, %d callers are left", len(k.places), len(k.entries), len(k.callers))
		}
	})
}

// TestTheSameWriteWaitsForTheDelivery of the one before: whether it is another one
// depends on that.
func TestTheSameWriteWaitsForTheDelivery(t *testing.T) {
	for _, delivered := range []bool{false, true} {
		bubble(t, Config{}, func(t *testing.T, k *Keeper) {
			d := new(dashboard)
			first, f := do(t, k, d, reboot("a"), time.Minute)
			if f != nil {
				t.Fatal(f)
			}
			settle := first.Delivering()
			if _, f := do(t, k, d, reboot("a"), time.Second); f == nil || f.Reason != "WRITE_UNDER_WAY" {
				t.Errorf("while it is being delivered: %v", f)
			}
			time.AfterFunc(3*time.Second, func() { settle(delivered) })
			start := time.Now()
			again, f := do(t, k, d, reboot("a"), time.Minute)
			if f != nil || again.Again == delivered || time.Since(start) != 3*time.Second {
				t.Errorf("delivered %v: %v, again %v after %v", delivered, f, again.Again, time.Since(start))
			}
		})
	}
}

// TestAnOutcomeIsDeliveredToOneOfTwo: one has left, the other one has it.
func TestAnOutcomeIsDeliveredToOneOfTwo(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: time.Second}
		var settles []func(bool)
		var wg sync.WaitGroup
		var mu sync.Mutex
		for range 2 {
			wg.Go(func() {
				if r, f := do(t, k, d, reboot("a"), time.Minute); f == nil {
					mu.Lock()
					defer mu.Unlock()
					settles = append(settles, r.Delivering())
				}
			})
		}
		wg.Wait()
		settles[0](true)
		settles[1](false)
		if r, f := do(t, k, d, reboot("a"), time.Minute); f != nil || r.Again {
			t.Errorf("%v, again %v", f, r.Again)
		}
	})
}

func TestOutcomesAreNotSharedBetweenCallers(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		for _, w := range []Write{reboot("a"), reboot("b")} {
			w.Name = "one"
			if r, f := do(t, k, d, w, time.Minute); f != nil || r.Again {
				t.Fatalf("%v %+v", f, r)
			}
		}
		if n := d.executed.Load(); n != 2 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestANameHasOneOutcome(t *testing.T) {
	bubble(t, Config{Life: time.Hour}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		for i, body := range []string{`{"name":"x","tags":[1]}`, ` {"tags":[1], "name":"x"}`} { // the same JSON
			r, f := do(t, k, d, named("one", body), time.Minute)
			if f != nil || r.Again != (i > 0) {
				t.Fatalf("%v %+v", f, r)
			}
			r.Delivering()(true) // makes no difference for a name
		}
		if _, f := do(t, k, d, named("one", `{"name":"y"}`), time.Minute); f == nil || f.Reason != "IDEMPOTENCY_KEY_REUSED" || f.Kind != fault.BadRequest {
			t.Errorf("another write under the name: %v", f)
		}
		time.Sleep(time.Hour)
		if r, f := do(t, k, d, named("one", `{"name":"y"}`), time.Minute); f != nil || r.Again {
			t.Errorf("after the name's life: %v %+v", f, r)
		}
		if n := d.executed.Load(); n != 2 {
			t.Errorf("executed %d times", n)
		}
	})
}

func TestWhatWasRefusedIsAnOutcomeAndWhatMayBeRepeatedIsNone(t *testing.T) {
	for _, test := range []struct {
		fault fault.Error
		kept  bool
	}{
		{fault.Error{Kind: fault.BadRequest, HTTPStatus: 400}, true},
		{fault.Error{Kind: fault.NotFound, HTTPStatus: 404}, true},
		{fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 502}, true},
		{fault.Error{Kind: fault.Internal}, true},
		{fault.Error{Kind: fault.BadRequest}, false},
		{fault.Error{Kind: fault.RateLimited, HTTPStatus: 429}, false},
		{fault.Error{Kind: fault.BudgetExhausted}, false},
		{fault.Error{Kind: fault.Unreachable}, false},
		{fault.Error{Kind: fault.CallerNotAllowed}, false},
	} {
		bubble(t, Config{}, func(t *testing.T, k *Keeper) {
			d := &dashboard{fault: &test.fault}
			for range 2 {
				if _, f := do(t, k, d, named("one", `{}`), time.Minute); f == nil || f.Kind != test.fault.Kind {
					t.Fatalf("%v", f)
				}
			}
			if n := d.executed.Load(); n == 1 != test.kept {
				t.Errorf("%v: asked %d times", test.fault.Kind, n)
			}
		})
	}
}

func TestAWriteThatNobodyWaitsForEndsAfterItsGrace(t *testing.T) {
	bubble(t, Config{Grace: 10 * time.Second}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: time.Hour}
		if _, f := do(t, k, d, reboot("a"), time.Second); f == nil {
			t.Fatal("done too early")
		}
		time.Sleep(9 * time.Second)
		if d.abandoned.Load() != 0 {
			t.Error("given up before the grace was over")
		}
		time.Sleep(2 * time.Second)
		if d.abandoned.Load() != 1 {
			t.Error("still waiting after the grace")
		}
		// Somebody who comes back in time stops the clock.
		d.takes = 30 * time.Second
		for range 4 {
			_, _ = do(t, k, d, reboot("a"), 9*time.Second)
		}
		if d.executed.Load() != 1 || d.abandoned.Load() != 1 {
			t.Errorf("executed %d, given up %d", d.executed.Load(), d.abandoned.Load())
		}
	})
}

func TestAWriteEndsAtItsFinish(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		d := &dashboard{takes: time.Hour}
		w := reboot("a")
		w.Finish = time.Now().Add(20 * time.Second)
		start := time.Now()
		if _, f := do(t, k, d, w, time.Minute); f == nil || time.Since(start) != 20*time.Second {
			t.Errorf("%v after %v", f, time.Since(start))
		}
	})
}

func TestThereIsRoomForSoManyOutcomes(t *testing.T) {
	bubble(t, Config{Most: 10, CallerMost: 6}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		try := func(caller, name string, n int) *fault.Error {
			w := Write{Caller: caller, Verb: apiv1.Verb_VERB_POST, Path: fmt.Sprint("/x/", caller, name, n)}
			if name != "" {
				w.Name = fmt.Sprint(name, n)
			}
			_, f := do(t, k, d, w, time.Minute)
			return f
		}
		for n := range 20 { // undelivered ones make room for one another
			if f := try("a", "", n); f != nil {
				t.Fatal(f)
			}
		}
		for n := range 6 {
			if f := try("a", "name", n); f != nil {
				t.Fatal(f)
			}
		}
		if f := try("a", "name", 6); f == nil || f.Reason != "OUTCOMES_FULL" || f.RetryAfter <= 0 {
			t.Errorf("a seventh name of one caller: %v", f)
		}
		for n := range 4 {
			if f := try("b", "name", n); f != nil {
				t.Fatal(f)
			}
		}
		if f := try("b", "name", 4); f == nil || f.Reason != "OUTCOMES_FULL" {
			t.Errorf("an eleventh name in all: %v", f)
		}
		if f := try("a", "name", 0); f != nil {
			t.Errorf("a name that is kept: %v", f)
		}
	})
}

func TestBodiesAreBounded(t *testing.T) {
	bubble(t, Config{Bytes: 10}, func(t *testing.T, k *Keeper) {
		d := new(dashboard)
		for n, want := range []string{`{"n":1}`, `{"n":2}`} {
			r, f := do(t, k, d, named(fmt.Sprint(n), `{}`), time.Minute)
			if f != nil || string(r.Answer.Body) != want {
				t.Fatalf("%v %+v", f, r)
			}
		}
		for n, want := range []string{`{"n":1}`, ``} {
			if r, f := do(t, k, d, named(fmt.Sprint(n), `{}`), time.Minute); f != nil || string(r.Answer.Body) != want || r.Answer.Status != 201 {
				t.Errorf("%v %q", f, r.Answer.Body)
			}
		}
	})
}

func TestABugInTheWayOfAWriteIsAnUnknownOutcome(t *testing.T) {
	bubble(t, Config{}, func(t *testing.T, k *Keeper) {
		_, err := k.Do(t.Context(), reboot("a"), func(context.Context) (*broker.Answer, error) { panic("a bug") })
		if f := fault.As(err); f == nil || f.Kind != fault.OutcomeUnknown {
			t.Errorf("%v", err)
		}
	})
}

func TestNamesThatCannotBeKept(t *testing.T) {
	k := New(Config{})
	defer k.Close()
	for _, name := range []string{"a b", "ä", "a\n", string(make([]byte, 256))} {
		w := reboot("a")
		w.Name = name
		_, err := k.Do(t.Context(), w, func(context.Context) (*broker.Answer, error) { return nil, errors.New("made") })
		if f := fault.As(err); f == nil || f.Kind != fault.BadRequest {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAfterCloseNothingBegins(t *testing.T) {
	k := New(Config{})
	k.Close()
	_, err := k.Do(t.Context(), reboot("a"), func(context.Context) (*broker.Answer, error) { return nil, errors.New("made") })
	if f := fault.As(err); f == nil || f.Kind != fault.Draining {
		t.Errorf("%v", err)
	}
}
