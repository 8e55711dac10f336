package main

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// inTime is the deadline of the critical calls.
const inTime = 2 * time.Second

func priorities(ctx context.Context, r *run) error {
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
	one := func(int) *replica { return replicas[0] }
	length := r.length(180*time.Second, 12*time.Second)
	start := time.Now()
	t.offer(ctx, r, start, length,
		stream{caller: caller{name: "backfill", priority: "bulk", patience: patient}, rate: 12 * budgetRate, to: one},
		stream{caller: caller{name: "page", priority: "critical", patience: inTime}, rate: 5, to: one},
	)
	critical, bulk := t.of(by("page")), t.of(by("backfill"))
	waits := t.waits(critical)
	r.figure("critical calls", float64(len(critical)), figure.Count, figure.Aim{})
	r.figure("critical answered within 2 s", figure.Per(count(critical, func(c *call) bool { return served(c) && c.took() <= inTime }), len(critical)), figure.Share, figure.AtLeast(0.994))
	r.figure("critical wait, p50", waits.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("critical wait, p99", waits.Percentile(99), figure.Seconds, figure.Aim{})
	r.figure("bulk offered", figure.Per(float64(len(bulk)), length.Seconds()), figure.Rate, figure.Aim{})
	r.figure("bulk served", figure.Per(float64(figure.Within(t.arrived(bulk), start.Add(warm), start.Add(length))), (length-warm).Seconds()), figure.Rate, figure.Aim{})
	r.figure("share of 10/s used", figure.Used(answered(s.all()), start.Add(warm), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))
	visits := s.all()
	r.figure("requests given up on the way, of all", figure.Per(givenUp(visits), len(visits)), figure.Share, figure.AtMost(0.01))
	r.figure("429s", float64(s.sandbox.Organization(s.organization).Answered[429]), figure.Count, figure.AtMost(0))
	var curves []plot.Curve
	for _, k := range []struct {
		name  string
		calls []call
	}{{"critical", critical}, {"bulk", bulk}} {
		x, y := figure.Rates(t.arrived(k.calls), start, length, 2*time.Second, time.Second)
		curves = append(curves, plot.Curve{Name: k.name, X: x, Y: y})
	}
	r.plot("rate", "Requests of each priority", plot.Lines{
		Title: "priorities: requests a second at the sandbox, bulk offered at 120/s, mean of 2 s", XLabel: "seconds", YLabel: "requests/s", Curves: curves,
	}.SVG())
	return nil
}
