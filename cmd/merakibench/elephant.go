package main

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// twoWeights gives one caller three times the part of another.
const twoWeights = `
policy:
  - name: heavy
    callers: [spiffe://bench.example/heavy]
    operations: [{section: "*", verbs: [read]}]
    organizations: ["*"]
    weight: 3
  - name: everyone
    callers: ["*"]
    operations: [{section: "*", verbs: [read]}]
    organizations: ["*"]
`

// unhurried is the deadline of calls that may wait behind hundreds of others.
const unhurried = 3 * time.Minute

func elephantAndMouse(ctx context.Context, r *run) error {
	s, err := r.site(sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	replicas, err := r.replicas(ctx, s, fleet{count: 1, rules: twoWeights})
	if err != nil {
		return err
	}
	one := func(int) *replica { return replicas[0] }

	// Both at bulk priority, where calls wait as long as their deadline allows:
	// at normal priority no queue of 500 would be left standing.
	t, err := s.traffic()
	if err != nil {
		return err
	}
	length := r.length(240*time.Second, 12*time.Second)
	start := time.Now()
	herd, stop := context.WithCancel(ctx)
	defer stop()
	var under sync.WaitGroup
	under.Go(func() {
		t.keep(herd, r.number(500, 100), caller{name: "elephant", priority: "bulk", patience: unhurried}, one)
	})
	t.offer(ctx, r, start, length, stream{caller: caller{name: "mouse", priority: "bulk", patience: patient}, rate: 0.5, to: one})
	stop()
	under.Wait()
	mice := t.of(by("mouse"))
	mouse, elephant := t.waits(mice), t.waits(t.of(by("elephant")))
	r.figure("the small one's calls", float64(len(mice)), figure.Count, figure.Aim{})
	r.figure("the small one's calls that were served", figure.Per(count(mice, served), len(mice)), figure.Share, figure.AtLeast(1))
	r.figure("the small one's wait, p50", mouse.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("the small one's wait, p99", mouse.Percentile(99), figure.Seconds, figure.AtMost(1))
	r.figure("the large one's wait, p50", elephant.Percentile(50), figure.Seconds, figure.Aim{})
	r.figure("share of 10/s used", figure.Used(answered(s.all()), start.Add(warm), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))

	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	t, err = s.traffic()
	if err != nil {
		return err
	}
	weighed := r.length(90*time.Second, 12*time.Second)
	start = time.Now()
	both, stop := context.WithDeadline(ctx, start.Add(weighed))
	defer stop()
	r.progress.shows(func() string { return "weights 3:1, " + t.line(start, weighed) })
	for _, name := range []string{"heavy", "light"} {
		under.Go(func() { t.keep(both, 60, caller{name: name, priority: "bulk", patience: unhurried}, one) })
	}
	under.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var rates []float64
	var curves []plot.Curve
	for _, name := range []string{"heavy", "light"} {
		at := t.arrived(t.of(by(name)))
		rates = append(rates, figure.Per(float64(figure.Within(at, start.Add(warm), start.Add(weighed))), (weighed-warm).Seconds()))
		x, y := figure.Rates(at, start, weighed, 5*time.Second, time.Second)
		curves = append(curves, plot.Curve{Name: name, X: x, Y: y})
	}
	ratio := figure.Per(rates[0], rates[1])
	r.figure("served with weight 3", rates[0], figure.Rate, figure.Aim{})
	r.figure("served with weight 1", rates[1], figure.Rate, figure.Aim{})
	r.figure("their ratio", ratio, figure.Ratio, figure.Aim{})
	r.figure("the ratio off 3", math.Abs(ratio/3-1), figure.Share, figure.AtMost(0.05))
	r.figure("429s", float64(s.sandbox.Organization(s.organization).Answered[429]), figure.Count, figure.AtMost(0))
	r.plot("weights", "Weights 3:1", plot.Lines{
		Title: "elephant-and-mouse: two callers of weights 3 and 1, mean of 5 s", XLabel: "seconds", YLabel: "requests/s", Curves: curves,
	}.SVG())
	return nil
}

// keep has n calls of a caller waiting at any moment, until ctx ends. Those that
// ctx cuts off are not counted.
func (t *traffic) keep(ctx context.Context, n int, c caller, to func(int) *replica) {
	var under sync.WaitGroup
	defer under.Wait()
	for i := range n {
		under.Go(func() {
			for ctx.Err() == nil {
				done := t.asker.ask(ctx, to(i), c, t.site.serial(), time.Now())
				if ctx.Err() == nil {
					t.note(done)
				}
				if !done.ok() && pause(ctx, max(done.later, 100*time.Millisecond)) != nil {
					return
				}
			}
		})
	}
}
