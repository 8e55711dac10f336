package record

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// fill puts n attempts of a status on record, spread over d before end.
func fill(r *Record, organization string, end time.Time, d time.Duration, n, status int) {
	o := fault.OK
	switch {
	case status == 0:
		o = fault.Reset
	case status >= 502:
		o = fault.GatewayError
	case status >= 500:
		o = fault.ServerError
	case status >= 400:
		o = fault.Refused
	}
	for i := range n {
		at := end.Add(-d * time.Duration(n-i) / time.Duration(n))
		r.Add(Attempt{Start: at, Organization: organization, Operation: "getThing", Status: status, Outcome: o, RequestID: fmt.Sprintf("%d-%d", status, i)})
	}
}

func TestHealthVerdicts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		counts map[int]int
		want   HealthVerdict
		share  float64
		advice string
	}{
		{"nothing", nil, HealthTooFew, 0, "0 in 5 min"},
		{"too few, all failed", map[int]int{500: 19}, HealthTooFew, 1, "19 in 5 min, of 20"},
		{"all well", map[int]int{200: 20}, HealthOK, 0, ""},
		{"refusals are nobody's failure", map[int]int{200: 10, 404: 30, 429: 10}, HealthOK, 0, ""},
		{"below the threshold", map[int]int{200: 96, 500: 4}, HealthOK, 0.04, ""},
		{"at the threshold", map[int]int{200: 95, 500: 5}, HealthServerErrors, 0.05, "request ids"},
		{"502s", map[int]int{200: 90, 502: 10}, HealthUnreachable, 0.1, "never got as far"},
		{"resets", map[int]int{200: 90, 0: 10}, HealthUnreachable, 0.1, "never got as far"},
		{"some of both", map[int]int{200: 94, 500: 4, 0: 2}, HealthServerErrors, 0.06, "contact the vendor's support"},
	} {
		r := New(Config{})
		for status, n := range c.counts {
			fill(r, "1", judged, 4*time.Minute, n, status)
		}
		overall, orgs := r.Health(judged, "")
		w := overall[0]
		if w.Verdict != c.want || w.ErrorShare != c.share || w.Threshold != 0.05 || w.Window != 5*time.Minute || !strings.Contains(w.Advice, c.advice) || (w.Advice == "") != (w.Verdict == HealthOK) {
			t.Errorf("%s: %+v; want verdict %d, share %v", c.name, w, c.want, c.share)
		}
		if len(c.counts) > 0 && (len(orgs) != 1 || fmt.Sprint(orgs[0].Windows) != fmt.Sprint(overall)) {
			t.Errorf("%s: the one organization is not like the whole: %+v", c.name, orgs)
		}
	}
}

func TestHealthWindows(t *testing.T) {
	t.Parallel()
	r := New(Config{})
	fill(r, "1", judged.Add(-2*time.Hour), 20*time.Hour, 1000, 200)
	fill(r, "1", judged.Add(-10*time.Minute), 40*time.Minute, 300, 502)
	fill(r, "2", judged, 4*time.Minute, 50, 500)
	overall, orgs := r.Health(judged, "")
	for i, want := range []struct {
		attempts, server, never int64
	}{{50, 50, 0}, {350, 350, 300}, {1350, 350, 300}} {
		if w := overall[i]; w.Attempts != want.attempts || w.ServerErrors != want.server || w.NeverArrived != want.never {
			t.Errorf("%v: %+v; want %+v", w.Window, w, want)
		}
	}
	if len(orgs) != 2 || orgs[0].Organization != "1" || orgs[0].Windows[0].Attempts != 0 || orgs[1].Windows[0].Attempts != 50 {
		t.Errorf("%+v", orgs)
	}
	if ids := overall[0].RequestIDs; len(ids) != recentIDs || ids[0] != "500-49" || ids[9] != "500-40" {
		t.Errorf("request ids %v", ids)
	}
	if _, orgs := r.Health(judged, "2"); len(orgs) != 1 || orgs[0].Organization != "2" {
		t.Errorf("one organization: %+v", orgs)
	}

	// As time passes, windows empty, the short one first.
	for _, c := range []struct {
		later    time.Duration
		attempts [3]int64
		orgs     int
	}{
		{5*time.Minute + 10*time.Second, [3]int64{0, 350, 1350}, 2},
		{90 * time.Minute, [3]int64{0, 0, 1350}, 2},
		{25 * time.Hour, [3]int64{0, 0, 0}, 0},
	} {
		overall, orgs := r.Health(judged.Add(c.later), "")
		if got := [3]int64{overall[0].Attempts, overall[1].Attempts, overall[2].Attempts}; got != c.attempts || len(orgs) != c.orgs {
			t.Errorf("%v later: %v, %d organizations; want %v, %d", c.later, got, len(orgs), c.attempts, c.orgs)
		}
	}
}

// A day of attempts takes a bounded place, also when attempts end out of order
// and clocks go back.
func TestSeriesBounds(t *testing.T) {
	t.Parallel()
	var s series
	for i := range 20_000 {
		at := judged.Add(time.Duration(i) * 20 * time.Second) // four and a half days
		s.add(&Attempt{Start: at.Add(-time.Duration(i%60) * time.Second), Duration: time.Duration(i%60) * time.Second, Status: []int{200, 404, 502}[i%3]})
	}
	if most := 3 * (int(coarseSpan/coarseSlot) + 2); len(s.coarse) > most || len(s.coarse) < most-10 {
		t.Errorf("%d counts; want about %d", len(s.coarse), most)
	}
	for i := 1; i < len(s.coarse); i++ {
		if s.coarse[i].slot < s.coarse[i-1].slot {
			t.Fatal("not in order")
		}
	}
	n := len(s.coarse)
	s.add(&Attempt{Start: judged, Status: 200})      // long ago
	s.add(&Attempt{Start: time.Time{}, Status: 200}) // never
	if len(s.coarse) > n {
		t.Error("an attempt older than the span is kept")
	}
}

func TestCompareTelemetry(t *testing.T) {
	t.Parallel()
	r := New(Config{Since: judged.Add(-time.Hour)})
	fill(r, "1", judged.Add(-50*time.Minute), 8*time.Minute, 40, 200)
	fill(r, "1", judged.Add(-50*time.Minute), 8*time.Minute, 10, 502)
	fill(r, "1", judged.Add(-50*time.Minute), 8*time.Minute, 5, 0)
	fill(r, "2", judged.Add(-50*time.Minute), 8*time.Minute, 7, 200)
	at := func(minutes int) string { return judged.Add(time.Duration(minutes) * time.Minute).Format(time.RFC3339) }
	document := `[
		{"startTs":"` + at(-2) + `","endTs":"` + at(0) + `","counts":[{"code":200,"count":99}]},
		{"startTs":"` + at(-58) + `","endTs":"` + at(-54) + `","counts":[{"code":200,"count":20},{"code":404,"count":0}]},
		{"startTs":"` + at(-54) + `","endTs":"` + at(-50) + `","counts":[{"code":200,"count":20}]},
		{"startTs":"` + at(-70) + `","endTs":"` + at(-66) + `","counts":[{"code":200,"count":500}]}
	]`
	theirs, err := ParseTelemetry([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	c := r.Compare("1", theirs, judged.Add(-time.Minute))
	if fmt.Sprint(c.Counts) != "[{0 5 0} {200 40 40} {502 10 0}]" || c.Ours != 55 || c.Theirs != 40 || c.NeverArrived != 15 {
		t.Errorf("%+v", c)
	}
	if !c.Start.Equal(judged.Add(-58*time.Minute)) || !c.End.Equal(judged.Add(-50*time.Minute)) {
		t.Errorf("from %v to %v", c.Start, c.End)
	}
	if c := r.Compare("3", theirs, judged.Add(-time.Minute)); c.Ours != 0 || c.Theirs != 40 || c.NeverArrived != 0 {
		t.Errorf("an organization without attempts: %+v", c)
	}
	if c := New(Config{}).Compare("1", theirs, judged); len(c.Counts) != 0 || !c.Start.IsZero() {
		t.Errorf("an empty record: %+v", c)
	}
	for _, bad := range []string{"", "{}", `[{"startTs":"x"}]`, `[{"startTs":"` + at(0) + `","endTs":"` + at(0) + `"}]`} {
		if _, err := ParseTelemetry([]byte(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func FuzzParseTelemetry(f *testing.F) {
	f.Add([]byte(`[{"startTs":"2026-08-01T11:58:00Z","endTs":"2026-08-01T12:00:00Z","counts":[{"code":200,"count":198938}]}]`))
	f.Add([]byte(`[{"startTs":"2026-08-01T11:00:00Z","endTs":"2026-08-01T12:00:00Z","counts":[{"code":-1,"count":9223372036854775807}]},null]`))
	f.Fuzz(func(t *testing.T, document []byte) {
		theirs, err := ParseTelemetry(document)
		if err != nil {
			return
		}
		r := New(Config{Since: judged.Add(-time.Hour)})
		fill(r, "1", judged.Add(-10*time.Minute), 20*time.Minute, 20, 200)
		c := r.Compare("1", theirs, judged)
		if c.Ours > 20 || c.Theirs < 0 || c.NeverArrived < 0 || c.End.Before(c.Start) {
			t.Fatalf("%+v", c)
		}
	})
}
