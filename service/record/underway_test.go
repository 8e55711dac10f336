package record

import (
	"slices"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// TestUnderWay: attempts are there until they end, the oldest first.
func TestUnderWay(t *testing.T) {
	r, now := New(Config{}), time.Now()
	var ends []func()
	for i := range 5 {
		ends = append(ends, r.Begin(&Attempt{Start: now.Add(-time.Duration(i) * time.Second), Number: i}))
	}
	got, all := r.UnderWay(2)
	if all != 5 || len(got) != 2 || got[0].Number != 4 || got[1].Number != 3 {
		t.Errorf("%d: %v", all, got)
	}
	for _, end := range ends {
		end()
	}
	if got, all := r.UnderWay(2); all != 0 || len(got) != 0 {
		t.Errorf("%d: %v", all, got)
	}
}

// TestRecent: attempts are counted in the slot in which they ended, and leave after five
// minutes; the slot that is being filled is left out.
func TestRecent(t *testing.T) {
	r, now := New(Config{}), time.Unix(1_700_000_000, 0)
	for _, ago := range []time.Duration{0, 12 * time.Second, 15 * time.Second, 295 * time.Second, 320 * time.Second} {
		r.Add(Attempt{Start: now.Add(-ago), Organization: "1", Outcome: fault.OK, Status: 200})
	}
	want := make([]int64, recentSlots)
	want[recentSlots-2], want[0] = 2, 1
	for _, organization := range []string{"", "1"} {
		if got := r.Recent(now, organization); !slices.Equal(got, want) {
			t.Errorf("%q: %v", organization, got)
		}
	}
	if got := r.Recent(now, "2"); got != nil {
		t.Errorf("%v", got)
	}
	if got := r.Recent(now.Add(time.Hour), "1"); slices.Max(got) != 0 {
		t.Errorf("an hour later: %v", got)
	}
}

// TestFailed: what ended well, and what the caller has left, is no failure.
func TestFailed(t *testing.T) {
	r := New(Config{})
	for o := fault.OK; o <= fault.Left; o++ {
		r.Add(Attempt{Start: time.Now(), Outcome: o})
	}
	got := r.List(AttemptFilter{Failed: true})
	if len(got) != int(fault.Left)-3 {
		t.Errorf("%d", len(got))
	}
	for _, a := range got {
		if a.Outcome == fault.OK || a.Outcome == fault.Left || a.Outcome == fault.Redirect {
			t.Errorf("%v", a.Outcome)
		}
	}
}
