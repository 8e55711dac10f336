package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

func restFace(ctx context.Context, r *run) error {
	m, err := r.mirror(addressOrganizations)
	if err != nil {
		return err
	}
	face, err := r.face(ctx, m, unlimited)
	if err != nil {
		return err
	}
	plain, err := r.plain(ctx, m)
	if err != nil {
		return err
	}
	all := []*contender{r.direct(m), face, plain}
	calls := m.devices(addressOrganizations, addressOrganizations*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	rounds, length := r.number(4, 1), r.length(10*time.Second, 3*time.Second)
	p50, cpu := make(map[string]figure.Sample), make(map[string]figure.Sample)
	next := 0
	for round := -1; round < rounds; round++ { // the first is to get warm
		for i := range all {
			c := all[(i+max(round, 0))%len(all)]
			r.progress.says("round %d of %d, %s", round+1, rounds, c.name)
			t := new(tally)
			err := c.offer(ctx, t, func(int) prepared { next++; return calls[next%len(calls)] }, load.Poisson(addressRate, length, r.nextSeed()))
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
				p50[c.name] = append(p50[c.name], t.times.Percentile(50).Seconds()*1e3)
				cpu[c.name] = append(cpu[c.name], t.cpu.Seconds()/float64(t.times.Count())*1e6)
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	r.figure("REST, added to p50", difference(p50["REST"], p50["direct"]), figure.Millis, figure.Aim{})
	r.figure("plain proxy, added to p50", difference(p50["plain proxy"], p50["direct"]), figure.Millis, figure.Aim{})
	r.figure("REST, processor time of a request", cpu["REST"].Percentile(50), figure.Micros, figure.Aim{})
	r.figure("plain proxy, processor time of a request", cpu["plain proxy"].Percentile(50), figure.Micros, figure.Aim{})
	r.figure("REST to a plain proxy, processor time", ratio(cpu["REST"], cpu["plain proxy"]), figure.Ratio, figure.Aim{})
	for _, c := range all {
		r.figure(c.name+", p50", p50[c.name].Percentile(50), figure.Millis, figure.Aim{})
	}
	r.note("%d requests a second, as many as the Dashboard takes of one address, Poisson, of %d organizations, each for another device; limits off; %d rounds of %v for each in turn after one to get warm. Figures are the middle of the rounds; what is added is the middle of the differences within a round.", addressRate, addressOrganizations, rounds, length)
	r.note("The plain proxy is httputil.ReverseProxy. REST asks who calls, what they may, whose budget it is, and for a slot, and puts the attempt on record; it reads an answer before it passes it on.")
	return nil
}
