package outcome

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// What the store has done, and nobody has heard of; and what it has lost.

// TestWhatIsDeliveredIsNotPutBack: the first replica does not hear that the store has its
// outcome; it tells the store again, when the second has delivered it already.
func TestWhatIsDeliveredIsNotPutBack(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := &dashboard{takes: 3 * time.Second}
		time.AfterFunc(2990*time.Millisecond, func() {
			store.mu.Lock()
			defer store.mu.Unlock()
			store.unheard = true
		})
		if _, f := do(t, one, d, reboot("a"), 2950*time.Millisecond); f == nil {
			t.Fatal("done too early")
		}
		r, f := do(t, two, d, reboot("a"), 100*time.Millisecond+time.Nanosecond) // before the first tries again
		if f != nil || !r.Again {
			t.Fatalf("%v %+v", f, r)
		}
		r.Delivering()(true)
		time.Sleep(time.Second)
		if r, f := do(t, two, d, reboot("a"), time.Minute); f != nil || r.Again || d.executed.Load() != 2 {
			t.Errorf("%v %+v, executed %d times", f, r, d.executed.Load())
		}
	})
}

// TestADropLeavesTheNextWriteAlone: two replicas deliver the same outcome, and a third has
// begun the next write when the second of them drops it.
func TestADropLeavesTheNextWriteAlone(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, _ *Keeper) {
		delivered, next := record{State: stateDone, Holder: "a"}.text(), record{State: statePending, Holder: "b"}.text()
		if there, err := store.Begin(t.Context(), "write:x", delivered, time.Hour); there != nil || err != nil {
			t.Fatal(there, err)
		}
		store.meanwhile = func() { store.records["write:x"] = next }
		for _, want := range []int{notKnown, notThere} { // and it is seen when looked at again
			if got := one.drop("write:x", "a"); got != want {
				t.Errorf("%d, want %d", got, want)
			}
		}
		if there, err := store.Read(t.Context(), "write:x"); !bytes.Equal(there, next) || err != nil {
			t.Errorf("%s, %v", there, err)
		}
	})
}

// TestAWordIsGivenAgain: the store is gone for longer than a word lasts. The replica that
// makes a write lives, and says so again.
func TestAWordIsGivenAgain(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := &dashboard{takes: time.Minute}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, f := do(t, one, d, named("one", `{}`), 2*time.Minute); f != nil {
				t.Error(f)
			}
		})
		synctest.Wait() // it has begun
		store.lose(true)
		time.Sleep(holdFor + time.Second)
		store.lose(false)
		time.Sleep(renewEvery + time.Second)
		if r, f := do(t, two, d, named("one", `{}`), 2*time.Minute); f != nil || !r.Again {
			t.Errorf("the other replica: %v %+v", f, r)
		}
		wg.Wait()
		if d.executed.Load() != 1 {
			t.Errorf("executed %d times", d.executed.Load())
		}
	})
}

// TestAClaimThatNobodyHeardOf is there, or comes later: a write without a name that goes
// on all the same is found by who repeats it, while it is under way and afterwards, until
// its caller has the outcome.
func TestAClaimThatNobodyHeardOf(t *testing.T) {
	for name, sets := range map[string]func(*memory){
		"it is there":    func(m *memory) { m.unheardNew = true },
		"it comes later": func(m *memory) { m.late, m.lateOnly = true, statePending },
	} {
		for _, delivered := range []bool{false, true} {
			replicas(t, Config{SharedBodies: true}, func(t *testing.T, store *memory, one, two *Keeper) {
				d := &dashboard{takes: time.Second}
				sets(store)
				first, f := do(t, one, d, reboot("a"), time.Minute)
				if f != nil || first.Again {
					t.Fatalf("%s: %v %+v", name, f, first)
				}
				if delivered {
					first.Delivering()(true)
				}
				for i, k := range []*Keeper{two, one} {
					time.Sleep(holdFor + renewEvery)
					r, f := do(t, k, d, reboot("a"), time.Minute)
					if f != nil || r.Again == delivered {
						t.Errorf("%s, delivered %v: %v %+v", name, delivered, f, r)
						continue
					}
					if want := map[bool]int64{false: 1, true: int64(i) + 2}[delivered]; d.executed.Load() != want {
						t.Errorf("%s, delivered %v: executed %d times, want %d", name, delivered, d.executed.Load(), want)
					}
					if delivered {
						r.Delivering()(true)
					}
				}
			})
		}
	}
}

// TestANameIsTakenWhileItsWriteIsUnderWay, also where outcomes are kept for less time than a
// write may take.
func TestANameIsTakenWhileItsWriteIsUnderWay(t *testing.T) {
	replicas(t, Config{Life: time.Minute}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{takes: 10 * time.Minute}
		w := named("one", `{}`)
		w.Finish = time.Now().Add(15 * time.Minute)
		var wg sync.WaitGroup
		for i, k := range []*Keeper{one, two} {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 5 * time.Minute)
				if r, f := do(t, k, d, w, time.Hour); f != nil || r.Again != (i == 1) {
					t.Errorf("%v %+v", f, r)
				}
			})
		}
		wg.Wait()
		if d.executed.Load() != 1 {
			t.Errorf("executed %d times", d.executed.Load())
		}
	})
}

// TestAClaimThatWasLostOnItsWay leaves the name free: nothing was sent.
func TestAClaimThatWasLostOnItsWay(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		store.late = true
		d := new(dashboard)
		if _, f := do(t, one, d, named("one", `{}`), time.Minute); f == nil || f.Reason != "OUTCOME_STORE_UNAVAILABLE" {
			t.Fatalf("%v", f)
		}
		time.Sleep(holdFor)
		if r, f := do(t, two, d, named("one", `{}`), time.Minute); f != nil || r.Again || d.executed.Load() != 1 {
			t.Errorf("%v, executed %d times", f, d.executed.Load())
		}
	})
}

// TestWhatIsSaidToBeUnknownIsNotSentAfterwards: the store was gone for longer than a word
// lasts, and another replica was faster than the one that makes the write, which waits for
// its slot. Who has been told that the outcome is unknown reads the state back, and makes the
// write again; it is not made by the first one after that.
func TestWhatIsSaidToBeUnknownIsNotSentAfterwards(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
		d := &dashboard{takes: time.Minute}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, f := do(t, one, d, named("one", `{}`), 2*time.Minute); f == nil || f.Kind != fault.Unreachable || f.Reason != reasonNoStore {
				t.Errorf("the first: %v", f)
			}
		})
		synctest.Wait() // it has begun
		store.lose(true)
		time.Sleep(holdFor + time.Second)
		store.lose(false)
		if _, f := do(t, two, d, named("one", `{}`), time.Second); f == nil || f.Kind != fault.OutcomeUnknown {
			t.Errorf("the second: %v", f)
		}
		time.Sleep(renewEvery + time.Second)
		if r, f := do(t, two, d, named("one", `{}`), 2*time.Minute); f != nil || r.Again {
			t.Errorf("and again: %v %+v", f, r)
		}
		wg.Wait()
		if d.executed.Load() != 1 || d.abandoned.Load() != 1 {
			t.Errorf("executed %d times, given up %d times", d.executed.Load(), d.abandoned.Load())
		}
	})
}

// TestTheStoreComesBackEmptyWhileAWriteIsUnderWay: its name is taken again, and not free for
// longer than the replica that makes it needs to notice.
func TestTheStoreComesBackEmptyWhileAWriteIsUnderWay(t *testing.T) {
	for name, faster := range map[string]bool{"it notices": false, "another write under the name was faster": true} {
		replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
			d := &dashboard{takes: time.Minute}
			var wg sync.WaitGroup
			wg.Go(func() {
				if r, f := do(t, one, d, named("one", `{}`), 2*time.Minute); faster != (f != nil) || f == nil && r.Again {
					t.Errorf("%s: the first: %v", name, f)
				}
			})
			time.Sleep(time.Second)
			store.mu.Lock()
			clear(store.records)
			clear(store.until)
			store.mu.Unlock()
			if !faster {
				time.Sleep(renewEvery + time.Second)
			}
			if r, f := do(t, two, d, named("one", `{}`), 2*time.Minute); f != nil || r.Again == faster {
				t.Errorf("%s: the second: %v %+v", name, f, r)
			}
			wg.Wait()
			if d.executed.Load() != 1 {
				t.Errorf("%s: executed %d times", name, d.executed.Load())
			}
		})
	}
}

// TestALongOutageOfTheStore, of several minutes, in which a write is done, or a claim of which
// nobody heard was taken back: the other replicas hear of it when the store is back.
func TestALongOutageOfTheStore(t *testing.T) {
	for name, claim := range map[string]bool{"a write is done": false, "a claim is taken back": true} {
		replicas(t, Config{}, func(t *testing.T, store *memory, one, two *Keeper) {
			d := &dashboard{takes: time.Second}
			var wg sync.WaitGroup
			wg.Go(func() {
				store.mu.Lock()
				store.unheardNew, store.unheardGone = claim, claim
				store.mu.Unlock()
				if r, f := do(t, one, d, named("one", `{}`), time.Minute); claim != (f != nil) {
					t.Errorf("%s: %v %+v", name, f, r)
				}
			})
			synctest.Wait()
			store.lose(true)
			wg.Wait()
			time.Sleep(5 * time.Minute)
			store.lose(false)
			time.Sleep(publishPause + renewEvery)
			if r, f := do(t, two, d, named("one", `{}`), time.Minute); f != nil || r.Again == claim || d.executed.Load() != 1 {
				t.Errorf("%s: %v %+v, executed %d times", name, f, r, d.executed.Load())
			}
		})
	}
}

// TestAReplicaThatFollowsStops at once: the write is another one's.
func TestAReplicaThatFollowsStops(t *testing.T) {
	replicas(t, Config{}, func(t *testing.T, _ *memory, one, two *Keeper) {
		d := &dashboard{takes: 3 * time.Second}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, f := do(t, one, d, named("one", `{}`), time.Minute); f != nil {
				t.Error(f)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, f := do(t, two, d, named("one", `{}`), time.Minute); f == nil || f.Kind != fault.Draining {
				t.Errorf("its caller: %v", f)
			}
		})
		synctest.Wait()
		begun := time.Now()
		two.Close()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it took %v", took)
		}
		wg.Wait()
	})
}
