package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
)

// underWay is how many calls are kept on their way where all that can be had is
// wanted.
const underWay = 64

func smallCalls(ctx context.Context, r *run) error {
	m, err := r.mirror(3)
	if err != nil {
		return err
	}
	all, err := r.contenders(ctx, m)
	if err != nil {
		return err
	}
	calls := m.devices(3, 3*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	if file := r.bench.settings.profile; file != "" && !r.secure {
		if err := r.profile(ctx, all[0], calls, file); err != nil {
			return err
		}
	}
	rounds, length := r.number(5, 2), r.length(3*time.Second, time.Second)
	// perSecond of processor time, and seen: as they came, all on one machine.
	perSecond, seen := make(map[string]figure.Sample), make(map[string]figure.Sample)
	for round := -1; round < rounds; round++ {
		for i := range all {
			// Each begins another round: who comes first has a machine not yet warm.
			c := all[(i+max(round, 0))%len(all)]
			r.progress.says("round %d of %d, %s", round+1, rounds, c.name)
			t := new(tally)
			if err := c.saturate(ctx, t, calls, underWay, length); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.broken(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round >= 0 { // the first is to get warm
				perSecond[c.name] = append(perSecond[c.name], t.second())
				seen[c.name] = append(seen[c.name], t.rate())
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	r.figure("broker to Envoy, processor time of a call", ratio(perSecond["Envoy"], perSecond["broker"]), figure.Ratio, figure.AtMost(1))
	r.figure("broker to a plain proxy, by the processor time of each", ratio(perSecond["broker"], perSecond["plain proxy"]), figure.Ratio, figure.AtLeast(0.6))
	r.figure("broker to Envoy, calls a second as they came", ratio(seen["broker"], seen["Envoy"]), figure.Ratio, figure.Aim{})
	r.figure("broker to a plain proxy, calls a second as they came", ratio(seen["broker"], seen["plain proxy"]), figure.Ratio, figure.Aim{})
	bars := plot.Bars{
		Title: r.scenario + ": calls a second on two cores of its own, by processor time", YLabel: "calls/s",
		Groups: []string{""}, Values: [][]float64{nil},
	}
	for _, c := range all {
		two := 2 * perSecond[c.name].Percentile(50)
		r.figure(c.name+", calls a second on two cores of its own", two, figure.Rate, figure.Aim{})
		r.figure(c.name+", calls a second as they came", seen[c.name].Percentile(50), figure.Rate, figure.Aim{})
		r.figure(c.name+", processor time of a call", 1e6/perSecond[c.name].Percentile(50), figure.Micros, figure.Aim{})
		bars.Series, bars.Values[0] = append(bars.Series, c.name), append(bars.Values[0], two)
	}
	r.plot("rate", "What two cores carry", bars.SVG())
	r.note("%d calls are kept on their way, %d rounds of %v for each in turn after one to get warm; figures are the middle of the rounds, ratios the middle of the rounds' ratios.", underWay, rounds, length)
	r.note("Load, sandbox and who is measured share the machine, so what comes a second is bounded by all three together and says less than the processor time that each of them takes for a call.")
	r.note("An answer has %d bytes of JSON. %s, with two workers; the plain proxy is httputil.ReverseProxy with HTTP/1.1 on both sides.", m.size(calls[0].path), said(all))
	return nil
}

// contenders starts all of them.
func (r *run) contenders(ctx context.Context, m *mirror) ([]*contender, error) {
	b, _, err := r.broker(ctx, m, unlimited)
	if err != nil {
		return nil, err
	}
	e, err := r.transcoder(ctx, m)
	if err != nil {
		return nil, err
	}
	p, err := r.plain(ctx, m)
	if err != nil {
		return nil, err
	}
	return []*contender{b, e, p}, nil
}

// ratio is the middle of the ratios of what was measured in the same round.
func ratio(a, b figure.Sample) float64 {
	var all figure.Sample
	for i := range min(len(a), len(b)) {
		all = append(all, a[i]/b[i])
	}
	return all.Percentile(50)
}

func said(all []*contender) string {
	for _, c := range all {
		if c.said != "" {
			return c.said
		}
	}
	return ""
}
