package hold

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestCovers: which calls each scope holds.
func TestCovers(t *testing.T) {
	bulk := Call{Caller: "a", Organization: "1", Bulk: true}
	write := Call{Caller: "a", Organization: "1", Write: true}
	for _, test := range []struct {
		hold Hold
		call Call
		want bool
	}{
		{Hold{Scope: CallerBulk, Name: "a"}, bulk, true},
		{Hold{Scope: CallerBulk, Name: "b"}, bulk, false},
		{Hold{Scope: CallerBulk, Name: "1"}, bulk, false},
		{Hold{Scope: CallerBulk, Name: "a"}, write, false},
		{Hold{Scope: OrganizationBulk, Name: "1"}, bulk, true},
		{Hold{Scope: OrganizationBulk, Name: "2"}, bulk, false},
		{Hold{Scope: OrganizationBulk, Name: "1"}, write, false},
		{Hold{Scope: AllWrites}, write, true},
		{Hold{Scope: AllWrites}, bulk, false},
		{Hold{Scope: 9, Name: "a"}, bulk, false},
	} {
		if got := test.hold.covers(test.call); got != test.want {
			t.Errorf("%v of %+v: %v", &test.hold, test.call, got)
		}
	}
}

// TestCheck: what an operator asks for wrongly is said, by field, and holds nothing.
func TestCheck(t *testing.T) {
	h := New(Config{Log: slog.New(slog.DiscardHandler)})
	for _, test := range []struct {
		hold  Hold
		lasts time.Duration
		field string
	}{
		{Hold{Reason: "r"}, time.Minute, "scope"},
		{Hold{Scope: 9, Name: "a", Reason: "r"}, time.Minute, "scope"},
		{Hold{Scope: CallerBulk, Reason: "r"}, time.Minute, "name"},
		{Hold{Scope: CallerBulk, Name: "a\nb", Reason: "r"}, time.Minute, "name"},
		{Hold{Scope: OrganizationBulk, Name: strings.Repeat("1", 201), Reason: "r"}, time.Minute, "name"},
		{Hold{Scope: AllWrites, Name: "a", Reason: "r"}, time.Minute, "name"},
		{Hold{Scope: AllWrites}, time.Minute, "reason"},
		{Hold{Scope: AllWrites, Reason: "\xff"}, time.Minute, "reason"},
		{Hold{Scope: AllWrites, Reason: "r\x1b[31m"}, time.Minute, "reason"},
		{Hold{Scope: AllWrites, Reason: "r"}, 0, "duration"},
		{Hold{Scope: AllWrites, Reason: "r"}, -time.Hour, "duration"},
		{Hold{Scope: AllWrites, Reason: "r"}, 25 * time.Hour, "duration"},
	} {
		_, err := h.Place(t.Context(), time.Now(), test.hold, test.lasts)
		if f := fault.As(err); f == nil || f.Kind != fault.BadRequest || f.Field != test.field {
			t.Errorf("%+v for %v: %v", test.hold, test.lasts, err)
		}
	}
	if got := h.List(time.Now()); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// TestPlaceAndRelease: a hold ends by its time, by its release, and by another one in its
// place; their number is bounded.
func TestPlaceAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Log: slog.New(slog.DiscardHandler)})
		bulk := Call{Caller: "a", Bulk: true}
		place := func(reason string, lasts time.Duration) {
			t.Helper()
			if _, err := h.Place(t.Context(), time.Now(), Hold{Scope: CallerBulk, Name: "a", Reason: reason}, lasts); err != nil {
				t.Fatal(err)
			}
		}
		place("first", time.Minute)
		place("second", 10*time.Minute)
		if all := h.List(time.Now()); len(all) != 1 || all[0].Reason != "second" {
			t.Fatalf("%v", all)
		}
		f := h.Find(time.Now(), bulk).Refuse(time.Now(), "getNetwork")
		if f.Reason != Reason || f.RetryAfter != time.Minute || !strings.Contains(f.Detail, "second") {
			t.Errorf("%+v", f)
		}
		time.Sleep(10*time.Minute - time.Second)
		if f := h.Find(time.Now(), bulk).Refuse(time.Now(), ""); f.RetryAfter != time.Second {
			t.Errorf("%v", f.RetryAfter)
		}
		time.Sleep(time.Second)
		if got := h.Find(time.Now(), bulk); got != nil {
			t.Errorf("after its end: %v", got)
		}
		_, err := h.Release(t.Context(), time.Now(), CallerBulk, "a", "me")
		if f := fault.As(err); f == nil || f.Reason != "NOT_HELD" {
			t.Errorf("%v", err)
		}
		place("third", time.Hour)
		if _, err := h.Release(t.Context(), time.Now(), CallerBulk, "a", "me"); err != nil || h.Find(time.Now(), bulk) != nil {
			t.Errorf("%v", err)
		}
		for i := range mostHolds + 1 {
			_, err = h.Place(t.Context(), time.Now(), Hold{Scope: CallerBulk, Name: strings.Repeat("x", i+1), Reason: "r"}, time.Hour)
		}
		if f := fault.As(err); f == nil || f.Reason != "TOO_MANY_HOLDS" || len(h.List(time.Now())) != mostHolds {
			t.Errorf("%v", err)
		}
	})
}

// A document is a Shared in this process.
type document struct {
	mu   sync.Mutex
	text []byte
	life time.Duration // as it was said last
	err  error
}

func (d *document) Read(context.Context) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text, d.err
}

func (d *document) Change(_ context.Context, change func([]byte) ([]byte, time.Duration, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	text, life, err := change(d.text)
	if err == nil {
		d.text, d.life = text, life
	}
	return err
}

func (d *document) set(text []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text, d.err = text, err
}

// TestEveryReplicaObeys: within a second, and on with what it knew while the store is
// out of reach or holds what cannot be read.
func TestEveryReplicaObeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(document)
		quiet := slog.New(slog.DiscardHandler)
		here, there := New(Config{Shared: shared, Log: quiet}), New(Config{Shared: shared, Log: quiet})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go there.Follow(ctx)
		writes, write := Hold{Scope: AllWrites, Reason: "incident"}, Call{Write: true}
		if _, err := here.Place(ctx, time.Now(), writes, time.Hour); err != nil {
			t.Fatal(err)
		}
		if here.Find(time.Now(), write) == nil {
			t.Error("not held where it was placed")
		}
		time.Sleep(time.Second)
		if there.Find(time.Now(), write) == nil {
			t.Error("not held at the other replica")
		}
		text, _ := shared.Read(ctx)
		for _, bad := range []struct {
			text []byte
			err  error
		}{{nil, errors.New("gone")}, {[]byte("{"), nil}} {
			shared.set(bad.text, bad.err)
			time.Sleep(time.Second)
			if there.Find(time.Now(), write) == nil {
				t.Errorf("not held any more: %q, %v", bad.text, bad.err)
			}
			_, err := here.Release(ctx, time.Now(), AllWrites, "", "me")
			if f := fault.As(err); f == nil || f.Reason != "HOLD_STORE_UNAVAILABLE" || here.Find(time.Now(), write) == nil {
				t.Errorf("%v", err)
			}
		}
		shared.set(text, nil)
		if _, err := there.Release(ctx, time.Now(), AllWrites, "", "me"); err != nil {
			t.Fatal(err)
		}
		go here.Follow(ctx)
		time.Sleep(time.Second)
		if here.Find(time.Now(), write) != nil {
			t.Error("held after it was released at the other replica")
		}
	})
}

// TestTheStoreComesBackEmpty: what an operator has stopped stays so, and new replicas are
// told, too; what has been released stays released.
func TestTheStoreComesBackEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := new(document)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all [3]*Holds
		for i := range all {
			all[i] = New(Config{Shared: shared, Log: slog.New(slog.DiscardHandler)})
		}
		go all[0].Follow(ctx)
		go all[1].Follow(ctx)
		for _, h := range []Hold{{Scope: AllWrites, Reason: "incident"}, {Scope: CallerBulk, Name: "a", Reason: "r"}} {
			if _, err := all[0].Place(ctx, time.Now(), h, time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := all[0].Release(ctx, time.Now(), CallerBulk, "a", "me"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		shared.set(nil, nil)
		time.Sleep(time.Second)
		go all[2].Follow(ctx)
		synctest.Wait()
		for i, h := range all {
			if held := h.List(time.Now()); len(held) != 1 || held[0].Scope != AllWrites {
				t.Errorf("replica %d holds %v", i, held)
			}
		}
		if _, err := all[1].Release(ctx, time.Now(), AllWrites, "", "me"); err != nil {
			t.Fatal(err)
		}
		if shared.life < longest {
			t.Errorf("that it is released is known for %v", shared.life)
		}
		time.Sleep(time.Second)
		for i, h := range all {
			if held := h.List(time.Now()); len(held) != 0 {
				t.Errorf("released, and replica %d holds %v", i, held)
			}
		}
	})
}

// TestReleasedUnheard: a release of which the store's answer was lost is none that fails.
func TestReleasedUnheard(t *testing.T) {
	t.Parallel()
	shared := new(document)
	h := New(Config{Shared: twice{shared}, Log: slog.New(slog.DiscardHandler)})
	hold := Hold{Scope: CallerBulk, Name: "a", Reason: "r"}
	if _, err := h.Place(t.Context(), time.Now(), hold, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := h.Release(t.Context(), time.Now(), CallerBulk, "a", "me"); err != nil || got.Reason != "r" || len(h.List(time.Now())) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// twice makes each change two times, as when the first one's answer was lost.
type twice struct{ Shared }

func (s twice) Change(ctx context.Context, change func([]byte) ([]byte, time.Duration, error)) error {
	if err := s.Shared.Change(ctx, change); err != nil {
		return err
	}
	return s.Shared.Change(ctx, change)
}

// TestCallsComeWhileHoldsChange: what covers a call is found in the holds of one moment.
func TestCallsComeWhileHoldsChange(t *testing.T) {
	t.Parallel()
	h := New(Config{Log: slog.New(slog.DiscardHandler)})
	now := time.Now()
	end := now.Add(time.Hour)
	many := make([]Hold, mostHolds)
	for i := range many {
		many[i] = Hold{Scope: CallerBulk, Name: string(rune('A' + i)), End: end.Add(time.Duration(i))}
	}
	last := many[mostHolds-1].Name
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 50_000 {
			h.put(slices.Clone(many[:i%2*mostHolds]))
		}
	})
	for range 50_000 {
		if found := h.Find(now, Call{Caller: last, Bulk: true}); found != nil && found.Name != last {
			t.Fatalf("the call of %q is covered by %v", last, found)
		}
	}
	wg.Wait()
}
