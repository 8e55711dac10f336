package main

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

func overload(ctx context.Context, r *run) error {
	s, err := r.site(sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	replicas, err := r.replicas(ctx, s, fleet{count: 1})
	if err != nil {
		return err
	}
	t, err := s.traffic()
	if err != nil {
		return err
	}
	length := r.length(300*time.Second, 15*time.Second)
	start := time.Now()
	t.offer(ctx, r, start, length, stream{
		caller: caller{name: "demand", priority: "normal", patience: patient}, rate: 1.2 * budgetRate,
		to: func(int) *replica { return replicas[0] },
		// Every fourth comes back as it is told: if all did, the load would be
		// another one than the stated.
		back: func(n int) bool { return n%4 == 0 },
	})
	calls := t.of(nil)
	first := t.of(func(c *call) bool { return !c.again })
	again := t.of(func(c *call) bool { return c.again })
	waits := t.waits(calls)
	told := figure.Sample{}
	for i := range first {
		if refused(&first[i]) {
			told = append(told, first[i].later.Seconds())
		}
	}
	r.figure("wait of the served, p50", waits.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("wait of the served, p99", waits.Percentile(99), figure.Seconds, figure.AtMost(1.2))
	r.figure("refused of those that came for the first time", figure.Per(count(first, refused), len(first)), figure.Share, figure.Aim{})
	r.figure("refusals that say when to come back", figure.Per(count(first, func(c *call) bool { return refused(c) && c.later > 0 }), count(first, refused)), figure.Share, figure.AtLeast(1))
	r.figure("told delay, p50", told.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("told delay, longest", told.Max(), figure.Seconds, figure.Aim{})
	r.figure("came back as told", float64(len(again)), figure.Count, figure.Aim{})
	r.figure("served when they came back", figure.Per(count(again, served), len(again)), figure.Share, figure.AtLeast(0.99))
	r.figure("share of 10/s used", figure.Used(answered(s.all()), start.Add(warm), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))
	seen := s.sandbox.Organization(s.organization)
	r.figure("429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
	r.note("A quarter of the refused come back, each once, when they were told to.")
	var x, y []float64
	for n := 0.3; n <= 3; n += 0.05 {
		x, y = append(x, n), append(y, waits.Percentile(100-100*share(n)))
	}
	r.plot("waits", "Waits of the served", plot.Lines{
		Title: "overload: waits of the served at 1.2 times the budget", XLabel: "percentile", YLabel: "seconds", XTick: nines, XWhole: true,
		Curves: []plot.Curve{{Name: "wait", X: x, Y: y}}, Levels: []plot.Level{{Y: 1.2, Text: "aim for the 99th"}},
	}.SVG())
	return nil
}
