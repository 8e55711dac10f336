package batch

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// TestFiveThousandWrites: in batches of a hundred, five under way at every moment, with
// few polls; wrong ones are found without failing the right ones.
func TestFiveThousandWrites(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		takes    time.Duration
		wrong    bool
		unnamed  bool
		atPost   bool
		requests int
		within   time.Duration
	}{
		{"1 s", time.Second, false, false, false, 200, 16 * time.Second},
		{"2 s", 2 * time.Second, false, false, false, 200, 27 * time.Second},
		{"10 s", 10 * time.Second, false, false, false, 200, 120 * time.Second},
		{"30 s", 30 * time.Second, false, false, false, 200, 340 * time.Second},
		{"2 s, 1 % wrong", 2 * time.Second, true, false, false, 500, 90 * time.Second},
		{"2 s, 1 % wrong, unnamed", 2 * time.Second, true, true, false, 1500, 270 * time.Second},
		{"2 s, 1 % wrong, at the POST", 2 * time.Second, true, true, true, 1500, 150 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.takes, d.unnamed, d.atPost = test.takes, test.unnamed, test.atPost
				b := build(t, d, 5)
				defer b.Close()
				wrong := func(i int) bool { return test.wrong && i*7919%100 == 42 }
				writes := portWrites("1", 5000, wrong)
				begun := time.Now()
				out := apply(t, b, t.Context(), Request{Writes: writes})
				took, requests := time.Since(begun), d.requests()
				t.Logf("%.1f s, %d requests (%.1f %%), a place free for %v at the most, %v", took.Seconds(), requests, float64(requests)/50, mostFree(d), d.calls)
				for i, w := range writes {
					r := out[w.ID]
					switch {
					case wrong(i) && (r.State != Failed || !slices.Contains(fault.As(r.Err).Messages, "Vlan is invalid")):
						t.Fatalf("%d is wrong and has %+v", i, r)
					case !wrong(i) && (r.State != Done || d.executed[w.Call.Path] != 1 || r.Resource != w.Call.Path):
						t.Fatalf("%d is right and has %+v, executed %d times", i, r, d.executed[w.Call.Path])
					}
				}
				if free := mostFree(d); !test.wrong && free > max(time.Second, test.takes/4) {
					t.Errorf("a place stood free for %s", free)
				}
				if requests > test.requests || took > test.within || d.most != 5 {
					t.Errorf("%d requests in %s, %d batches at once", requests, took, d.most)
				}
			})
		})
	}
}

// mostFree is how long a place stood free at the most, while there was something to send:
// the next batch begins when the end of one has been seen.
func mostFree(d *fakeDashboard) (most time.Duration) {
	for i, b := range d.batches { // all take the same time, so that they end in their order
		if i >= mostPlaces {
			most = max(most, b.ends.Add(-d.takes).Sub(d.batches[i-mostPlaces].ends))
		}
	}
	return most
}

// TestOneWriteIsNoBatch, and neither are operations that no batch carries.
func TestOneWriteIsNoBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		apply(t, b, t.Context(), Request{Writes: portWrites("1", 1, nil)})
		apply(t, b, t.Context(), Request{Writes: []Write{
			{ID: "a", Call: call("rebootDevice", "/devices/Q1-1/reboot", "")}, {ID: "b", Call: call("rebootDevice", "/devices/Q1-2/reboot", "")},
		}})
		if d.calls["createOrganizationActionBatch"] != 0 || d.calls["rebootDevice"] != 2 || d.calls["updateDeviceSwitchPort"] != 1 {
			t.Errorf("%v", d.calls)
		}
	})
}

// TestSmallListsAreSynchronous: the answer to the POST is the end, and nothing is polled.
func TestSmallListsAreSynchronous(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		begun := time.Now()
		apply(t, b, t.Context(), Request{Writes: portWrites("1", 20, nil)})
		if n := d.requests(); n != 1 || time.Since(begun) > 2200*time.Millisecond {
			t.Errorf("%d requests in %s", n, time.Since(begun))
		}
	})
}

// TestCreated: what is created has its id and its address, and the batch is posted
// unconfirmed and confirmed afterwards.
func TestCreated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		var writes []Write
		for i := range 30 {
			writes = append(writes,
				Write{ID: fmt.Sprint("new", i), Call: call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%d/groupPolicies", i), `{"name":"g"}`)},
				Write{ID: fmt.Sprint("old", i), Call: call("updateDeviceSwitchPort", fmt.Sprintf("/devices/Q1-1/switch/ports/%d", i), `{}`)})
		}
		out := apply(t, b, t.Context(), Request{Writes: writes})
		for i := range 30 {
			r := out[fmt.Sprint("new", i)]
			if r.State != Done || r.Created == "" || r.Resource != fmt.Sprintf("/networks/N_1-%d/groupPolicies/%s", i, r.Created) || r.Batch == "" {
				t.Errorf("%+v", r)
			}
		}
		if d.calls["createOrganizationActionBatch"] != 1 || d.calls["updateOrganizationActionBatch"] != 1 || d.created != 30 {
			t.Errorf("%v, %d created", d.calls, d.created)
		}
	})
}

// TestOrderWithinAResource: writes of one resource are done in the order of the list.
func TestOrderWithinAResource(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 5)
		defer b.Close()
		var writes []Write
		for round := range 3 {
			for i, w := range portWrites("1", 150, nil) {
				w.ID = fmt.Sprint(round, "-", i)
				w.Call.Body = fmt.Appendf(nil, `{"round":%d}`, round)
				writes = append(writes, w)
			}
		}
		apply(t, b, t.Context(), Request{Writes: writes})
		for path, value := range d.values {
			if value != `{"round":2}` || d.executed[path] != 3 {
				t.Errorf("%s is %s after %d writes", path, value, d.executed[path])
			}
		}
	})
}

// TestGroups: all or nothing, in one batch; what is wrong is named, the rest of its group
// is not tried, and nothing else fails.
func TestGroups(t *testing.T) {
	t.Parallel()
	for _, unnamed := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d := newFake()
			d.unnamed = unnamed
			b := build(t, d, 3)
			defer b.Close()
			writes := portWrites("1", 120, func(i int) bool { return i == 45 })
			for i := range writes {
				writes[i].Group = []string{"", "a", "b", "c", ""}[min(i/30, 4)]
			}
			out := apply(t, b, t.Context(), Request{Writes: writes})
			for i, w := range writes {
				r, want := out[w.ID], Done
				if i/30 == 1 {
					want = NotTried
					if unnamed || i == 45 {
						want = Failed
					}
				}
				if r.State != want || (want == Done) != (d.executed[w.Call.Path] == 1) {
					t.Errorf("unnamed %v: %d: %+v, executed %d times", unnamed, i, r, d.executed[w.Call.Path])
				}
			}
		})
	}
}

// TestAnswersThatCannotBeRead are asked for again before anybody is told that the outcome
// of a hundred writes is not known: the lists of batches, the batches, and the answers to
// what made, confirmed and deleted them.
func TestAnswersThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, garbled := range []string{"getOrganizationActionBatches", "getOrganizationActionBatch", "updateOrganizationActionBatch", "createOrganizationActionBatch"} {
		t.Run(garbled, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.garbled = func(op string, n int) bool { return op == garbled && n%3 < 2 }
				d.fate = func(op string, n int) (bool, *fault.Error) {
					return true, lostIf((op == "createOrganizationActionBatch" || op == "updateOrganizationActionBatch") && n%2 == 0, &fault.Error{Kind: fault.OutcomeUnknown})
				}
				b := build(t, d, 3)
				defer b.Close()
				writes := portWrites("1", 250, nil)
				for i := range 50 {
					writes = append(writes, Write{ID: fmt.Sprint("new", i), Call: call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%d/groupPolicies", i), `{"name":"g"}`)})
				}
				for id, r := range apply(t, b, t.Context(), Request{Writes: writes}) {
					if r.State != Done {
						t.Fatalf("%s: %+v %v", id, r, r.Err)
					}
				}
				for path, n := range d.executed {
					if n != 1 {
						t.Errorf("%s was written %d times", path, n)
					}
				}
			})
		})
	}
}

// TestOrganizationsDoNotShareABatch, nor do two keys.
func TestOrganizationsDoNotShareABatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		b := build(t, d, 3)
		defer b.Close()
		writes := append(portWrites("1", 50, nil), portWrites("2", 50, nil)...)
		for i := range writes {
			writes[i].ID = fmt.Sprint(i)
		}
		apply(t, b, t.Context(), Request{Writes: writes})
		for _, x := range d.batches {
			for _, a := range x.actions {
				if a.Resource[:len("/devices/Q1")] != x.actions[0].Resource[:len("/devices/Q1")] {
					t.Errorf("%s and %s", a.Resource, x.actions[0].Resource)
				}
			}
		}
		if len(d.batches) != 2 {
			t.Errorf("%d batches", len(d.batches))
		}
	})
}

// TestLostPosts: a POST without an answer is looked for, and never sent again while it
// may have been executed.
func TestLostPosts(t *testing.T) {
	t.Parallel()
	lost := &fault.Error{Kind: fault.OutcomeUnknown, HTTPStatus: 502}
	for name, fate := range map[string]func(string, int) (bool, *fault.Error){
		"executed": func(op string, n int) (bool, *fault.Error) {
			return true, lostIf(op == "createOrganizationActionBatch", lost)
		},
		"not executed": func(op string, n int) (bool, *fault.Error) {
			return op != "createOrganizationActionBatch" || n > 2, lostIf(op == "createOrganizationActionBatch" && n <= 2, lost)
		},
		"the list is lost, too": func(op string, n int) (bool, *fault.Error) {
			return true, lostIf(op == "createOrganizationActionBatch" || op == "getOrganizationActionBatches" && n%2 == 0, &fault.Error{Kind: fault.OutcomeUnknown})
		},
		"confirmations are lost": func(op string, n int) (bool, *fault.Error) {
			return n%2 == 0, lostIf(op == "updateOrganizationActionBatch", &fault.Error{Kind: fault.Unreachable})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newFake()
				d.fate = func(op string, n int) (bool, *fault.Error) {
					if name == "confirmations are lost" && op != "updateOrganizationActionBatch" {
						return true, nil
					}
					return fate(op, n)
				}
				b := build(t, d, 3)
				defer b.Close()
				writes := portWrites("1", 250, nil)
				for i := range 50 {
					writes = append(writes, Write{ID: fmt.Sprint("new", i), Call: call("createNetworkGroupPolicy", fmt.Sprintf("/networks/N_1-%d/groupPolicies", i), `{"name":"g"}`)})
				}
				for id, r := range apply(t, b, t.Context(), Request{Writes: writes}) {
					if r.State != Done {
						t.Fatalf("%s: %+v %v", id, r, r.Err)
					}
				}
				for path, n := range d.executed {
					if n != 1 {
						t.Errorf("%s was written %d times", path, n)
					}
				}
			})
		})
	}
}

func lostIf(yes bool, f *fault.Error) *fault.Error {
	if yes {
		return f
	}
	return nil
}

// TestEqualListsFindTheirOwnBatches: two callers send the same two writes at the same
// time, and their POSTs get no answers; each batch is one list's, also where both have the
// same order.
func TestEqualListsFindTheirOwnBatches(t *testing.T) {
	t.Parallel()
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			d := newFake()
			d.fate = func(op string, n int) (bool, *fault.Error) {
				return true, lostIf(op == "createOrganizationActionBatch" && n < 2, &fault.Error{Kind: fault.OutcomeUnknown})
			}
			b := build(t, d, 3)
			defer b.Close()
			var both sync.WaitGroup
			ids := make([]string, 2)
			for i := range ids {
				both.Go(func() {
					out := apply(t, b, t.Context(), Request{Caller: fmt.Sprint(i), Writes: portWrites("1", 2, nil)})
					ids[i] = out["1"].Batch
				})
			}
			both.Wait()
			if ids[0] == ids[1] || ids[0] == "" || len(d.batches) != 2 {
				t.Errorf("%v, %d batches", ids, len(d.batches))
			}
		})
	}
}

// TestLastNightsBatchIsNotTonights: another process has made the same writes before; a
// POST that is lost does not find those.
func TestLastNightsBatchIsNotTonights(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		for night := range 2 {
			b := build(t, d, 3)
			apply(t, b, t.Context(), Request{Writes: portWrites("1", 50, nil)})
			b.Close()
			d.fate = func(op string, n int) (bool, *fault.Error) { // the second night's first POST
				lost := op == "createOrganizationActionBatch" && n == 1
				return !lost, lostIf(lost, &fault.Error{Kind: fault.OutcomeUnknown})
			}
			for path, n := range d.executed {
				if n != night+1 {
					t.Errorf("%s was written %d times in %d nights", path, n, night+1)
				}
			}
		}
	})
}

// TestSmallListsAreNotHeldUp: two callers with 2,000 writes each, and one with 10, which
// are done within two batch times.
func TestSmallListsAreNotHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newFake()
		d.takes = 5 * time.Second
		b := build(t, d, 3)
		defer b.Close()
		var all sync.WaitGroup
		for _, caller := range []string{"a", "b"} {
			all.Go(func() {
				writes := portWrites("1", 2000, nil)
				for i := range writes {
					writes[i].Call.Path = strings.Replace(writes[i].Call.Path, "/Q1-", "/Q1-"+caller, 1)
				}
				apply(t, b, t.Context(), Request{Caller: caller, Writes: writes})
			})
		}
		for range 5 { // whenever it comes
			time.Sleep(7300 * time.Millisecond)
			begun := time.Now()
			apply(t, b, t.Context(), Request{Caller: "c", Writes: portWrites("1", 10, nil)})
			if took := time.Since(begun); took > 2*d.takes+time.Second {
				t.Errorf("ten writes took %s, where a batch takes %s", took, d.takes)
			}
		}
		all.Wait()
		if d.most != 3 {
			t.Errorf("%d batches at once", d.most)
		}
	})
}
