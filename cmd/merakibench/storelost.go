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

func storeLost(ctx context.Context, r *run) error {
	if err := storeLostUnderLoad(ctx, r); err != nil {
		return err
	}
	return storeLostAtRest(ctx, r)
}

// storeLostUnderLoad kills the store while more is asked than there is, and starts
// it again, empty.
func storeLostUnderLoad(ctx context.Context, r *run) error {
	g, err := r.group(ctx, sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	part := r.length(40*time.Second, 5*time.Second)
	length := 3 * part
	start := time.Now()
	events := newTimeline(ctx, start)
	events.at(part, func() error { g.store.crash(); return nil })
	events.at(2*part, func() error { return g.store.start(ctx) })
	g.traffic.offer(ctx, r, start, length, stream{
		caller: caller{name: "demand", patience: patient}, rate: 2 * budgetRate, to: g.skewed,
	})
	if err := events.wait(); err != nil {
		return err
	}
	at, told := arrivals(g.site.all()), answered(g.site.all())
	gone, back := start.Add(part), start.Add(2*part)
	seen := g.site.sandbox.Organization(g.site.organization)
	r.figure("worst overdraft of 10/s + 10", seen.WorstOverdraft, figure.Count, figure.AtMost(0))
	r.figure("worst overdraft of the broker's own 10/s + 8, before the jitter", figure.Overdraft(at, budgetRate, brokerBurst), figure.Count, figure.Aim{})
	r.figure("429s", float64(seen.Answered[429]), figure.Count, figure.AtMost(0))
	r.figure("share of 10/s used with the store", figure.Used(told, start.Add(warm*part/(40*time.Second)), gone, budgetRate), figure.Share, figure.Aim{})
	r.figure("share of 10/s used without it, demand 80/10/10", figure.Used(told, gone, back, budgetRate), figure.Share, figure.Aim{})
	r.figure("share of 10/s used from 5 s after it is back", figure.Used(told, back.Add(part/8), start.Add(length), budgetRate), figure.Share, figure.AtLeast(0.99))
	x, y := figure.Rates(at, start, length, 2*time.Second, 500*time.Millisecond)
	r.plot("rate", "Requests at the sandbox while the store is lost", plot.Lines{
		Title: "store-lost: requests a second at the sandbox, mean of 2 s", XLabel: "seconds", YLabel: "requests/s",
		Curves: []plot.Curve{{Name: "arrived", X: x, Y: y}},
		Marks:  []plot.Mark{{X: part.Seconds(), Text: "kill -9"}, {X: 2 * part.Seconds(), Text: "started, empty"}},
		Levels: []plot.Level{{Y: budgetRate, Text: "the budget"}},
	}.SVG())
	r.close() // the next part has replicas of its own
	return nil
}

// storeLostAtRest kills the store, then freezes it, while there is budget enough,
// and looks at the first call of each replica.
func storeLostAtRest(ctx context.Context, r *run) error {
	g, err := r.group(ctx, sandbox.Options{})
	if err != nil {
		return err
	}
	var usual, killed, frozen, back figure.Sample
	rounds := r.number(6, 1)
	for i := range rounds {
		for _, k := range []struct {
			what   string
			sample *figure.Sample
			lose   func() error
			find   func() error
		}{
			{"killed", &killed, func() error { g.store.crash(); return nil }, func() error { return g.store.start(ctx) }},
			{"frozen", &frozen, g.store.freeze, g.store.thaw},
		} {
			r.progress.says("round %d of %d: the store is %s under light load", i+1, rounds, k.what)
			for range 10 {
				usual = append(usual, g.each(ctx)...)
				if err := pause(ctx, 500*time.Millisecond); err != nil {
					return err
				}
			}
			if err := k.lose(); err != nil {
				return err
			}
			*k.sample = append(*k.sample, g.each(ctx)...)
			if err := pause(ctx, time.Second); err != nil {
				return err
			}
			if err := k.find(); err != nil {
				return err
			}
			// Probes come every half second. What was spent alone has flowed in again.
			if err := pause(ctx, 4*time.Second); err != nil {
				return err
			}
			back = append(back, g.each(ctx)...)
			if err := pause(ctx, 2*time.Second); err != nil {
				return err
			}
		}
	}
	r.measured()
	base := usual.Percentile(50)
	r.figure("usual wait of a call, p50", base*1e3, figure.Millis, figure.Aim{})
	r.figure("usual wait of a call, p99", usual.Percentile(99)*1e3, figure.Millis, figure.Aim{})
	r.figure("store killed: first call later than the usual p50, the worst", (killed.Max()-base)*1e3, figure.Millis, figure.AtMost(50))
	r.figure("store frozen: first call later than the usual p50, half of them", (frozen.Percentile(50)-base)*1e3, figure.Millis, figure.Aim{})
	r.figure("store frozen: first call later than the usual p50, the worst", (frozen.Max()-base)*1e3, figure.Millis, figure.Aim{})
	r.figure("store back for 4 s: first call later than the usual p50, half of them", (back.Percentile(50)-base)*1e3, figure.Millis, figure.Aim{})
	r.figure("store back for 4 s: first call later than the usual p50, the worst", (back.Max()-base)*1e3, figure.Millis, figure.AtMost(50))
	r.note("The first calls are one at each of three replicas, %d times killed and %d times frozen; a frozen store costs the time that a step may take, 50 ms.", rounds, rounds)
	return nil
}

// each makes one call at each replica at the same time, and gives the waits in
// seconds; one that was not served counts as endless.
func (g *group) each(ctx context.Context) figure.Sample {
	out := make(figure.Sample, len(g.replicas))
	var all sync.WaitGroup
	for i, p := range g.replicas {
		all.Go(func() {
			c := g.traffic.asker.ask(ctx, p, caller{name: "light", patience: patient}, g.site.serial(), time.Now())
			g.traffic.note(c)
			out[i] = math.Inf(1)
			if w := g.traffic.waits([]call{c}); len(w) == 1 {
				out[i] = w[0]
			}
		})
	}
	all.Wait()
	return out
}
