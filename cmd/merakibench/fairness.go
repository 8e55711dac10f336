package main

import (
	"context"
	"math"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

func fairness(ctx context.Context, r *run) error {
	g, err := r.group(ctx, sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	length := r.length(240*time.Second, 15*time.Second)
	start := time.Now()
	any3 := func(n int) *replica { return g.replicas[n%3] }
	g.traffic.offer(ctx, r, start, length,
		stream{caller: caller{name: "A", patience: patient}, rate: 20, to: any3},
		stream{caller: caller{name: "B", patience: patient}, rate: 8, to: func(int) *replica { return g.replicas[1] }},
		stream{caller: caller{name: "C", patience: patient}, rate: 0.5, to: func(int) *replica { return g.replicas[2] }},
	)
	from, to := start.Add(warm), start.Add(length)
	rates := make(map[string]float64)
	var curves []plot.Curve
	for _, name := range []string{"A", "B", "C"} {
		at := g.traffic.arrived(g.traffic.of(by(name)))
		rates[name] = figure.Per(float64(figure.Within(at, from, to)), to.Sub(from).Seconds())
		x, y := figure.Rates(at, start, length, 5*time.Second, time.Second)
		curves = append(curves, plot.Curve{Name: name, X: x, Y: y})
	}
	mean := (rates["A"] + rates["B"]) / 2
	r.figure("A served, 20/s offered on all three", rates["A"], figure.Rate, figure.Aim{})
	r.figure("B served, 8/s offered on one", rates["B"], figure.Rate, figure.Aim{})
	r.figure("C served, 0.5/s offered on one", rates["C"], figure.Rate, figure.Aim{})
	r.figure("A and B apart", figure.Per(math.Abs(rates["A"]-rates["B"]), mean), figure.Share, figure.AtMost(0.03))
	c := g.traffic.of(by("C"))
	waits := g.traffic.waits(c)
	r.figure("C's calls that were served", figure.Per(count(c, served), len(c)), figure.Share, figure.AtLeast(1))
	r.figure("C's wait, p50", waits.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("C's wait, p99", waits.Percentile(99), figure.Seconds, figure.AtMost(1))
	seen := g.site.sandbox.Organization(g.site.organization)
	r.figure("share of 10/s used", figure.Used(answered(g.site.all()), from, to, budgetRate), figure.Share, figure.AtLeast(0.99))
	r.figure("429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
	r.outages(g)
	r.note("C made %d calls; with so few the 99th percentile is nearly the longest.", len(c))
	r.plot("shares", "Requests a second of each caller", plot.Lines{
		Title: "fairness: requests a second of each caller at the sandbox, mean of 5 s", XLabel: "seconds", YLabel: "requests/s",
		Curves: curves,
	}.SVG())
	return nil
}
