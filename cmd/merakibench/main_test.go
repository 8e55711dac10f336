package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongFlagsAreOneLine(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"":                    "-list names them",
		"-nonsense":           "nonsense",
		"-list extra":         "extra",
		"-scenario nowhere":   `no scenario "nowhere"`,
		"-scenario a,nowhere": "no scenario",
	} {
		var out, errs strings.Builder
		if code := command(t.Context(), strings.Fields(args), scenarios(), &out, &errs); code != exitFailed {
			t.Errorf("%q ends with %d", args, code)
		}
		if got := errs.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, want) {
			t.Errorf("%q says %q", args, got)
		}
	}
}

func TestListAndHelp(t *testing.T) {
	t.Parallel()
	var out, errs strings.Builder
	if code := command(t.Context(), []string{"-list"}, scenarios(), &out, &errs); code != exitMet {
		t.Fatalf("ends with %d: %s", code, errs.String())
	}
	seen := make(map[string]bool)
	for _, s := range scenarios() {
		if !strings.Contains(out.String(), s.name+" ") || seen[s.name] || s.run == nil || !strings.HasSuffix(s.about, ".") {
			t.Errorf("scenario %q is not listed as it should be", s.name)
		}
		seen[s.name] = true
	}
	out.Reset()
	if code := command(t.Context(), []string{"-help"}, nil, &out, &errs); code != exitMet || !strings.Contains(out.String(), "-quick") {
		t.Errorf("-help ends with %d: %s", code, out.String())
	}
}

// TestExitStatus: what a scenario ends with is what the command ends with, and one
// that cannot run does not keep the others from running.
func TestExitStatus(t *testing.T) {
	t.Parallel()
	give := func(value float64) func(context.Context, *run) error {
		return func(_ context.Context, r *run) error {
			r.figure("value", value, figure.Count, figure.AtLeast(1))
			return nil
		}
	}
	all := []scenario{
		{"broken", "It cannot run.", func(context.Context, *run) error { return errors.New("no such thing") }},
		{"good", "It meets its aim.", give(1)},
		{"bad", "It misses its aim.", give(0)},
	}
	for names, want := range map[string]int{"good": exitMet, "bad": exitMissed, "good,bad": exitMissed, "broken": exitFailed, "broken,good": exitFailed, "all": exitFailed} {
		var out, errs strings.Builder
		if got := command(t.Context(), []string{"-json", "-scenario", names}, all, &out, &errs); got != want {
			t.Errorf("%s ends with %d, want %d", names, got, want)
		}
		if good := names == "all" || strings.Contains(names, "good"); good != strings.Contains(out.String(), `"good"`) {
			t.Errorf("%s printed %q", names, out.String())
		}
		for line := range strings.Lines(out.String()) {
			var f struct{ Scenario, Metric, Aim string }
			if err := json.Unmarshal([]byte(line), &f); err != nil || f.Metric != "value" || f.Aim != ">= 1" {
				t.Errorf("%q is not a figure: %v", line, err)
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	if got := command(ctx, []string{"-scenario", "good"}, all, &out, &errs); got != exitInterrupted || out.Len() > 0 {
		t.Errorf("interrupted it ends with %d and %q", got, out.String())
	}
}

// TestWholeWay runs a small scenario with everything that the large ones have: the
// daemon as a process, the sandbox, callers, figures, a plot, the page.
func TestWholeWay(t *testing.T) {
	t.Parallel()
	small := scenario{"small", "A few calls.", func(ctx context.Context, r *run) error {
		s, err := r.site(sandbox.Options{})
		if err != nil {
			return err
		}
		replicas, err := r.replicas(ctx, s, fleet{count: 1})
		if err != nil {
			return err
		}
		traffic, err := s.traffic()
		if err != nil {
			return err
		}
		start := time.Now()
		traffic.offer(ctx, r, start, time.Second,
			stream{caller: caller{name: "a", priority: "critical", patience: patient}, rate: 4, to: func(int) *replica { return replicas[0] }},
			stream{caller: caller{name: "b", patience: patient}, rate: 4, to: func(int) *replica { return replicas[0] }})
		calls := traffic.of(nil)
		waits := traffic.waits(calls)
		r.figure("served", figure.Per(count(calls, served), len(calls)), figure.Share, figure.AtLeast(1))
		r.figure("arrived", figure.Per(len(s.all()), len(calls)), figure.Share, figure.AtLeast(1))
		r.figure("with a wait", figure.Per(len(waits), len(calls)), figure.Share, figure.AtLeast(1))
		r.figure("callers", float64(min(len(traffic.of(by("a"))), 1)+min(len(traffic.of(by("b"))), 1)), figure.Count, figure.AtLeast(2))
		x, y := figure.Rates(arrivals(s.all(), 200), start, time.Second, 500*time.Millisecond, 250*time.Millisecond)
		r.plot("rate", "Rate", plot.Lines{Curves: []plot.Curve{{Name: "all", X: x, Y: y}}}.SVG())
		return nil
	}}
	docs := t.TempDir()
	var out, errs strings.Builder
	if code := command(t.Context(), []string{"-scenario", "small", "-quick", "-docs", docs}, []scenario{small}, &out, &errs); code != exitMet {
		t.Fatalf("ends with %d: %s%s", code, out.String(), errs.String())
	}
	page, err := os.ReadFile(filepath.Join(docs, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"## small", "| served | 100 % | at least 100 % | met |", "bench-small-rate.svg", "cores", "-scenario small -quick"} {
		if !strings.Contains(string(page), want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	if _, err := os.Stat(filepath.Join(docs, "bench-small-rate.svg")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(errs.String(), "small") {
		t.Error("no progress was shown")
	}
}

func TestTrips(t *testing.T) {
	t.Parallel()
	info := "# Commandstats\r\ncmdstat_eval:calls=2,usec=10,usec_per_call=5.00\r\ncmdstat_evalsha:calls=40,usec=100\r\n" +
		"cmdstat_get:calls=42,usec=1\r\ncmdstat_evalsha_ro:calls=7,usec=1\r\ncmdstat_info:calls=x\r\n"
	if got := tripsIn(info); got != 42 {
		t.Errorf("%d trips", got)
	}
	if got := tripsIn(""); got != 0 {
		t.Errorf("%d trips in nothing", got)
	}
}

func TestBenchmarkLines(t *testing.T) {
	t.Parallel()
	out := "goos: linux\nBenchmarkAdmit-2   \t12934892\t        92.3 ns/op\t       0 B/op\t       0 allocs/op\n" +
		"BenchmarkAdmitParallel-2\t1\t 5 ns/op\nBenchmarkAdmit   \t10\t 100 ns/op\t 3 B/op\t 1 allocs/op\nPASS\n"
	took, allocs := benchmarkLines(out, "BenchmarkAdmit")
	if len(took) != 2 || took.Percentile(0) != 92.3 || allocs.Max() != 1 {
		t.Errorf("took %v, allocations %v", took, allocs)
	}
}

func TestCounts(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	calls := []call{{path: "/a", due: begin}, {path: "/b", due: begin.Add(time.Second), code: codes.ResourceExhausted}, {path: "/c", due: begin, code: codes.Unavailable}}
	if s, r := count(calls, served), count(calls, refused); s != 1 || r != 1 {
		t.Errorf("%d served, %d refused", s, r)
	}
	tr := &traffic{site: &site{visits: []visit{{path: "/a", at: begin.Add(-time.Second)}, {path: "/a", at: begin.Add(2 * time.Second)}, {path: "/b", at: begin}}}}
	if w := tr.waits(calls); len(w) != 1 || w[0] != 2 {
		t.Errorf("waits %v: only what came after the call was due, and only of the served", w)
	}
	if at := arrivals(tr.site.all(), 429); len(at) != 0 {
		t.Errorf("429s at %v", at)
	}
}

func TestNines(t *testing.T) {
	t.Parallel()
	for x, want := range map[float64]string{0: "0", 1: "90", 2: "99", 3: "99.9"} {
		if got := nines(x); got != want {
			t.Errorf("%v nines are %s %%, want %s", x, got, want)
		}
	}
}
