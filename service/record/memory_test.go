package record

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/merakibroker/merakibroker/service/fault"
)

// reachable is how much memory is in use.
func reachable() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAttemptsOnRecordAreSmall: the ring is full, of ten thousand organizations.
func TestAttemptsOnRecordAreSmall(t *testing.T) {
	var operations []string // the daemon's are those of the descriptors
	for i := range 10 {
		operations = append(operations, fmt.Sprint("getOrganizationThings", i))
	}
	add := func(r *Record, n int) {
		for i := range n {
			o := i % 10_000
			a := Attempt{
				Start: judged.Add(time.Duration(i) * time.Millisecond), Duration: 80 * time.Millisecond,
				Organization: fmt.Sprint(100_000 + o), Operation: operations[o%10], Caller: fmt.Sprint("spiffe://example.org/ns/fleet/sa/caller-", o%100),
				Method: "GET", Status: 200, Outcome: fault.OK, RequestID: fmt.Sprintf("%08x-89ab-4cde-8f01-23456789abcd", i),
				Host: "https://api.meraki.com", Number: 1, Verdict: "done",
			}
			if i%50 == 0 {
				a.Status, a.Outcome, a.Verdict = 502, fault.GatewayError, "again: gateway error"
				a.Error = fmt.Sprint("HTTP 502: ", i%7)
			}
			r.Add(a)
		}
	}
	before := reachable()
	none := New(Config{Attempts: 1, Organizations: 100})
	add(none, 70_000)
	aside := reachable() - before // what does not grow with the ring
	full := New(Config{Organizations: 100})
	before = reachable()
	add(full, 70_000)
	each := (reachable() - before - aside) / 65_536
	t.Logf("%d bytes an attempt, %d KiB aside", each, aside>>10)
	if each > 96 {
		t.Errorf("an attempt on record takes %d bytes", each)
	}
	runtime.KeepAlive(none)
	runtime.KeepAlive(full)
}

// TestBusyOrganizationsAreSmall: each has been active all day, and some of its
// attempts have failed.
func TestBusyOrganizationsAreSmall(t *testing.T) {
	const organizations = 50
	r := New(Config{Attempts: 1})
	before := reachable()
	for i := range int(25 * time.Hour / time.Minute) {
		for o := range organizations {
			r.Add(Attempt{
				Start: judged.Add(time.Duration(i) * time.Minute), Organization: fmt.Sprint(o), Operation: "op",
				Status: 200 + i%4*101, Outcome: fault.OK,
			})
		}
	}
	each := (reachable() - before) / organizations
	t.Logf("%d bytes an organization", each)
	if each > 16<<10 {
		t.Errorf("an organization that is active all day takes %d bytes", each)
	}
	runtime.KeepAlive(r)
}

// TestAttemptsComeBackWhole: whatever form an attempt's parts have.
func TestAttemptsComeBackWhole(t *testing.T) {
	t.Parallel()
	r := New(Config{Attempts: 7})
	whole := Attempt{
		Start: judged.Add(123456789), Duration: 1234567 * time.Nanosecond, Operation: "getThing", Organization: "1", Caller: "c",
		Method: "DELETE", Status: 599, Outcome: fault.Garbled, Host: "https://n1.meraki.com", Error: "it is wrong", Number: 20, Verdict: "done",
	}
	ids := []string{
		"", "01234567-89ab-cdef-0123-456789abcdef", "0123456789abcdef0123456789abcdef",
		"01234567-89AB-CDEF-0123-456789ABCDEF", "0123456789ABCDEF0123456789ABCDEF",
		"x", "01234567-89ab-cdef-0123-456789abcde-", "0123456789abcdef0123456789abcdeg",
		strings.Repeat("-", 36), strings.Repeat("y", 128), "", "z", "x",
	}
	for _, id := range ids {
		whole.RequestID = id
		r.Add(whole)
		list := r.List(AttemptFilter{Limit: 1000, Before: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)})
		found := false
		for _, got := range list {
			if !got.Start.Equal(whole.Start) {
				t.Fatalf("started at %v", got.Start)
			}
			got.Start = whole.Start
			found = found || got == whole
		}
		if !found {
			t.Errorf("%q: %+v", id, list)
		}
	}
	if n := len(r.ring.texts.numbers); n > 6+7 {
		t.Errorf("%d words of 7 attempts", n)
	}
	for range 7 {
		r.Add(Attempt{Start: judged})
	}
	if w := &r.ring.texts; len(w.numbers) != 0 || len(w.free) != len(w.all)-1 {
		t.Errorf("words of no attempt: %v", w.numbers)
	}
}

// TestManyAttemptsInOneSlot: counts do not end at what one counter holds.
func TestManyAttemptsInOneSlot(t *testing.T) {
	t.Parallel()
	r := New(Config{Attempts: 1})
	const many = 1<<16 + 100
	for i := range many {
		r.Add(Attempt{Start: judged, Organization: "1", Operation: "op", Status: 200 + i%2*300, Outcome: fault.OK})
	}
	overall, _ := r.Health(judged, "1")
	if w := overall[1]; w.Attempts != many || w.ServerErrors != many/2 {
		t.Errorf("%d attempts, %d errors, of %d", w.Attempts, w.ServerErrors, many)
	}
	for range many {
		r.Add(Attempt{Start: judged, Organization: "1", Operation: "op", Status: 500, Outcome: fault.ServerError})
	}
	if overall, _ = r.Health(judged, "1"); overall[1].Attempts != 2*many || overall[1].ServerErrors != many+many/2 {
		t.Errorf("%d attempts, %d errors, of %d", overall[1].Attempts, overall[1].ServerErrors, 2*many)
	}
}

// TestLongNames are cut where a character ends, and found by what they were.
func TestLongNames(t *testing.T) {
	t.Parallel()
	long := "x" + strings.Repeat("\u00e9", maxText)
	r := New(Config{})
	r.Add(Attempt{Start: judged, Organization: long, Operation: "a", Status: 404, Outcome: fault.Refused})
	all := r.List(AttemptFilter{Organization: long})
	if len(all) != 1 || !utf8.ValidString(all[0].Organization) || !strings.HasPrefix(long, all[0].Organization) {
		t.Errorf("listed: %+v", all)
	}
	if _, of := r.Health(judged, long); len(of) != 1 || !utf8.ValidString(of[0].Organization) {
		t.Errorf("health: %v", of)
	}
}
