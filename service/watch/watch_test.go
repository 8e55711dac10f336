package watch

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/usage"
)

const age = 10 * time.Second

func pass(t *testing.T, d time.Duration) {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
}

// perAge is how many polls there were for each age of a stretch of time.
func perAge(polls []time.Time, from, to time.Time) float64 {
	n := 0
	for _, at := range polls {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return float64(n) * float64(age) / float64(to.Sub(from))
}

// TestOnePollForAll: however many watch, and wherever, there is one poll for each age,
// and every change is at all of them within an age and a little.
func TestOnePollForAll(t *testing.T) {
	for name, replicas := range map[string]int{"alone": 1, "three replicas": 3} {
		t.Run(name, func(t *testing.T) {
			d := &fakeDashboard{delay: 300 * time.Millisecond, perPage: 40}
			rows := fleet(100, "a")
			d.set(rows...)
			var store *memory
			if replicas > 1 {
				store = new(memory)
			}
			bubble(t, d, store, replicas, func(t *testing.T, all []*replica) {
				var readers []*reader
				for i := range 30 {
					readers = append(readers, follow(t, all[i%replicas], watching(fmt.Sprint("caller", i%4), age)))
					time.Sleep(700 * time.Millisecond)
				}
				pass(t, age)
				from := time.Now()
				for change := range 20 {
					time.Sleep(time.Duration(change%7) * time.Second)
					rows = slices.Clone(rows)
					rows[change] = device(change, fmt.Sprint("new ", change))
					if change%5 == 4 {
						rows = slices.Delete(rows, 90, 91)
					}
					d.set(rows...)
					pass(t, 12*time.Second)
					want := strings.Join(slices.Sorted(slices.Values(rows)), ",")
					for i, r := range readers {
						if got := r.has(); got != want {
							t.Fatalf("change %d: 12 s later, reader %d has %d rows as they were before", change, i, strings.Count(got, "{"))
						}
					}
				}
				if n := perAge(d.polls(), from, time.Now()); n > 1.1 || n < 0.8 {
					t.Errorf("%.2f polls for each age", n)
				}
				for i, r := range readers {
					r := r.got()
					if r.wholes != 1 || len(r.seen) != 100+20 || len(slices.Compact(slices.Sorted(slices.Values(r.seen)))) != len(r.seen) {
						t.Errorf("reader %d was sent %d rows, and a whole state %d times", i, len(r.seen), r.wholes)
					}
				}
				saved, watches := 0, 0
				for _, r := range all {
					saved, watches = saved+r.counts.saved, watches+r.counts.watching
					u, err := r.broker.Usage().Ask(t.Context(), time.Now(), usage.Query{Groups: usage.ByCaller, Span: usage.Kept})
					if err != nil || u.Total[usage.WatchedReads] != int64(r.counts.saved) || len(u.Rows) == 0 || u.Other != (usage.Figures{}) {
						t.Errorf("%d requests saved are the usage %+v: %v", r.counts.saved, u, err)
					}
				}
				ages := int(time.Since(from) / age)
				if watches != 30 || saved < ages*29*3*9/10 || saved > (ages+8)*30*3 {
					t.Errorf("%d watches, %d requests saved in %d ages", watches, saved, ages)
				}
			})
		})
	}
}

// TestYoungestAge: the youngest age that anyone asks for, at any replica, is that of
// all, and ends with its watcher.
func TestYoungestAge(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	bubble(t, d, new(memory), 2, func(t *testing.T, all []*replica) {
		follow(t, all[0], watching("old", 6*age))
		pass(t, 10*age)
		ctx, cancel := context.WithCancel(t.Context())
		young, err := all[1].Open(ctx, watching("young", age))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer young.Close()
			for {
				if _, err := young.Next(ctx); err != nil {
					return
				}
			}
		}()
		pass(t, 2*age)
		from := time.Now()
		pass(t, 12*age)
		if n := perAge(d.polls(), from, time.Now()); n < 0.9 || n > 1.1 {
			t.Errorf("%.2f polls for each age of the youngest", n)
		}
		cancel()
		pass(t, 6*age)
		from = time.Now()
		pass(t, 60*age)
		if n := perAge(d.polls(), from, time.Now()) * 6; n < 0.8 || n > 1.1 {
			t.Errorf("%.2f polls for each age of the other", n)
		}
	})
}

// TestReadsWithAnAge: a read that accepts the age is answered from the watch, at the
// replica that polls and at the others.
func TestReadsWithAnAge(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(4, "a")...)
	bubble(t, d, new(memory), 3, func(t *testing.T, all []*replica) {
		for _, r := range all {
			follow(t, r, watching("c", age))
		}
		pass(t, 2*age)
		read := func(r *replica) string {
			call := devicesCall("reader", "1")
			call.MaxAge = age + 2*time.Second
			a, err := r.broker.Do(t.Context(), call)
			if err != nil {
				t.Fatal(err)
			}
			return string(a.Body)
		}
		for _, r := range all {
			read(r) // from here on answers are kept
		}
		d.set(fleet(4, "b")...)
		pass(t, 2*age)
		before, replicas := len(d.polls()), 0
		for i := range 30 {
			r := all[i%3]
			if got := read(r); got != "["+strings.Join(fleet(4, "b"), ",")+"]" {
				t.Errorf("replica %d answers %s", i%3, got)
			}
			pass(t, time.Second)
			replicas++
		}
		if n := len(d.polls()) - before; n > 4 {
			t.Errorf("%d requests in three ages, with %d reads", n, replicas)
		}
		call := devicesCall("writer", "1")
		call.Operation = &apiv1.Operation{Id: "updateOrganization", Verb: apiv1.Verb_VERB_PUT, Scope: apiv1.Scope_SCOPE_ORGANIZATION}
		if _, err := all[0].broker.Do(t.Context(), call); err != nil {
			t.Fatal(err)
		}
		d.set(fleet(4, "c")...)
		if got := read(all[0]); got != "["+strings.Join(fleet(4, "c"), ",")+"]" {
			t.Errorf("after a write at the replica: %s", got)
		}
	})
}

// TestRulesAreAskedAgain: whoever may not see the thing any more is sent nothing more
// and told why; the others go on. While the rules cannot be asked, nothing is sent.
func TestRulesAreAskedAgain(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		var refusal atomic.Pointer[fault.Error]
		q := watching("barred", age)
		q.Ask = func(context.Context) (*broker.Call, error) {
			if f := refusal.Load(); f != nil {
				return nil, f
			}
			return devicesCall("barred", "1"), nil
		}
		barred, other := follow(t, all[0], q), follow(t, all[0], watching("other", age))
		pass(t, 2*age)
		refusal.Store(&fault.Error{Kind: fault.Unreachable})
		d.set(fleet(3, "b")...)
		pass(t, age)
		if barred.has() != strings.Join(fleet(3, "a"), ",") || barred.ended() != nil {
			t.Errorf("while the rules cannot be asked: %s, %v", barred.has(), barred.ended())
		}
		refusal.Store(nil)
		pass(t, age)
		if barred.has() != strings.Join(fleet(3, "b"), ",") {
			t.Errorf("when they can be asked again: %s", barred.has())
		}
		refusal.Store(&fault.Error{Kind: fault.CallerNotAllowed, Detail: "no rule"})
		d.set(fleet(3, "c")...)
		pass(t, age)
		if f := barred.ended(); f == nil || f.Kind != fault.CallerNotAllowed || barred.has() != strings.Join(fleet(3, "b"), ",") {
			t.Errorf("the caller who may not: %v, has %s", f, barred.has())
		}
		if other.has() != strings.Join(fleet(3, "c"), ",") || other.ended() != nil {
			t.Errorf("the other: %s, %v", other.has(), other.ended())
		}
	})
}

// TestKeysApart: who would use different keys does not share, and who gets another key
// in the middle moves to those who use it.
func TestKeysApart(t *testing.T) {
	d := &fakeDashboard{}
	d.set(fleet(3, "a")...)
	bubble(t, d, new(memory), 1, func(t *testing.T, all []*replica) {
		var key atomic.Pointer[dashboard.Key]
		q := watching("b", age)
		q.Ask = func(context.Context) (*broker.Call, error) {
			call := devicesCall("b", "1")
			call.Key = *key.Load()
			return call, nil
		}
		another := dashboard.NewKey("another secret")
		key.Store(&another)
		follow(t, all[0], watching("a", age))
		moves := follow(t, all[0], q)
		pass(t, 2*age)
		from := time.Now()
		pass(t, 10*age)
		if n := perAge(d.polls(), from, time.Now()); n < 1.8 {
			t.Errorf("%.2f polls for each age with two keys", n)
		}
		key.Store(&testKey)
		pass(t, 2*age)
		from = time.Now()
		pass(t, 10*age)
		if n := perAge(d.polls(), from, time.Now()); n > 1.1 || moves.ended() != nil {
			t.Errorf("%.2f polls for each age with one key, %v", n, moves.ended())
		}
		d.set(fleet(3, "b")...)
		pass(t, 2*age)
		if moves.has() != strings.Join(fleet(3, "b"), ",") {
			t.Errorf("after the move: %s", moves.has())
		}
	})
}

// TestBadInput: each is refused with its reason, and nothing is sent.
func TestBadInput(t *testing.T) {
	d := &fakeDashboard{}
	bubble(t, d, nil, 1, func(t *testing.T, all []*replica) {
		update := &apiv1.Operation{Id: "updateOrganization", Verb: apiv1.Verb_VERB_PUT}
		refused := &fault.Error{Kind: fault.CallerNotAllowed, Detail: "no rule"}
		for name, c := range map[string]struct {
			change func(*Request)
			kind   fault.Kind
			reason string
			field  string
		}{
			"no GET":    {func(q *Request) { q.Operation = update }, fault.BadRequest, "NOT_A_READ", "request"},
			"too young": {func(q *Request) { q.Age = 999 * time.Millisecond }, fault.BadRequest, "BAD_REQUEST", "age"},
			"no age":    {func(q *Request) { q.Age = 0 }, fault.BadRequest, "BAD_REQUEST", "age"},
			"too old":   {func(q *Request) { q.Age = time.Hour + 1 }, fault.BadRequest, "BAD_REQUEST", "age"},
			"not allowed": {func(q *Request) {
				q.Ask = func(context.Context) (*broker.Call, error) { return nil, refused }
			}, fault.CallerNotAllowed, "CALLER_NOT_ALLOWED", ""},
		} {
			q := watching("c", age)
			c.change(&q)
			_, err := all[0].Open(t.Context(), q)
			if f := fault.As(err); f == nil || f.Kind != c.kind || f.ReasonCode() != c.reason || f.Field != c.field {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := len(d.polls()); n != 0 || all[0].counts.watching != 0 {
			t.Errorf("%d requests, %d watches", n, all[0].counts.watching)
		}
	})
}
