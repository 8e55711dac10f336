package service

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/transcode"
	"github.com/merakibroker/merakibroker/service/usage"
)

// TestSeriesAreMadeOnce, whoever asks at the same time.
func TestSeriesAreMadeOnce(t *testing.T) {
	t.Parallel()
	type key struct {
		name   string
		number int
	}
	var made atomic.Int32
	c := newSeries(func(k key) *key { made.Add(1); return &k })
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 100 {
				k := key{"a", i}
				if got := c.of(k); *got != k || c.of(k) != got {
					t.Errorf("%v for %v", *got, k)
				}
			}
		})
	}
	all.Wait()
	if n := made.Load(); n != 100 {
		t.Errorf("%d were made, want 100", n)
	}
}

// TestScrapeIsBounded: every operation with every code, outcome, verdict and drift stays
// below 5,000 series and 1 MB, and nothing is left uncounted.
func TestScrapeIsBounded(t *testing.T) {
	t.Parallel()
	m := NewMetrics()
	const operations = 1000
	for i := range operations {
		id := fmt.Sprintf("getOrganizationSomethingWithAnUsualName%d", i)
		service := fmt.Sprintf("meraki.section%d.v1.SectionService", i%17)
		for c := codes.OK; c <= codes.Unauthenticated; c++ {
			m.call(id, c.String(), service, time.Second)
		}
		for o := fault.NoOutcome; !strings.HasPrefix(o.String(), "outcome "); o++ {
			m.Attempted(id, o, 200, time.Second)
		}
		for _, verdict := range []string{"done", "again", "give up"} {
			m.Judged(id, verdict)
		}
		for d := transcode.Drift(1); d <= 3; d++ {
			m.drift(id, d)
		}
		m.Polled(id, "ok")
		m.Polled(id, "failed")
	}
	spent := usage.New(usage.Config{Callers: 50, Organizations: 50})
	m.usage.of.Store(&usageSource{spent, func(organization string) lane.BudgetState {
		return lane.BudgetState{Organization: organization}
	}})
	var figures usage.Figures
	figures[usage.Requests], figures[usage.Attempts], figures[usage.WaitMicroseconds] = 1, 1, 123_456_789
	for i := range 10_000 {
		spent.Add(time.Now(), usage.Key{Caller: fmt.Sprint("spiffe://cluster.example/ns/namespace/sa/caller-", i), Organization: fmt.Sprint(646829496481000000 + i), Operation: "getNetwork"}, figures)
	}
	families, err := m.Registry().Gather()
	if err != nil {
		t.Fatal(err)
	}
	total, other := map[string]float64{}, map[string]int{}
	for _, f := range families {
		for _, s := range f.GetMetric() {
			total[f.GetName()] += s.GetCounter().GetValue()
			for _, l := range s.GetLabel() {
				if l.GetValue() == otherOperation {
					other[f.GetName()]++
				}
			}
		}
	}
	for name, want := range map[string]float64{
		"merakibroker_calls_total": operations * 17, "merakibroker_verdicts_total": operations * 3, "merakibroker_watch_polls_total": operations * 2,
		"merakibroker_caller_attempts_total": 10_000, "merakibroker_organization_requests_total": 10_000,
	} {
		if total[name] != want || other[name] == 0 {
			t.Errorf("%s adds up to %g with %d series of others, want %g and some", name, total[name], other[name], want)
		}
	}
	w := httptest.NewRecorder()
	start := time.Now()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	series := 0
	for line := range strings.Lines(w.Body.String()) {
		if !strings.HasPrefix(line, "#") {
			series++
		}
	}
	t.Logf("%d series, %d bytes, %v", series, w.Body.Len(), time.Since(start))
	if series > 5000-17*28-10 || w.Body.Len() > 1<<20 { // less gRPC's own: 28 for each code, and what cmd/merakid adds
		t.Errorf("%d series, %d bytes", series, w.Body.Len())
	}
}
