package usage

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// noon is a moment in the middle of a minute.
var noon = time.Date(2026, 8, 1, 12, 0, 30, 0, time.UTC)

// of is a Usage as it was at noon.
func of(c Config) *Usage {
	u := New(c)
	u.start, u.since, u.live.minute = noon, noon, minuteOf(noon)
	return u
}

// ask asks for an answer, which there is.
func ask(t *testing.T, u *Usage, now time.Time, q Query) Answer {
	t.Helper()
	a, err := u.Ask(t.Context(), now, q)
	if err != nil {
		t.Fatal(err)
	}
	return a
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
	for i := range 10_000 {
		k := Key{fmt.Sprint("c", i%97), fmt.Sprint(i % 211), fmt.Sprint("op", i%13)}
		var f Figures
		for j := range f {
			f[j] = int64(i*(j+3)%7) * int64(i%3)
		}
		u.Add(noon.Add(time.Duration(i)*100*time.Millisecond), k, f)
		want.add(&f)
	}
	now := noon.Add(1000 * time.Second)
	for g := range Groups(8) {
		a := ask(t, u, now, Query{Groups: g, Limit: 10})
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
		if i >= 1000 && i%10 == 0 {
			u.Add(noon, Key{Caller: "often", Organization: "7", Operation: "b"}, spent(1, 1))
		}
	}
	for _, g := range []Groups{ByCaller, ByCaller | ByOrganization, ByOrganization | ByOperation, 7} {
		a := ask(t, u, noon, Query{Groups: g})
		if len(a.Rows) == 0 || a.Rows[0].Figures[Attempts] < 850 || a.Rows[0].Key != g.of(Key{"often", "7", "b"}) {
			t.Errorf("%b: the first row is %+v", g, a.Rows[0])
		}
	}
	a := ask(t, u, noon, Query{Groups: ByOperation})
	if len(a.Rows) != 2 || a.Rows[0].Figures[Attempts] != 10_000 || a.Rows[1].Figures[Attempts] != 900 {
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
		a := ask(t, u, noon, c.q)
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
		if a := ask(t, u, c.now, Query{Span: c.span}); a.Total[Attempts] != c.want {
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
	a := ask(t, u, noon, Query{Groups: 7})
	if len(a.Rows) != 1 || a.Rows[0].Caller != "a\uFFFD" || len(a.Rows[0].Operation) != maxText || a.Total[Attempts] != 3 {
		t.Errorf("%+v", a)
	}
}

// TestADayIsBounded: 10,000 callers in 10,000 organizations, for a tenth of a day, which
// has to take no more than a tenth; the race detector makes a whole one long.
func TestADayIsBounded(t *testing.T) {
	operations := make([]string, 100)
	for i := range operations {
		operations[i] = fmt.Sprint("getOrganizationSomethingUsual", i)
	}
	before := reachable()
	u := of(Config{Callers: 50, Organizations: 50})
	n := 0
	const minutes = 24 * 60 / 10
	for minute := range minutes + 1 {
		for range 230 {
			n++
			caller := n * 7919 % 10_000
			u.Add(noon.Add(time.Duration(minute)*time.Minute), Key{
				fmt.Sprint("spiffe://cluster.example/ns/fleet/sa/caller-", caller), fmt.Sprint(646829496481000000 + n*104729%10_000), operations[n%100],
			}, Figures{4, 3, 1, 0, 2, int64(n % 1_000_000), 0, int64(n % 50_000), 1})
		}
	}
	now := noon.Add(minutes * time.Minute)
	size := reachable() - before
	start := time.Now()
	a := ask(t, u, now, Query{Groups: ByCaller | ByOrganization, Span: Kept, Limit: 1000})
	t.Logf("%d windows of %d bytes, %d in all; all by caller and organization in %v", len(u.passed), u.bytes/len(u.passed), size, time.Since(start))
	if 10*u.bytes > u.config.Bytes || int(size)+9*u.bytes > 20<<20 || len(u.passed) != minutes {
		t.Errorf("a tenth of a day takes %d bytes, %d in all, in %d windows", u.bytes, size, len(u.passed))
	}
	if len(a.Rows) != 1000 || a.Total[Requests] != 4*230*(minutes+1) {
		t.Errorf("%d rows, %d requests, want %d", len(a.Rows), a.Total[Requests], 4*230*(minutes+1))
	}

	// Where bytes are few the oldest go, and the answer says from when on it counts.
	small := of(Config{Bytes: 2000})
	for minute := range 100 {
		small.Add(noon.Add(time.Duration(minute)*time.Minute), Key{Caller: "c"}, spent(1, 0))
	}
	a = ask(t, small, noon.Add(99*time.Minute), Query{Span: Kept})
	if small.bytes > 2000 || a.Total[Attempts] == 100 || a.Begin.Before(noon.Add(time.Minute)) || a.Total[Attempts] < int64(noon.Add(99*time.Minute).Sub(a.Begin)/time.Minute) {
		t.Errorf("%d bytes, %d attempts since %v", small.bytes, a.Total[Attempts], a.Begin)
	}
}

// reachable is how much memory is in use.
func reachable() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestMeters: who came first has one, whoever else is counted with the others, and who has
// been idle gives its place away.
func TestMeters(t *testing.T) {
	t.Parallel()
	u := of(Config{Callers: 2, Organizations: 0})
	add := func(at time.Duration, caller string) {
		u.Add(noon.Add(at), Key{Caller: caller, Organization: "1"}, spent(1, 0))
	}
	for _, caller := range []string{"a", "other", "b", "c", "a", "c"} {
		add(0, caller)
	}
	read := func() string {
		out := ""
		for _, m := range u.Meters(ByCaller) {
			out += fmt.Sprint(m.Name, m.Figures[Attempts], " ")
		}
		return out
	}
	if got := read(); got != "a2 b1 other3 " {
		t.Errorf("at first: %s", got)
	}
	add(50*time.Minute, "b")
	add(61*time.Minute, "c") // a has been idle
	add(62*time.Minute, "d")
	if got := read(); got != "b2 c1 other4 " {
		t.Errorf("an hour later: %s", got)
	}
	if u.Meters(ByOrganization) != nil {
		t.Error("organizations have meters")
	}
}

// TestNothingIsAllocated on the way of a call, by who has called before.
func TestNothingIsAllocated(t *testing.T) {
	u := of(Config{Callers: 10, Organizations: 10})
	k, f := Key{"c", "1", "op"}, spent(1, 1)
	u.Add(noon, k, f)
	if n := testing.AllocsPerRun(1000, func() { u.Add(noon, k, f) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzUnpack: what the store says is a window or an error, within bounds.
func FuzzUnpack(f *testing.F) {
	l := newLive(10)
	l.all.add(Key{"a", "b", "c"}, &Figures{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	l.all.add(Key{}, &Figures{1})
	f.Add(newPacker().pack(l.window()))
	f.Add([]byte{packedVersion})
	f.Fuzz(func(t *testing.T, packed []byte) {
		w, err := unpack(packed)
		if err != nil {
			return
		}
		again, err := unpack(newPacker().pack(w))
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
