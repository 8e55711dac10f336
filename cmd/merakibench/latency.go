package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
)

// latencyRate is what is offered where added time is measured, calls a second.
const latencyRate = 500

func latency(ctx context.Context, r *run) error {
	m, err := r.mirror(3)
	if err != nil {
		return err
	}
	all, err := r.contenders(ctx, m)
	if err != nil {
		return err
	}
	all = append([]*contender{r.direct(m)}, all...)
	calls := m.devices(3, 3*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	rounds, length := r.number(4, 2), r.length(5*time.Second, 2*time.Second)
	type sample struct{ p50, p99 figure.Sample }
	seen, pooled := make(map[string]*sample), make(map[string]*load.Times)
	for _, c := range all {
		seen[c.name], pooled[c.name] = new(sample), new(load.Times)
	}
	for round := -1; round < rounds; round++ {
		for i := range all {
			c := all[(i+max(round, 0))%len(all)]
			r.progress.says("round %d of %d, %s", round+1, rounds, c.name)
			t := &tally{also: pooled[c.name]}
			if round < 0 {
				t.also = nil // to get warm
			}
			err := c.offer(ctx, t, func(n int) prepared { return calls[n%len(calls)] }, load.Poisson(latencyRate, length, r.nextSeed()))
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.broken(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round >= 0 {
				s := seen[c.name]
				s.p50 = append(s.p50, t.times.Percentile(50).Seconds()*1e3)
				s.p99 = append(s.p99, t.times.Percentile(99).Seconds()*1e3)
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	none := seen["direct"]
	added := func(s *sample) (p50, p99 float64) {
		return difference(s.p50, none.p50), difference(s.p99, none.p99)
	}
	p50, p99 := added(seen["broker"])
	r.figure("broker, added to p50", p50, figure.Millis, figure.AtMost(0.3))
	r.figure("broker, added to p99", p99, figure.Millis, figure.AtMost(1.5))
	e50, e99 := added(seen["Envoy"])
	r.figure("Envoy, added to p50", e50, figure.Millis, figure.Aim{})
	r.figure("Envoy, added to p99", e99, figure.Millis, figure.Aim{})
	f50, f99 := added(seen["plain proxy"])
	r.figure("plain proxy, added to p50", f50, figure.Millis, figure.Aim{})
	r.figure("plain proxy, added to p99", f99, figure.Millis, figure.Aim{})
	r.figure("broker to Envoy, added to p50", p50/e50, figure.Ratio, figure.Aim{})
	r.figure("broker to Envoy, added to p99", p99/e99, figure.Ratio, figure.Aim{})
	p := plot.Lines{
		Title:  fmt.Sprintf("%s: time of a call at %d a second", r.scenario, latencyRate),
		XLabel: "percentile", YLabel: "ms", XTick: nines, Log: true,
	}
	for _, c := range all {
		r.figure(c.name+", p50", seen[c.name].p50.Percentile(50), figure.Millis, figure.Aim{})
		r.figure(c.name+", p99", seen[c.name].p99.Percentile(50), figure.Millis, figure.Aim{})
		x, y := pooled[c.name].Curve()
		p.Curves = append(p.Curves, plot.Curve{Name: c.name, X: x, Y: y})
	}
	r.plot("percentiles", "Time of a call by percentile", p.SVG())
	r.note("Poisson arrivals, %d a second, %d rounds of %v for each in turn after one to get warm. Figures are the middle of the rounds; what is added is the middle of the differences within a round.", latencyRate, rounds, length)
	r.note("Direct is HTTP/1.1 from the load to the sandbox. %s.", said(all))
	return nil
}

// difference is the middle of the differences of what was measured in the same round.
func difference(a, b figure.Sample) float64 {
	var all figure.Sample
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]-b[i])
	}
	return all.Percentile(50)
}
