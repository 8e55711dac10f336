package batch

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// TestWithoutTheStoreOfLists: named lists are not begun, and what is under way of one is
// finished when the store goes; lists without a name do not need it.
func TestWithoutTheStoreOfLists(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		goes func(*fakeStore)
		kind fault.Kind
	}{
		"gone":       {func(s *fakeStore) { s.err = errStoreGone }, fault.Unreachable},
		"full":       {func(s *fakeStore) { s.full = true }, fault.Unreachable},
		"unreadable": {func(s *fakeStore) { s.err = outcome.ErrUnreadable }, fault.OutcomeUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, s, end := newFake(), newFakeStore(), make(chan struct{})
				defer close(end)
				b := newReplica(d, s, end).batches(t)
				defer b.Close()
				r := Request{Caller: "me", Name: "key", Writes: portWrites("1", 900, nil)}
				ended := make(chan map[string]Result)
				go func() { ended <- apply(t, b, t.Context(), r) }()
				time.Sleep(3 * time.Second)
				s.mu.Lock()
				c.goes(s)
				s.mu.Unlock()
				states := make(map[State]int)
				for id, x := range <-ended {
					if states[x.State]++; x.State == NotTried && fault.As(x.Err).Reason != reasonNoStore {
						t.Errorf("%s: %+v", id, x)
					}
				}
				if n := len(d.executed); states[Done] != n || states[NotTried] != 900-n || n == 900 || n == 0 {
					t.Errorf("%v, and %d were made", states, n)
				}
				for _, list := range []string{"key", "new"} {
					if list == "key" && name == "full" {
						continue // it is there
					}
					err := b.Apply(t.Context(), t.Context(), Request{Caller: "me", Name: list, Writes: r.Writes}, nil)
					if f := fault.As(err); f == nil || f.Kind != c.kind || c.kind == fault.Unreachable && (f.Reason != reasonNoStore || f.RetryAfter <= 0) {
						t.Errorf("%s: %v", list, err)
					}
				}
				for id, x := range apply(t, b, t.Context(), Request{Writes: portWrites("2", 50, nil)}) {
					if x.State != Done {
						t.Errorf("without a name, %s: %+v", id, x)
					}
				}
				s.mu.Lock()
				s.err, s.full = nil, false
				s.mu.Unlock()
				truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
			})
		})
	}
}

// TestAShortOutageOfTheStore is waited for: the list is made whole.
func TestAShortOutageOfTheStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s, end := newFake(), newFakeStore(), make(chan struct{})
		defer close(end)
		b := newReplica(d, s, end).batches(t)
		defer b.Close()
		r := Request{Name: "key", Writes: portWrites("1", 900, nil)}
		ended := make(chan map[string]Result)
		go func() { ended <- apply(t, b, t.Context(), r) }()
		for _, err := range []error{errStoreGone, nil} {
			time.Sleep(4 * time.Second)
			s.mu.Lock()
			s.err = err
			s.mu.Unlock()
		}
		truth(t, d, r.Writes, <-ended, true)
	})
}

// TestSmallListsAreNotTakenForOlderOnes: the same two writes, and the same group, every
// night; a POST that is lost does not find last night's batch, which another replica made.
func TestSmallListsAreNotTakenForOlderOnes(t *testing.T) {
	t.Parallel()
	for name, writes := range map[string][]Write{"two writes": portWrites("1", 2, nil), "a group": portWrites("1", 20, nil)} {
		for i := range writes {
			if name == "a group" {
				writes[i].Group = "g"
			}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, s, end := newFake(), newFakeStore(), make(chan struct{})
				defer close(end)
				lost := false
				d.fate = func(op string, _ int) (bool, *fault.Error) { // the first POST of each night
					now := lost && op == "createOrganizationActionBatch"
					lost = lost && !now
					return !now, lostIf(now, &fault.Error{Kind: fault.OutcomeUnknown})
				}
				for night := range 7 {
					b := newReplica(d, s, end).batches(t)
					lost = night > 0
					apply(t, b, t.Context(), Request{Name: fmt.Sprint(night), Writes: writes})
					b.Close()
					for path, n := range d.executed {
						if n != night+1 {
							t.Errorf("%s was written %d times in %d nights", path, n, night+1)
						}
					}
					time.Sleep(24 * time.Hour)
				}
			})
		})
	}
}

// TestWhoseABatchIsCannotBeAsked: two callers make the same group at two replicas; the POST
// of one does not arrive, and the batch of the other is found. While the store does not say
// whose it is, nobody says that the first one's writes are done.
func TestWhoseABatchIsCannotBeAsked(t *testing.T) {
	t.Parallel()
	for name, lasts := range map[string]time.Duration{"a moment": 2 * time.Second, "long": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, s, end := newFake(), newFakeStore(), make(chan struct{})
				defer close(end)
				d.fate = func(op string, n int) (bool, *fault.Error) {
					now := n == 1 && op == "createOrganizationActionBatch"
					return !now, lostIf(now, &fault.Error{Kind: fault.OutcomeUnknown})
				}
				var writes []Write
				for i := range 3 {
					writes = append(writes, Write{ID: fmt.Sprint(i), Group: "g", Call: call("createNetworkGroupPolicy", "/networks/N_1/groupPolicies", fmt.Sprintf(`{"name":"%d"}`, i))})
				}
				for i := range 2 {
					b := newReplica(d, s, end).batches(t)
					defer b.Close()
					if i == 1 {
						s.mu.Lock()
						s.not = "batch:"
						s.mu.Unlock()
						time.AfterFunc(lasts, func() {
							s.mu.Lock()
							defer s.mu.Unlock()
							s.not = ""
						})
					}
					for id, x := range apply(t, b, t.Context(), Request{Caller: fmt.Sprint(i), Writes: writes}) {
						right := x.State == Done && d.created == 3*(i+1)
						if i == 1 && name == "long" {
							right = x.State == Failed && fault.As(x.Err).Kind == fault.OutcomeUnknown
						}
						if !right {
							t.Errorf("caller %d, %s: %+v, and %d are made", i, id, x, d.created)
						}
					}
				}
			})
		})
	}
}

// TestAListThatTakesLongerThanOutcomesAreKept is not made anew elsewhere.
func TestAListThatTakesLongerThanOutcomesAreKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, s := newFake(), newFakeStore()
		d.takes = 10 * time.Minute
		r := Request{Name: "key", Writes: portWrites("1", 50, nil)}
		var all sync.WaitGroup
		for i := range 2 {
			b, err := New(Config{Contract: theContract(), Dashboard: newReplica(d, s, nil), Shared: s, Life: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			all.Go(func() {
				time.Sleep(time.Duration(i) * 5 * time.Minute)
				truth(t, d, r.Writes, apply(t, b, t.Context(), r), true)
			})
		}
		all.Wait()
	})
}
