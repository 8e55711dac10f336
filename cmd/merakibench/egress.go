package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

const (
	// egressDemand is what is asked for, requests a second: more than the address has,
	// and of each of its organizations a little more than that one has.
	egressDemand = 130
	// egressAddress is where all replicas come from, as the sandbox sees it.
	egressAddress = "127.0.0.1"
)

// egress compares one budget for an egress with static thirds of it, and looks at the
// one budget without its store.
func egress(ctx context.Context, r *run) error {
	length := r.length(60*time.Second, 12*time.Second)
	trips := make(map[string]float64)
	var curves []plot.Curve
	for _, way := range []struct {
		name, budget string
		aim          figure.Aim
	}{
		{"one budget", "budget: {egress: bench}\n", figure.AtLeast(0.99)},
		{"static thirds", "budget: {address_rate: 33.333}\n", figure.Aim{}},
	} {
		g, err := r.groupOf(ctx, sandbox.Options{Organizations: addressOrganizations, Jitter: jitter}, way.budget)
		if err != nil {
			return err
		}
		before, err := g.store.trips(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		g.traffic.offer(ctx, r, start, length, g.spread()...)
		after, err := g.store.trips(ctx)
		if err != nil {
			return err
		}
		visits := g.site.all()
		trips[way.name] = figure.Per(after-before, len(visits))
		r.figure(way.name+": share of 100/s used", figure.Used(answered(visits), start.Add(warm), start.Add(length), addressRate), figure.Share, way.aim)
		r.atAddress(way.name, g)
		r.figure(way.name+": store round trips for each call that left", trips[way.name], figure.Count, figure.Aim{})
		waits := g.traffic.waits(g.traffic.of(nil))
		r.figure(way.name+": wait of the served, p50", waits.Percentile(50), figure.Seconds, figure.Aim{})
		r.figure(way.name+": wait of the served, p99", waits.Percentile(99), figure.Seconds, figure.Aim{})
		r.outages(g)
		x, y := figure.Rates(arrivals(visits), start, length, time.Second, time.Second)
		curves = append(curves, plot.Curve{Name: way.name, X: x, Y: y})
		r.close() // the next ones have a sandbox and a store of their own
	}
	r.figure("store round trips for each call that one budget costs more", trips["one budget"]-trips["static thirds"], figure.Count, figure.AtMost(1))
	r.plot("rate", "Requests at the sandbox", plot.Lines{
		Title: "egress: requests a second of three replicas behind one address, demand 130/s, 80/10/10", XLabel: "seconds", YLabel: "requests/s",
		Curves: curves, Levels: []plot.Level{{Y: addressRate, Text: "the address's budget"}},
	}.SVG())
	return r.egressWithoutStore(ctx)
}

// egressWithoutStore kills the store of one budget, and starts it again, empty.
func (r *run) egressWithoutStore(ctx context.Context) error {
	g, err := r.groupOf(ctx, sandbox.Options{Organizations: addressOrganizations, Jitter: jitter}, "budget: {egress: bench}\n")
	if err != nil {
		return err
	}
	part := r.length(20*time.Second, 6*time.Second)
	start := time.Now()
	events := newTimeline(ctx, start)
	events.at(part, func() error { g.store.crash(); return nil })
	events.at(2*part, func() error { return g.store.start(ctx) })
	g.traffic.offer(ctx, r, start, 3*part, g.spread()...)
	if err := events.wait(); err != nil {
		return err
	}
	const name = "store killed"
	told := answered(g.site.all())
	r.atAddress(name, g)
	r.outages(g)
	r.figure(name+": share of 100/s used without it", figure.Used(told, start.Add(part+time.Second), start.Add(2*part), addressRate), figure.Share, figure.AtMost(1))
	r.figure(name+": share of 100/s used from 3 s after it is back", figure.Used(told, start.Add(2*part+3*time.Second), start.Add(3*part), addressRate), figure.Share, figure.AtLeast(0.99))
	r.note("%d calls a second, Poisson, evenly of %d organizations; %v of one budget, then of thirds, and three times %v with the store, without it, and with it again.", egressDemand, addressOrganizations, r.length(60*time.Second, 12*time.Second), part)
	return nil
}

// spread is the demand: each organization's calls, 80, 10 and 10 of a hundred at the
// three replicas.
func (g *group) spread() []stream {
	var all []stream
	for i := range addressOrganizations {
		all = append(all, stream{
			caller: caller{name: fmt.Sprint("demand-", i%4), patience: patient},
			rate:   float64(egressDemand) / addressOrganizations, to: g.skewed, of: i,
		})
	}
	return all
}

// atAddress gives what the sandbox saw come from the address of all.
func (r *run) atAddress(name string, g *group) {
	seen := g.site.sandbox.Stats()
	at := seen.Addresses[egressAddress]
	r.figure(name+": 429s of the address", float64(at.Limited), figure.Count, figure.AtMost(0))
	r.figure(name+": 429s of organizations", float64(seen.Total.LimitedByOrganization), figure.Count, figure.AtMost(0))
	r.figure(name+": worst overdraft of the address's 100/s + 100", at.WorstOverdraft, figure.Count, figure.AtMost(0))
	r.figure(name+": worst overdraft of the broker's own 100/s + 80, before the jitter", figure.Overdraft(arrivals(g.site.all()), addressRate, 80), figure.Count, figure.Aim{})
}
