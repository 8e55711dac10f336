package batch

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// mixed is a list with everything in it: updates, creates, two of them wrong, a group, a
// wrong group, an order, and a write that no batch carries.
func mixed() []Write {
	all := portWrites("1", 120, func(i int) bool { return i == 33 })
	for i := range 40 {
		all = append(all, Write{ID: fmt.Sprint("new ", i), Call: call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%d/groupPolicies", i), fmt.Sprintf(`{"name":"%s"}`, map[bool]string{true: "wrong", false: "g"}[i == 7]))})
	}
	for i := range 6 {
		body := `{"vlan":3}`
		if i == 5 {
			body = `{"name":"wrong"}`
		}
		all = append(all, Write{ID: fmt.Sprint("group ", i), Group: fmt.Sprint(i / 3), Call: call("updateDeviceSwitchPort", fmt.Sprintf("/devices/Q1-70%d/switch/ports/1", i), body)})
	}
	return append(all,
		Write{ID: "after", Call: call("updateDeviceSwitchPort", all[0].Call.Path+"/", `{}`)},
		Write{ID: "reboot", Call: call("rebootDevice", "/devices/Q1-99/reboot", "")},
		Write{ID: "elsewhere", Call: call("updateDeviceSwitchPort", "/devices/Q2-1/switch/ports/1", `{}`)},
	)
}

// truth holds what was said of each write against what the Dashboard has made.
func truth(t *testing.T, d *fakeDashboard, writes []Write, out map[string]Result, final bool) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range writes {
		r, n := out[w.ID], d.executed[w.Call.Path]
		if r.Batch == "" && w.Call.Operation.GetVerb() == apiv1.Verb_VERB_PUT { // a PUT by itself goes again, as it does after each lost answer
			n = min(n, 1)
		}
		right, wrong := true, strings.Contains(string(w.Call.Body), "wrong")
		switch f := fault.As(r.Err); {
		case r.State == Done:
			right = n == 1 && f == nil
		case r.State == Failed && f.Kind == fault.OutcomeUnknown:
			right = n <= 1 && (w.ID == "reboot" || wrong) // these go by themselves
		case r.State == Failed:
			right = n == 0 && len(f.Messages) > 0
		case r.State == NotTried && f.Reason == reasonGroup:
			right = n == 0
		case r.State == NotTried || r.State == Pending:
			right = !final && n <= 1
		default:
			right = false
		}
		if r.State == Done && wrong || final && r.State == Failed && !wrong && fault.As(r.Err).Kind != fault.OutcomeUnknown {
			right = false
		}
		if !right {
			t.Errorf("%s was made %d times, and is said to be %+v: %+v", w.ID, n, r, fault.As(r.Err))
		}
	}
}

// everyStep: a replica dies in one of so many steps, the first drawn by lot. All of them
// take 17 s under the race detector.
const everyStep = 4

// TestAReplicaDies in the steps of its way, before or after one: another replica goes on
// with its list. No write is made twice, and what is said of each is true.
func TestAReplicaDies(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name string
		manner
		latency time.Duration
	}{
		{"killed before the step", manner{}, 100 * time.Millisecond},
		{"killed after the step", manner{late: true}, 100 * time.Millisecond},
		{"cut off from the store", manner{partitioned: true}, 100 * time.Millisecond},
		{"cut off from the store, and the Dashboard is slow", manner{partitioned: true}, 9 * time.Second},
		{"asleep in the step", manner{asleep: true}, 100 * time.Millisecond},
		{"stopped for a time before the step", manner{frozen: true}, 100 * time.Millisecond},
		{"stopped for a time after the step", manner{frozen: true, late: true}, 100 * time.Millisecond},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			for at, died := mathrand.IntN(everyStep), true; died && !t.Failed(); at += everyStep {
				synctest.Test(t, func(t *testing.T) {
					d, s, end := newFake(), newFakeStore(), make(chan struct{})
					one, two := newReplica(d, s, end), newReplica(d, s, end)
					d.latency = way.latency
					one.at, one.manner = at, way.manner
					a, b := one.batches(t), two.batches(t)
					r := Request{Caller: "me", Name: "key", Writes: mixed()}
					ctx, leave := context.WithCancel(t.Context())
					first := make(chan map[string]Result, 1)
					go func() {
						out := make(map[string]Result)
						_ = a.Apply(ctx, context.Background(), r, func(results []Result) error { // it dies
							for _, x := range results {
								out[r.Writes[x.Index].ID] = x
							}
							return nil
						})
						first <- out
					}()
					select {
					case <-one.cut:
					case out := <-first:
						died = false
						first <- out
					}
					truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
					truth(t, d, r.Writes, apply(t, b, t.Context(), r), true) // from what is kept
					if way.partitioned || way.asleep || way.frozen {
						if out := <-first; len(out) > 0 { // it has begun, and has known when to stop
							truth(t, d, r.Writes, out, false)
						}
					}
					leave()
					close(end)
					a.Close()
					b.Close()
					if t.Failed() {
						t.Logf("it died in step %d", at)
					}
				})
			}
		})
	}
}

// TestAReplicaDiesWhenItHasDeletedABatch: its caller has left before the batch was
// confirmed. Nothing was done, and the next replica makes it.
func TestAReplicaDiesWhenItHasDeletedABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		one := newReplica(d, s, end)
		d.fate = func(op string, n int) (bool, *fault.Error) {
			if op == "deleteOrganizationActionBatch" && n == 0 {
				close(one.cut)
			}
			return true, nil
		}
		a, b := one.batches(t), newReplica(d, s, end).batches(t)
		r := Request{Caller: "me", Name: "key", Writes: mixed()[120:160]}
		ctx, leave := context.WithCancel(t.Context())
		go func() { _ = a.Apply(ctx, context.Background(), r, func([]Result) error { return nil }) }() // it dies
		time.Sleep(d.latency / 2)                                                                      // the batch is on its way
		leave()
		<-one.cut
		truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
		close(end)
		a.Close()
		b.Close()
	})
}

// TestABatchThatSeemsGone: a Dashboard that does not find a batch at first has it all the
// same; the next replica does not make it again.
func TestABatchThatSeemsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		one := newReplica(d, s, end)
		d.fate = func(op string, n int) (bool, *fault.Error) {
			if op == "updateOrganizationActionBatch" && n == 0 {
				close(one.cut)
			}
			return true, lostIf(op == "getOrganizationActionBatch" && n == 0, &fault.Error{Kind: fault.NotFound, HTTPStatus: 404})
		}
		a, b := one.batches(t), newReplica(d, s, end).batches(t)
		r := Request{Caller: "me", Name: "key", Writes: mixed()[128:160]}
		go func() { _ = a.Apply(t.Context(), context.Background(), r, func([]Result) error { return nil }) }() // it dies
		<-one.cut
		truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
		close(end)
		a.Close()
		b.Close()
	})
}

// TestAReplicaDiesBetweenTwoEntries: so much became known during an outage of the store
// that one entry does not take it.
func TestAReplicaDiesBetweenTwoEntries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		one := newReplica(d, s, end)
		a, b := one.batches(t), newReplica(d, s, end).batches(t)
		r := Request{Caller: "me", Name: "key"}
		for organization := range 8 {
			for i := range 70 {
				path := fmt.Sprintf("/networks/N_%d-%d/groupPolicies", 1+organization, i)
				r.Writes = append(r.Writes, Write{ID: path, Call: call("createNetworkGroupPolicy", path, `{"name":"g"}`)})
			}
		}
		go func() { _ = a.Apply(t.Context(), context.Background(), r, func([]Result) error { return nil }) }() // it dies
		time.Sleep(d.latency / 2)                                                                              // the batches are on their way
		s.mu.Lock()
		s.err = errStoreGone
		s.mu.Unlock()
		time.Sleep(patience - time.Second) // all have ended, five at a time
		synctest.Wait()
		one.mu.Lock()
		one.at, one.late = one.steps+3, true // after what was tried all the time, and the word
		one.mu.Unlock()
		s.mu.Lock()
		s.err = nil
		s.mu.Unlock()
		<-one.cut
		results := 0
		for _, text := range s.values {
			results = max(results, bytes.Count(text, []byte(`"index"`)))
		}
		if results != mostResults {
			t.Errorf("%d results in an entry", results)
		}
		out := apply(t, b, t.Context(), r)
		truth(t, d, r.Writes, out, true)
		for id, x := range out {
			if x.Created == "" {
				t.Errorf("%s: the id of what it created is lost", id)
			}
		}
		close(end)
		a.Close()
		b.Close()
	})
}

// TestALostListLeavesItsBatches: a batch that has not been confirmed when its list is lost
// is another replica's to confirm.
func TestALostListLeavesItsBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		defer close(end)
		d.latency = heldFor + time.Second
		b := newReplica(d, s, end).batches(t)
		defer b.Close()
		r := Request{Name: "key", Writes: mixed()[120:160]}
		go func() {
			time.Sleep(time.Second)
			s.mu.Lock()
			s.err = errStoreGone
			s.mu.Unlock()
		}()
		for id, x := range apply(t, b, t.Context(), r) {
			if x.State != Pending || x.Batch == "" {
				t.Errorf("%s: %+v", id, x)
			}
		}
		if len(d.batches) != 1 || len(d.executed) != 0 {
			t.Errorf("%d batches, %d writes", len(d.batches), len(d.executed))
		}
		s.err = nil
		truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
	})
}

// TestAnEntryOfAnotherReplica ends what the first one keeps.
func TestAnEntryOfAnotherReplica(t *testing.T) {
	t.Parallel()
	s := newFakeStore()
	journalOf := func() *journal {
		return &journal{shared: newReplica(nil, s, nil), id: "list", runner: rand.Text(), life: time.Hour, wake: make(chan struct{}, 1)}
	}
	one, two := journalOf(), journalOf()
	var p past
	take := func(j *journal, want bool) {
		t.Helper()
		free, err := j.read(t.Context(), &p)
		if err != nil || free != want {
			t.Fatalf("free: %v, %v", free, err)
		}
		if free {
			if mine, err := j.begin(t.Context()); err != nil || !mine {
				t.Fatalf("mine: %v, %v", mine, err)
			}
		}
	}
	take(one, true)
	take(two, false)
	if !one.add(t.Context(), entry{}) {
		t.Error("the first one's entry is not kept")
	}
	delete(s.values, "alive:"+one.runner)
	take(two, true)
	if one.add(t.Context(), entry{}) || !two.add(t.Context(), entry{}) {
		t.Error("the list is not the second one's")
	}
	if held, err := one.renew(); held || err != nil {
		t.Errorf("%v, %v", held, err)
	}
}

// TestAWordThatHasRunOut: a replica that goes on after it was stopped sends nothing, also
// before anything has told it.
func TestAWordThatHasRunOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newReplica(newFake(), newFakeStore(), nil).batches(t)
		l := b.newList(Request{Name: "key"}, [32]byte{}, nil)
		l.journal = &journal{said: time.Now(), wake: make(chan struct{}, 1)}
		if _, f := l.joined(l.content); f != nil || l.lost() {
			t.Fatal(f)
		}
		unsent := l.unsent
		time.Sleep(trusted)
		if !l.lost() || unsent.Err() == nil {
			t.Error("it would send")
		}
		b.Close()
	})
}

// TestThreeReplicasAtOnce: they get the same list under one key; it is made once, and
// all of them tell what became of it.
func TestThreeReplicasAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		defer close(end)
		var all sync.WaitGroup
		for range 3 {
			b := newReplica(d, s, end).batches(t)
			defer b.Close()
			r := Request{Name: "key", Writes: mixed()}
			for range 2 {
				all.Go(func() {
					truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
				})
			}
			other := Request{Caller: "me", Name: "key", Writes: mixed()[1:]}
			all.Go(func() {
				time.Sleep(time.Second)
				if err := b.Apply(t.Context(), t.Context(), other, nil); fault.As(err).ReasonCode() != "IDEMPOTENCY_KEY_REUSED" {
					t.Errorf("another list: %v", err)
				}
			})
		}
		all.Wait()
	})
}

// TestAReplicaStops, or its caller leaves: another one goes on at once, and with the
// batches that are under way. Its own caller is told to come back where it cannot wait.
func TestAReplicaStops(t *testing.T) {
	t.Parallel()
	for name, stops := range map[string]bool{"it stops": true, "its caller leaves": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, s, end := newFake(), newFakeStore(), make(chan struct{})
				defer close(end)
				a, b := newReplica(d, s, end).batches(t), newReplica(d, s, end).batches(t)
				defer b.Close()
				r := Request{Caller: "me", Name: "key", Writes: portWrites("1", 900, nil)}
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				first := make(chan error, 1)
				go func() { first <- a.Apply(ctx, context.Background(), r, func([]Result) error { return nil }) }()
				time.Sleep(3 * time.Second)
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := b.Apply(soon, t.Context(), r, nil); fault.As(err).ReasonCode() != "WRITE_UNDER_WAY" || fault.As(err).RetryAfter <= 0 {
					t.Errorf("while it is made elsewhere: %v", err)
				}
				leave()
				if stops {
					a.Close()
				} else {
					defer a.Close()
				}
				begun := time.Now()
				for id, x := range apply(t, b, t.Context(), r) {
					if x.State != Done {
						t.Errorf("%s: %+v", id, x)
					}
				}
				if took := time.Since(begun); took > 10*time.Second {
					t.Errorf("it took %s", took)
				}
				for path, n := range d.executed {
					if n != 1 {
						t.Errorf("%s was written %d times", path, n)
					}
				}
				if n := len(d.batches); n != 9 {
					t.Errorf("%d batches", n)
				}
				<-first
			})
		})
	}
}
