package lint

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A target is one query of the dashboard.
type target struct{ panel, expr, legend string }

func targets(t *testing.T) []target {
	t.Helper()
	text, err := os.ReadFile("../grafana/merakibroker.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	var all []target
	for _, p := range board.Panels {
		for _, q := range p.Targets {
			// What Grafana fills in before it asks.
			all = append(all, target{p.Title, strings.NewReplacer("$__rate_interval", "4m", "$namespace", ".*").Replace(q.Expr), q.LegendFormat})
		}
	}
	return all
}

var legendLabel = regexp.MustCompile(`\{\{([a-z]+)\}\}`)

// show gives what a panel shows at a moment, by its legend.
func (r *run) show(q target, at time.Time) map[string]float64 {
	r.t.Helper()
	out := make(map[string]float64)
	for _, s := range r.query(q.expr, at) {
		legend := legendLabel.ReplaceAllStringFunc(q.legend, func(l string) string { return s.Metric.Get(strings.Trim(l, "{}")) })
		if _, twice := out[legend]; twice {
			r.t.Errorf("%s: two series are called %q", q.panel, legend)
		}
		out[legend] = s.F
	}
	return out
}

// shown are the series that a panel shows, each with what its value has to be. The
// others, under rest, may be there.
type shown map[string]func(float64) bool

const rest = "*"

func between(least, most float64) func(float64) bool {
	return func(v float64) bool { return v >= least && v <= most }
}

// TestPanelsOfARun: every panel shows what a run has done, with the figures of the run.
func TestPanelsOfARun(t *testing.T) {
	t.Parallel()
	store, _ := newStore(t)
	r := newRun(t, "store: {addresses: ['"+store+"'], replicas: 1}\n")
	organizations, networks := r.world()
	one, two, three := "/organizations/"+organizations[0], "/organizations/"+organizations[1], "/organizations/"+organizations[2]
	r.ctl("", 0, "hold", "caller", "as:eve", "--for", "1h", "--reason", "a test")
	for range 2 {
		watch := r.start("MERAKICTL", nil, "watch", three+"/networks", "--age", "1s", "--address", r.grpc)
		watch.find(`(whole)`)
	}
	r.damages(`"timeZone":"Europe/Berlin"`, `"timeZone":{}`)

	// What each minute has: of alice six requests, of bob six, of which one is a reset; of
	// others a read that is at hand, one of a network that is nobody's, a list of writes.
	minutes := 0
	minute := func() {
		r.tell("POST", "faults", `{"path":"`+two+`/admins","faults":[{"kind":"reset"}]}`)
		r.calls(6, "alice", one+"/devices", 200)
		r.calls(3, "bob", two+"/networks", 200)
		r.call("bob", two+"/admins", 200)
		r.call("bob", "/networks/"+networks[1][minutes], 200)
		r.call("eve", one+"/devices", 429)
		r.ctl("", 0, "call", "GET", two+"/networks", "--max-age", "600")
		r.ctl("", 4, "call", "GET", fmt.Sprintf("/networks/N_%d/nothing", minutes))
		r.ctl(renames(networks[0][:3]), 0, "apply", "-", "--read-back")
		minutes++
	}
	meets429 := func() {
		r.tell("POST", "faults", `{"path":"`+two+`/configTemplates","faults":[{"kind":"status","status":429,"retryAfter":"1"}]}`)
		r.calls(1, "bob", two+"/configTemplates", 200)
	}
	meets429() // so that the series is there, and its growth is seen
	minute()
	r.scrape()
	minute()
	r.scrape()
	asked := r.arrived()
	minute()
	r.scrape()

	// One of three calls meets a 429, and all three wait.
	minute()
	var waiting sync.WaitGroup
	waiting.Go(meets429)
	r.until(func(all map[string]sample) bool {
		return value(all, "merakibroker_budget_stopped", organizations[1]) == 1
	})
	waiting.Go(func() { r.calls(2, "bob", two+"/policyObjects", 200) })
	r.put(r.until(func(all map[string]sample) bool {
		return value(all, "merakibroker_budget_waiting", organizations[1]) == 3
	}))
	stopped := r.now
	waiting.Wait()
	minute()
	r.scrape()
	asked = r.arrived() - asked
	end := r.now

	zero, few := between(0, 0), between(0, 1)
	perMinute := func(n float64) func(float64) bool { return near(n/60, .01) }
	once := near(1./180, .01) // in the three minutes between the first and the last of four samples
	wait := between(0, 10)
	want := map[string]shown{
		"Calls by code":                             {"OK": perMinute(2), "NotFound": perMinute(1)},
		"Time to the answer":                        {"p50": between(1e-4, 5), "p95": between(1e-4, 5), "p99": between(1e-4, 5)},
		"Operations that fail most":                 {"Call NotFound": perMinute(1)},
		"Wait for a slot":                           {"normal": wait, "bulk": wait},
		"Calls that wait":                           {"organization normal": between(3, 3), rest: zero},
		"Refused before anything was sent":          {"operator bulk: held": perMinute(1)},
		"Where answers to reads came from":          {"hit": perMinute(1), "miss": between(14./60, 20./60), "coalesced": few},
		"Look-ups of owners":                        {"network unknown": perMinute(1), rest: zero},
		"Requests for each call":                    {"requests a call": near(asked/(3*15+3), .08)},
		"Requests by outcome":                       {"reset": perMinute(1), "rate_limited": once, "refused": perMinute(2), "ok": near((asked-10)/180, .08)},
		"Time of one request":                       {"p50": between(1e-4, 5), "p95": between(1e-4, 5), "p99": between(1e-4, 5)},
		"What never arrived":                        {"share": near(3/asked, .08)},
		"Verdicts":                                  {"done": near((asked-4)/180, .15), "again": near(4./180, .01), rest: between(0, 2./60)},
		"Drift from the contract":                   {"getNetwork left_out": between(11, 16), rest: between(0, 300)},
		"Processor":                                 {"merakibroker-0": between(1e-5, 10)},
		"Memory":                                    {"merakibroker-0": between(1e7, 1e9)},
		"Goroutines":                                {"merakibroker-0": between(10, 1000)},
		"Replicas on the store":                     {"sharing": between(1, 1), "last heard": between(1, 1)},
		"Keys rejected, token keys left out":        {"main": zero, "token keys left out": zero},
		"Changed files by what became of them":      {}, // none has changed
		"Action batches by outcome":                 {"done": perMinute(1), "under way": zero},
		"Requests that batches and watches saved":   {"batches": perMinute(2), "watches": between(1./600, 1)},
		"Requests over REST by status":              {"200 ": near((3*11+3)/180., .01), "429 HELD_BY_OPERATOR": perMinute(1)},
		"Time to the answer by service, p95":        {"meraki.broker.v1.BrokerService": between(1e-4, 5)},
		"Requests to the Dashboard by caller":       {"as:alice": perMinute(6), "as:bob": near((3*6+4)/180., .01), "as:eve": zero, "anonymous": between(4./60, 1), rest: between(0, 3./180)},
		"Requests to the Dashboard by organization": {organizations[0]: between(10./60, 1), organizations[1]: near((3*6+4)/180., .01), organizations[2]: between(1./600, 1), "other": zero, "": few},
		"Callers that wait, in seconds a second":    {"as:bob": between(.5/180, 10./180), rest: between(0, 1./180)},
		"429s by organization":                      {organizations[1]: once, organizations[0]: zero, organizations[2]: zero, "other": zero},
		"Calls that wait, by organization":          {organizations[1]: between(3, 3), organizations[0]: zero, organizations[2]: zero},
		"Budgets stopped by a 429":                  {"stopped": between(1, 1)},
		"Holds of operators":                        {"caller_bulk": between(1, 1), "organization_bulk": zero, "all_writes": zero},
	}
	now := []string{"Calls that wait", "Calls that wait, by organization", "Budgets stopped by a 429"}
	got := make(map[string]map[string]float64)
	for _, q := range targets(t) {
		at := end
		if slices.Contains(now, q.panel) {
			at = stopped
		}
		if got[q.panel] == nil {
			got[q.panel] = make(map[string]float64)
		}
		maps.Copy(got[q.panel], r.show(q, at))
	}
	for panel, series := range got {
		if want[panel] == nil {
			t.Errorf("nobody has said what %q shows", panel)
		}
		for legend, holds := range want[panel] {
			if v, ok := series[legend]; legend != rest && (!ok && !holds(0) || ok && !holds(v)) {
				t.Errorf("%s: %q is %v (there: %v)", panel, legend, v, ok)
			}
		}
		for legend, v := range series {
			if holds := want[panel][rest]; want[panel][legend] == nil && (holds == nil || !holds(v)) {
				t.Errorf("%s: shows %q, %v", panel, legend, v)
			}
		}
	}
	for panel := range want {
		if got[panel] == nil {
			t.Errorf("there is no panel %q", panel)
		}
	}

	// Nothing of this calls anybody, also when it goes on for hours.
	r.ctl("", 0, "release", "caller", "as:eve")
	r.scrape()
	for range 5 {
		if fires := r.firing(); fires != "" {
			t.Errorf("after %v: %s", r.now, fires)
		}
		r.goesOn(30 * time.Minute)
	}
}
