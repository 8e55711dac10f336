package record

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// judged is a moment at which attempts end.
var judged = time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)

func TestRecordList(t *testing.T) {
	t.Parallel()
	r := New(Config{Attempts: 10})
	for i := range 25 {
		a := Attempt{
			Start: judged.Add(time.Duration(i) * time.Second), Duration: time.Second, Number: i,
			Organization: fmt.Sprint(i % 2), Operation: fmt.Sprint("op", i%3), Caller: fmt.Sprint("c", i%5), Outcome: fault.OK, Status: 200,
		}
		if i%4 == 0 {
			a.Outcome, a.Status = fault.GatewayError, 502
		}
		r.Add(a)
	}
	for _, c := range []struct {
		name string
		f    AttemptFilter
		want []int
	}{
		{"all that are kept", AttemptFilter{}, []int{24, 23, 22, 21, 20, 19, 18, 17, 16, 15}},
		{"some", AttemptFilter{Limit: 3}, []int{24, 23, 22}},
		{"before", AttemptFilter{Limit: 3, Before: judged.Add(22 * time.Second)}, []int{21, 20, 19}},
		{"of an organization", AttemptFilter{Organization: "1"}, []int{23, 21, 19, 17, 15}},
		{"of an operation", AttemptFilter{Operation: "op0"}, []int{24, 21, 18, 15}},
		{"of a caller", AttemptFilter{Caller: "c4"}, []int{24, 19}},
		{"by outcome", AttemptFilter{Outcome: fault.GatewayError}, []int{24, 20, 16}},
		{"all at once", AttemptFilter{Organization: "0", Operation: "op0", Caller: "c4", Outcome: fault.GatewayError}, []int{24}},
		{"none", AttemptFilter{Organization: "2"}, nil},
		{"a negative limit", AttemptFilter{Limit: -1, Operation: "op1"}, []int{22, 19, 16}},
	} {
		var got []int
		for _, a := range r.List(c.f) {
			got = append(got, a.Number)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
}

// Attempts are put down when they end; the list is in the order of their starts.
func TestRecordOrder(t *testing.T) {
	t.Parallel()
	r := New(Config{})
	for i, start := range []int{5, 1, 9, 3, 7} {
		r.Add(Attempt{Start: judged.Add(time.Duration(start) * time.Second), Number: i})
	}
	var got []int
	for before := (time.Time{}); ; {
		page := r.List(AttemptFilter{Limit: 2, Before: before})
		if len(page) == 0 {
			break
		}
		for _, a := range page {
			got = append(got, a.Number)
		}
		before = page[len(page)-1].Start
	}
	if fmt.Sprint(got) != "[2 4 0 3 1]" {
		t.Errorf("%v", got)
	}
}

// However many there are of everything, the record stays within its bounds.
func TestRecordBounds(t *testing.T) {
	t.Parallel()
	r := New(Config{Attempts: 50, Organizations: 20})
	const attempts = 10_000
	for i := range attempts {
		r.Add(Attempt{
			Start: judged.Add(time.Duration(i) * time.Millisecond), Organization: fmt.Sprint(i), Operation: fmt.Sprint("op", i%5000),
			Host: fmt.Sprint("h", i), Verdict: fmt.Sprint("v", i), Error: strings.Repeat("x", 10_000), Outcome: fault.Outcome(i % 12),
		})
	}
	if words := len(r.ring.texts.numbers); r.ring.length != 50 || len(r.orgs) != 20 || words > 7*50 {
		t.Errorf("%d attempts, %d organizations, %d words", r.ring.length, len(r.orgs), words)
	}
	if _, ok := r.orgs["9999"]; !ok {
		t.Error("the latest organization is not among them")
	}
	for _, a := range r.List(AttemptFilter{Limit: 5000}) {
		if len(a.Error) > maxErrorText {
			t.Fatalf("an error of %d bytes", len(a.Error))
		}
	}
}

func TestRecordConcurrently(t *testing.T) {
	t.Parallel()
	r := New(Config{Attempts: 100})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				r.Add(Attempt{Start: judged.Add(time.Duration(i) * time.Second), Organization: fmt.Sprint(g), Operation: "op", Outcome: fault.OK, Status: 200})
				if i%100 == 0 {
					r.List(AttemptFilter{})
					r.Health(judged, "")
					r.Compare("1", nil, judged)
				}
			}
		})
	}
	wg.Wait()
	if _, of := r.Health(judged.Add(500*time.Second), ""); len(of) != 8 {
		t.Errorf("%d organizations", len(of))
	}
	if all := r.List(AttemptFilter{Limit: 1000}); len(all) != 100 {
		t.Errorf("%d attempts listed", len(all))
	}
}

func BenchmarkRecordAdd(b *testing.B) {
	r := New(Config{})
	a := Attempt{Duration: 80 * time.Millisecond, Organization: "1", Operation: "getThing", Caller: "c", Method: "GET", Status: 200, Outcome: fault.OK, RequestID: "id", Host: "https://api.meraki.com", Verdict: "done"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.Start = judged.Add(time.Duration(i) * 10 * time.Millisecond)
		r.Add(a)
	}
}
