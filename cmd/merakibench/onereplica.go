package main

import (
	"context"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// What the Dashboard gives an organization.
const (
	budgetRate = 10 // requests a second
	// brokerBurst is what the broker spends at once by default: 8, since
	// 8 + 10/s x 200 ms of jitter is what the Dashboard takes.
	brokerBurst = 8
)

// warm is how long the first burst of 8 takes to be spent at twice the rate, and
// then some: what is measured begins after it.
const warm = 5 * time.Second

// patient is the deadline of calls that are not about deadlines.
const patient = 10 * time.Second

func oneReplica(ctx context.Context, r *run) error {
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
	length := r.length(120*time.Second, 10*time.Second)
	start := time.Now()
	t.offer(ctx, r, start, length, stream{
		caller: caller{name: "demand", patience: patient}, rate: 2 * budgetRate,
		to: func(int) *replica { return replicas[0] },
	})
	r.budget(t, start, length)
	return nil
}

// budget gives the figures about one organization's budget under more demand than
// it can take: how much was used, and that it was not overrun.
func (r *run) budget(t *traffic, start time.Time, length time.Duration) {
	visits, calls := t.site.all(), t.of(nil)
	at, seen := arrivals(visits), t.site.sandbox.Organization(t.site.organization)
	waits := t.waits(calls)
	r.figure("share of 10/s used", figure.Used(answered(visits), start.Add(warm), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))
	r.figure("429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
	r.figure("worst overdraft of 10/s + 10", seen.WorstOverdraft, figure.Count, figure.AtMost(0))
	r.figure("worst overdraft of the broker's own 10/s + 8, before the jitter", figure.Overdraft(at, budgetRate, brokerBurst), figure.Count, figure.Aim{})
	r.figure("calls offered", float64(len(calls)), figure.Count, figure.Aim{})
	r.figure("calls served", float64(count(calls, served)), figure.Count, figure.Aim{})
	r.figure("requests for each answer", figure.Per(len(visits), count(calls, served)), figure.Count, figure.Aim{})
	r.figure("requests that the broker gave up on the way", float64(givenUp(visits)), figure.Count, figure.Aim{})
	r.figure("wait of the served, p50", waits.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("wait of the served, p99", waits.Percentile(99), figure.Seconds, figure.Aim{})
	if other := count(calls, func(c *call) bool { return !served(c) && !refused(c) }); other > 0 {
		r.note("%d calls ended otherwise than served or refused.", other)
	}
	x, y := figure.Rates(at, start, length, time.Second, time.Second)
	r.plot("rate", "Requests at the sandbox", plot.Lines{
		Title: r.scenario + ": requests a second at the sandbox", XLabel: "seconds", YLabel: "requests/s",
		Curves: []plot.Curve{{Name: "arrived", X: x, Y: y}}, Levels: []plot.Level{{Y: budgetRate, Text: "the budget"}},
	}.SVG())
}
