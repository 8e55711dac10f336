package batch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/audit"
)

// TestEachWriteHasItsLine: a batch that is followed no more is pending, and has a second
// line when its end is known; of a group that is refused one has failed, and the others
// are refusals; a list that is only checked has none.
func TestEachWriteHasItsLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		l, err := audit.New(audit.Config{To: audit.Stream{Writer: &text}})
		if err != nil {
			t.Fatal(err)
		}
		d := newFake()
		d.takes = time.Hour
		b, err := New(Config{Contract: theContract(), Dashboard: d, Audit: l})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		// counts are lines by kind and outcome, since the last look.
		counts := func() map[string]int {
			all := make(map[string]int)
			for line := range strings.Lines(text.String()) {
				var one struct{ Kind, Outcome, Face, Caller, Organization, Operation string }
				if err := json.Unmarshal([]byte(line), &one); err != nil {
					t.Fatal(err)
				}
				if one.Face != "batch" || one.Caller != "me" || one.Organization != "1" || one.Operation != "updateDeviceSwitchPort" {
					t.Errorf("%s", line)
				}
				all[one.Kind+" "+one.Outcome]++
			}
			text.Reset()
			return all
		}
		want := func(what string, want map[string]int) {
			t.Helper()
			if got := counts(); !maps.Equal(got, want) {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		long := Request{Name: "key", Writes: portWrites("1", 150, nil)}
		apply(t, b, t.Context(), long)
		want("followed no more", map[string]int{"write pending": 150})
		time.Sleep(time.Hour)
		apply(t, b, t.Context(), long)
		want("followed to the end", map[string]int{"write done": 150})
		apply(t, b, t.Context(), long)
		want("read once more", map[string]int{})

		d.takes = time.Second
		group := portWrites("1", 5, func(i int) bool { return i == 2 })
		for i := range group {
			group[i].Group = "together"
		}
		apply(t, b, t.Context(), Request{Writes: group})
		want("a group with one that is wrong", map[string]int{"write failed": 1, "refusal refused": 4})
		apply(t, b, t.Context(), Request{Writes: portWrites("1", 5, nil), ValidateOnly: true})
		want("only checked", map[string]int{})
		single := portWrites("1", 1, nil)
		apply(t, b, t.Context(), Request{Writes: single})
		want("by itself", map[string]int{"write done": 1})
		if t.Failed() {
			t.Log(fmt.Sprint(d.calls))
		}
	})
}
