package main

import (
	"context"
	"math"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// outsideRate is what the other application takes, requests a second.
const outsideRate = 4

// Settled is when every mean over settleWindow lies within settledWithin of what is
// left to us, for as long as settleHolds says.
const (
	settledWithin = 0.15
	settleWindow  = 2 * time.Second
)

func outside(ctx context.Context, r *run) error {
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
	before, with, after := r.length(20*time.Second, 5*time.Second), r.length(60*time.Second, 10*time.Second), r.length(60*time.Second, 10*time.Second)
	length := before + with + after
	start := time.Now()
	comes, leaves, end := start.Add(before), start.Add(before+with), start.Add(length)
	others := newTimeline(ctx, start)
	others.at(before, func() error { return s.sandbox.Outside(s.organization, outsideRate, with) })
	t.offer(ctx, r, start, length, stream{
		caller: caller{name: "demand", patience: patient}, rate: 2 * budgetRate,
		to: func(int) *replica { return replicas[0] },
	})
	if err := others.wait(); err != nil {
		return err
	}
	visits := s.all()
	answered, limited := arrivals(visits, 200), arrivals(visits, 429)
	left := float64(budgetRate - outsideRate)
	settled := figure.Settled(answered, comes, with, settleWindow, settleHolds(with), left*(1-settledWithin), left*(1+settledWithin))
	r.figure("settled at 6/s, after", settled, figure.Seconds, figure.AtMost(10))
	r.figure("answered from 10 s on while it is there", figure.Per(float64(figure.Within(answered, comes.Add(with/6), leaves)), (with-with/6).Seconds()), figure.Rate, figure.AtLeast(left*0.9))
	n429 := figure.Within(limited, comes, leaves)
	r.figure("429s while it is there, of the requests", figure.Per(n429, figure.Within(arrivals(visits), comes, leaves)), figure.Share, figure.AtMost(0.02))
	r.figure("429s while it is there", float64(n429), figure.Count, figure.Aim{})
	r.figure("429s after it has left", float64(figure.Within(limited, leaves, end)), figure.Count, figure.Aim{})
	r.figure("back at 99 % of 10/s, after", figure.Settled(answered, leaves, after, settleHolds(after), settleHolds(after), 0.99*budgetRate, math.Inf(1)), figure.Seconds, figure.AtMost(30))
	r.figure("share of 10/s used from 30 s after it has left", figure.Used(answered, leaves.Add(after/2), end, budgetRate), figure.Share, figure.AtLeast(0.99))
	calls := t.of(nil)
	r.figure("calls that failed with a 429", float64(count(calls, func(c *call) bool { return c.reason == "DASHBOARD_RATE_LIMITED" })), figure.Count, figure.Aim{})
	r.note("Settled is when the answered begin to come at 6/s, give or take 15 %%, in every 2 s of the %v that follow; back is the begin of the first %v with a mean of 99 %%.", settleHolds(with), settleHolds(after))
	x, y := figure.Rates(answered, start, length, 2*time.Second, 500*time.Millisecond)
	lx, ly := figure.Rates(limited, start, length, 2*time.Second, 500*time.Millisecond)
	r.plot("rate", "Answered and refused at the sandbox", plot.Lines{
		Title: "outside-application: answered and 429 a second at the sandbox, mean of 2 s", XLabel: "seconds", YLabel: "requests/s",
		Curves: []plot.Curve{{Name: "answered", X: x, Y: y}, {Name: "429", X: lx, Y: ly}},
		Marks:  []plot.Mark{{X: before.Seconds(), Text: "4/s from outside"}, {X: (before + with).Seconds(), Text: "it leaves"}},
		Levels: []plot.Level{{Y: budgetRate, Text: "the budget"}, {Y: left, Text: "what is left"}},
	}.SVG())
	return nil
}

// settleHolds is for how long: 10 s, or what a quick run has room for.
func settleHolds(phase time.Duration) time.Duration { return min(10*time.Second, phase/2) }
