package usage

import (
	"fmt"
	"testing"
	"time"
)

// noon is a moment in the middle of a minute.
var noon = time.Date(2026, 8, 1, 12, 0, 30, 0, time.UTC)

// of is a Usage as it was at noon.
func of(c Config) *Usage {
	u := New(c)
	u.start, u.live.minute = noon, minuteOf(noon)
	return u
}

func spent(attempts, requests int64) (f Figures) {
	f[Attempts], f[Requests] = attempts, requests
	return f
}

// TestEveryGroupingAddsUp: whatever is asked, rows and the rest are what was added, with
// far more keys than are kept, over several minutes.
func TestEveryGroupingAddsUp(t *testing.T) {
	t.Parallel()
	u := of(Config{Largest: 20})
	var want Figures
	for i := range 20_000 {
		k := Key{fmt.Sprint("c", i%97), fmt.Sprint(i % 211), fmt.Sprint("op", i%13)}
		var f Figures
		for j := range f {
			f[j] = int64(i*(j+3)%7) * int64(i%3)
		}
		u.Add(noon.Add(time.Duration(i)*50*time.Millisecond), k, f)
		want.add(&f)
	}
	now := noon.Add(1000 * time.Second)
	for g := range Groups(8) {
		a := u.Ask(now, Query{Groups: g, Limit: 10})
		got := a.Other
		for i := range a.Rows {
			got.add(&a.Rows[i].Figures)
			if g.of(a.Rows[i].Key) != a.Rows[i].Key {
				t.Errorf("%b: the row %+v has parts that nobody asked for", g, a.Rows[i].Key)
			}
		}
		if got != want || a.Total != want {
			t.Errorf("%b: rows and other are %v, total %v; want %v", g, got, a.Total, want)
		}
		for i, n := range a.Other {
			if n < 0 {
				t.Errorf("%b: figure %d of other is %d", g, i, n)
			}
		}
		if g == ByOperation && (len(a.Rows) != 10 || a.Rows[0].Figures[Attempts] < a.Rows[9].Figures[Attempts]) {
			t.Errorf("%d rows by operation: %v", len(a.Rows), a.Rows)
		}
	}
}

// TestTheLargestStay among many that come once: they have all that they spent but for
// what came before they were known.
func TestTheLargestStay(t *testing.T) {
	t.Parallel()
	u := of(Config{Largest: 20})
	for i := range 10_000 {
		u.Add(noon, Key{Caller: fmt.Sprint("once", i), Organization: fmt.Sprint(i), Operation: "a"}, spent(1, 1))
		if i%10 == 0 {
			u.Add(noon, Key{Caller: "often", Organization: "7", Operation: "b"}, spent(1, 1))
		}
	}
	for _, g := range []Groups{ByCaller, ByCaller | ByOrganization, ByOrganization | ByOperation, 7} {
		a := u.Ask(noon, Query{Groups: g})
		if len(a.Rows) == 0 || a.Rows[0].Figures[Attempts] < 900 || a.Rows[0].Key != g.of(Key{"often", "7", "b"}) {
			t.Errorf("%b: the first row is %+v", g, a.Rows[0])
		}
	}
	a := u.Ask(noon, Query{Groups: ByOperation})
	if len(a.Rows) != 2 || a.Rows[0].Figures[Attempts] != 10_000 || a.Rows[1].Figures[Attempts] != 1000 {
		t.Errorf("by operation, of which there are few: %+v", a.Rows)
	}
}

// TestFilters: a part that is named.
func TestFilters(t *testing.T) {
	t.Parallel()
	u := of(Config{})
	for i := range 100 {
		u.Add(noon, Key{fmt.Sprint("c", i%2), fmt.Sprint(i % 5), fmt.Sprint("op", i%10)}, spent(1, 2))
	}
	for _, c := range []struct {
		q    Query
		rows int
		all  int64
	}{
		{Query{Filter: Key{Caller: "c0"}}, 0, 50},
		{Query{Filter: Key{Caller: "c0"}, Groups: ByOrganization}, 5, 50},
		{Query{Filter: Key{Caller: "c0", Organization: "3"}, Groups: ByOperation}, 1, 10},
		{Query{Filter: Key{Caller: "nobody"}, Groups: ByOperation}, 0, 0},
		{Query{Filter: Key{Operation: "op3"}, Groups: ByCaller | ByOperation}, 1, 10},
	} {
		a := u.Ask(noon, c.q)
		if len(a.Rows) != c.rows || a.Total[Attempts] != c.all || a.Total[Requests] != 2*c.all || a.Other[Attempts] != 0 && c.rows > 0 {
			t.Errorf("%+v: %+v", c.q, a)
		}
	}
}

// TestSpans: a minute is in an answer as long as the span reaches it, and is gone after
// a day.
func TestSpans(t *testing.T) {
	t.Parallel()
	u := of(Config{})
	for i := range 24 * 60 {
		u.Add(noon.Add(time.Duration(i)*time.Minute), Key{Caller: "c"}, spent(1, 0))
	}
	last := noon.Add((24*60 - 1) * time.Minute)
	for _, c := range []struct {
		now  time.Time
		span time.Duration
		want int64
	}{
		{last, 0, 61},
		{last, time.Minute, 2},
		{last, time.Nanosecond, 1},
		{last, Kept, 1440},
		{last.Add(time.Hour), Kept, 1381},
		{last.Add(25 * time.Hour), Kept, 0},
		{last.Add(-time.Hour), time.Hour, 0}, // a clock that goes back: the day is over
	} {
		if a := u.Ask(c.now, Query{Span: c.span}); a.Total[Attempts] != c.want {
			t.Errorf("%v back from %v: %d, want %d", c.span, c.now, a.Total[Attempts], c.want)
		}
	}
	if len(u.passed) != 0 || u.bytes != 0 {
		t.Errorf("%d windows of %d bytes are left after a day", len(u.passed), u.bytes)
	}
}

// TestNamesAreTexts, however they came.
func TestNamesAreTexts(t *testing.T) {
	t.Parallel()
	u := of(Config{})
	long := fmt.Sprintf("%0300d", 1)
	for range 3 {
		u.Add(noon, Key{Caller: "a\xff", Operation: long}, spent(1, 0))
	}
	a := u.Ask(noon, Query{Groups: 7})
	if len(a.Rows) != 1 || a.Rows[0].Caller != "a\uFFFD" || len(a.Rows[0].Operation) != maxText || a.Total[Attempts] != 3 {
		t.Errorf("%+v", a)
	}
}

// FuzzUnpack: what the store says is a window or an error, within bounds.
func FuzzUnpack(f *testing.F) {
	l := newLive(10)
	l.all.add(Key{"a", "b", "c"}, &Figures{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	l.all.add(Key{}, &Figures{1})
	f.Add(l.window().pack())
	f.Add([]byte{packedVersion})
	f.Fuzz(func(t *testing.T, packed []byte) {
		w, err := unpack(packed)
		if err != nil {
			return
		}
		again, err := unpack(w.pack())
		if err != nil || fmt.Sprint(*again) != fmt.Sprint(*w) {
			t.Fatalf("%+v, packed and unpacked: %+v %v", w, again, err)
		}
	})
}

// BenchmarkAdd is what a call pays three times at the most.
func BenchmarkAdd(b *testing.B) {
	for _, keys := range []int{100, 10_000} {
		b.Run(fmt.Sprint(keys, " keys"), func(b *testing.B) {
			u := New(Config{})
			var all []Key
			for i := range keys {
				all = append(all, Key{fmt.Sprint("spiffe://example.org/ns/fleet/sa/", i), fmt.Sprint(100_000 + i), "getOrganizationDevices"})
			}
			now := time.Now()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				u.Add(now, all[i%keys], spent(1, 0))
				i++
			}
		})
	}
}
