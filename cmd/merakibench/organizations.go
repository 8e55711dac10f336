package main

import (
	"context"
	"fmt"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
)

// A provider's organizations, each with as much to ask as its budget gives.
const mostOrganizations = 10_000

// bent is the p99 above which the machine does not carry what is offered any more.
const bent = 250 * time.Millisecond

// oneAddress lifts what the Dashboard gives a source address, 100 a second, and
// nothing else: whoever asks for ten thousand organizations has many addresses.
const oneAddress = "budget: {rate: 10, burst: 8, address_rate: 500000}\n"

func organizations(ctx context.Context, r *run) error {
	m, err := r.mirror(mostOrganizations)
	if err != nil {
		return err
	}
	b, _, err := r.broker(ctx, m, oneAddress)
	if err != nil {
		return err
	}
	calls := m.devices(mostOrganizations, 2*mostOrganizations)
	r.progress.says("making the answers")
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	length := r.length(5*time.Second, 3*time.Second)
	var x, cpu, memory, p99, p50 []float64
	carried := 0
	for _, n := range []int{50, 100, 200, 300, 400, 500, 600, 700, 800, 1000, 1250, 1500, 1750, 2000, 2500} {
		t, u, err := r.organizationsAt(ctx, b, calls, n, float64(n*budgetRate), length)
		if err == nil && late(t) {
			// Once more: others may have been at work on the machine.
			t, u, err = r.organizationsAt(ctx, b, calls, n, float64(n*budgetRate), length)
		}
		if err != nil {
			return err
		}
		x = append(x, float64(n))
		cpu = append(cpu, t.cpu.Seconds()/t.took.Seconds())
		memory = append(memory, u.resident/1e6)
		p50 = append(p50, t.times.Percentile(50).Seconds()*1e3)
		p99 = append(p99, t.times.Percentile(99).Seconds()*1e3)
		name := fmt.Sprintf("%d organizations, %d/s", n, n*budgetRate)
		r.figure(name+": processors of the broker", cpu[len(cpu)-1], figure.Count, figure.Aim{})
		r.figure(name+": p99", p99[len(p99)-1], figure.Millis, figure.Aim{})
		r.figure(name+": resident memory", memory[len(memory)-1], figure.Megabytes, figure.Aim{})
		if late(t) {
			r.note("It bends at %d organizations: %.0f calls a second were answered of %d offered, %d refused or failed; the broker had %.2f of the processors then, load and sandbox the rest.",
				n, t.rate(), n*budgetRate, t.failed.Load(), cpu[len(cpu)-1])
			break
		}
		carried = n
	}
	r.measured()
	r.figure("most organizations at 10/s each with a p99 below 250 ms", float64(carried), figure.Count, figure.Aim{})
	// All of them at once, with half of what was carried spread evenly.
	if carried > 0 {
		rate := float64(carried*budgetRate) / 2
		t, u, err := r.organizationsAt(ctx, b, calls, mostOrganizations, rate, 2*length)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d organizations, %.0f/s in all", mostOrganizations, rate)
		r.figure(name+": processors of the broker", t.cpu.Seconds()/t.took.Seconds(), figure.Count, figure.Aim{})
		r.figure(name+": p99", t.times.Percentile(99).Seconds()*1e3, figure.Millis, figure.Aim{})
		r.figure(name+": resident memory", u.resident/1e6, figure.Megabytes, figure.Aim{})
	}
	r.plot("time", "Time of a call, by organizations", plot.Lines{
		Title: "organizations: time of a call, 10 a second each", XLabel: "organizations", YLabel: "ms", Log: true,
		Curves: []plot.Curve{{Name: "p50", X: x, Y: p50}, {Name: "p99", X: x, Y: p99}},
	}.SVG())
	r.plot("cpu", "Processors taken, by organizations", plot.Lines{
		Title: "organizations: processors that the broker takes, 10 a second each", XLabel: "organizations", YLabel: "processors",
		Curves: []plot.Curve{{Name: "processors", X: x, Y: cpu}},
	}.SVG())
	r.plot("memory", "Resident memory, by organizations", plot.Lines{
		Title: "organizations: resident memory of the broker, 10 a second each", XLabel: "organizations", YLabel: "MB",
		Curves: []plot.Curve{{Name: "resident", X: x, Y: memory}},
	}.SVG())
	r.note("Each organization asks evenly for what its budget gives, in turn with the others, %v for each step. Limits are on, rate 10 and burst 8 for an organization; only the address's is lifted. Load and sandbox run on the same machine.", length)
	return nil
}

// late tells that the machine did not carry what was offered.
func late(t *tally) bool {
	return t.times.Percentile(99) > bent || t.failed.Load() > t.times.Count()/100
}

// organizationsAt offers so much over n organizations.
func (r *run) organizationsAt(ctx context.Context, b *contender, calls []prepared, n int, rate float64, length time.Duration) (*tally, usage, error) {
	r.progress.says("%d organizations, %.0f calls a second", n, rate)
	t := new(tally)
	pick := func(i int) prepared {
		// Two devices of each organization in turn.
		return calls[i%n+i/n%2*mostOrganizations]
	}
	if err := b.offer(ctx, t, pick, load.Even(rate, length)); err != nil {
		return nil, usage{}, err
	}
	if ctx.Err() != nil {
		return nil, usage{}, ctx.Err()
	}
	u, err := b.usage()
	return t, u, err
}
