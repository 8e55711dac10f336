package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

const (
	// addressRate is what the Dashboard takes of one source address, requests a second.
	addressRate = 100
	// addressOrganizations share it, each within its own 10 a second.
	addressOrganizations = 12
	// addressCPU is the part of a processor that this may take of the broker.
	addressCPU = 0.04
)

func addressLimit(ctx context.Context, r *run) error {
	for _, over := range []struct {
		name   string
		secure bool
	}{{"TLS", true}, {"plain text", false}} {
		r.secure = over.secure
		if err := r.addressLimitOver(ctx, over.name); err != nil {
			return err
		}
	}
	r.note("%d calls a second at even distances, in turn of %d organizations, each for another device; limits as the daemon has them by default. The middle of the rounds.", addressRate, addressOrganizations)
	r.note("Processors are of the whole process over the whole time, so that what it does besides is in it. The plain proxy is httputil.ReverseProxy, which limits nothing, asked for the same in the same rounds: at 100 a second most of the time goes into waking up, for both.")
	return nil
}

func (r *run) addressLimitOver(ctx context.Context, name string) error {
	m, err := r.mirror(addressOrganizations)
	if err != nil {
		return err
	}
	b, replica, err := r.broker(ctx, m, "")
	if err != nil {
		return err
	}
	plain, err := r.plain(ctx, m)
	if err != nil {
		return err
	}
	calls := m.devices(addressOrganizations, addressOrganizations*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	rounds, length := r.number(3, 1), r.length(15*time.Second, 4*time.Second)
	cpu := make(map[string]figure.Sample)
	var attempts figure.Sample
	next := 0
	for round := -1; round < rounds; round++ { // the first is to get warm
		for _, c := range []*contender{b, plain} {
			r.progress.says("round %d of %d, %s, %s", round+1, rounds, name, c.name)
			t, before := new(tally), m.asked.Load()
			err := c.offer(ctx, t, func(int) prepared { next++; return calls[next%len(calls)] }, load.Even(addressRate, length))
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.broken(); err != nil {
				return fmt.Errorf("%s, %s: %w", name, c.name, err)
			}
			if round < 0 {
				continue
			}
			cpu[c.name] = append(cpu[c.name], t.cpu.Seconds()/t.took.Seconds())
			if c == b {
				attempts = append(attempts, float64(m.asked.Load()-before)/t.took.Seconds())
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	u, err := b.usage()
	if err != nil {
		return err
	}
	r.figure(name+", part of a processor", cpu[b.name].Percentile(50), figure.Share, figure.AtMost(addressCPU))
	r.figure(name+", a plain proxy's part", cpu[plain.name].Percentile(50), figure.Share, figure.Aim{})
	r.figure(name+", broker to a plain proxy", ratio(cpu[b.name], cpu[plain.name]), figure.Ratio, figure.Aim{})
	r.figure(name+", attempts a second", attempts.Percentile(50), figure.Rate, figure.AtLeast(0.98*addressRate))
	r.figure(name+", resident memory", u.resident/1e6, figure.Megabytes, figure.Aim{})
	replica.child.end()
	plain.child.end()
	return nil
}
