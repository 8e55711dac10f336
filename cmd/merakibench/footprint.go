package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

// What a sidecar takes for 1000 requests a second of 1 kB, as Istio publishes it.
const (
	sidecarRate   = 1000
	sidecarCPU    = 0.20 // processors
	sidecarMemory = 60e6 // bytes
)

func footprint(ctx context.Context, r *run) error {
	m, err := r.mirror(3)
	if err != nil {
		return err
	}
	m.pad = 1000
	all, err := r.contenders(ctx, m)
	if err != nil {
		return err
	}
	calls := m.devices(3, 3*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	rounds, length := r.number(3, 2), r.length(6*time.Second, 2*time.Second)
	cpu := make(map[string]figure.Sample)
	memory := make(map[string]float64)
	for round := -1; round < rounds; round++ {
		for _, c := range all {
			r.progress.says("round %d of %d, %s", round+1, rounds, c.name)
			t := new(tally)
			err := c.offer(ctx, t, func(n int) prepared { return calls[n%len(calls)] }, load.Poisson(sidecarRate, length, r.nextSeed()))
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.broken(); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			u, err := c.usage()
			if err != nil {
				return err
			}
			memory[c.name] = max(memory[c.name], u.resident)
			if round >= 0 {
				// For 1000 calls, should a few more or less have come.
				cpu[c.name] = append(cpu[c.name], sidecarRate/t.second())
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	r.figure("broker, processors", cpu["broker"].Percentile(50), figure.Count, figure.AtMost(sidecarCPU))
	r.figure("broker, resident memory", memory["broker"]/1e6, figure.Megabytes, figure.AtMost(sidecarMemory/1e6))
	r.figure("broker to Envoy, processors", ratio(cpu["broker"], cpu["Envoy"]), figure.Ratio, figure.AtMost(1))
	for _, c := range all[1:] {
		r.figure(c.name+", processors", cpu[c.name].Percentile(50), figure.Count, figure.Aim{})
		r.figure(c.name+", resident memory", memory[c.name]/1e6, figure.Megabytes, figure.Aim{})
	}
	r.note("%d calls a second, Poisson, answers of %d bytes of JSON, %d rounds of %v for each in turn; the middle of the rounds, and the most memory after any.", sidecarRate, m.size(calls[0].path), rounds, length)
	r.note("The aims are what Istio publishes of its sidecar for 1000 requests a second of 1 kB (version 1.24). %s, with two workers.", said(all))
	r.note("Istio's figure is of a machine of its own; what a processor is differs by half from one run to the next here, and with it what a proxy that does nothing takes. The ratio to Envoy in the same run does not.")
	return nil
}
