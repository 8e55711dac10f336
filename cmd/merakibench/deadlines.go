package main

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// deadlines asks whether what is admitted is in time. Bulk calls wait as long as
// their deadlines allow, so under lasting overload each gets its slot at the last
// moment that the broker thinks good enough: what it thinks of the service time
// decides whether slots are spent on answers or on calls that die on the way.
func deadlines(ctx context.Context, r *run) error {
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
	length := r.length(180*time.Second, 15*time.Second)
	start := time.Now()
	t.offer(ctx, r, start, length, stream{
		caller: caller{name: "backfill", priority: "bulk", patience: 5 * time.Second}, rate: 3 * budgetRate,
		to: func(int) *replica { return replicas[0] },
	})
	calls, visits := t.of(nil), s.all()
	var at figure.Sample
	for i := range calls {
		if refused(&calls[i]) {
			at = append(at, calls[i].took().Seconds())
		}
	}
	late := count(calls, func(c *call) bool { return c.code == codes.DeadlineExceeded })
	r.figure("requests given up on the way, of all", figure.Per(givenUp(visits), len(visits)), figure.Share, figure.AtMost(0.01))
	r.figure("share of 10/s used", figure.Used(answered(visits), start.Add(warm), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))
	r.figure("calls that ran into their deadline, of all", figure.Per(late, len(calls)), figure.Share, figure.Aim{})
	r.figure("refused, of all", figure.Per(count(calls, refused), len(calls)), figure.Share, figure.Aim{})
	r.figure("time until a refusal, p50", at.Percentile(50)*1e3, figure.Millis, figure.Aim{})
	r.figure("429s", float64(s.sandbox.Organization(s.organization).Answered[429]), figure.Count, figure.AtMost(0))
	x, y := figure.Rates(answered(visits), start, length, 5*time.Second, time.Second)
	ax, ay := figure.Rates(arrivals(visits), start, length, 5*time.Second, time.Second)
	r.plot("rate", "Requests sent and answered", plot.Lines{
		Title: "deadlines: requests sent and answered a second, mean of 5 s", XLabel: "seconds", YLabel: "requests/s",
		Curves: []plot.Curve{{Name: "sent", X: ax, Y: ay}, {Name: "answered", X: x, Y: y}}, Levels: []plot.Level{{Y: budgetRate, Text: "the budget"}},
	}.SVG())
	return nil
}
