package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/load"
)

// pageOpen asks what the operators' page takes that somebody looks at.
func pageOpen(ctx context.Context, r *run) error {
	m, err := r.mirror(3)
	if err != nil {
		return err
	}
	m.pad = 1000
	broker, replica, err := r.broker(ctx, m, unlimited)
	if err != nil {
		return err
	}
	calls := m.devices(3, 3*mirrorNetworks*mirrorDevices)
	if err := m.warm(ctx, calls); err != nil {
		return err
	}
	rounds, length := r.number(6, 2), r.length(5*time.Second, time.Second)
	var closed, open figure.Sample // calls in a second of processor time
	bytes := 0.0
	for round := -1; round < rounds; round++ {
		for _, looked := range []bool{false, true} {
			r.progress.says("round %d of %d, the page open: %v", round+1, rounds, looked)
			leave := func() int64 { return 0 }
			if looked {
				if leave, err = readPage(ctx, replica.admin); err != nil {
					return err
				}
			}
			t := new(tally)
			err := broker.offer(ctx, t, func(n int) prepared { return calls[n%len(calls)] }, load.Poisson(sidecarRate, length, r.nextSeed()))
			read := leave()
			if err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := t.broken(); err != nil {
				return err
			}
			switch {
			case round < 0: // to get warm
			case looked:
				open = append(open, t.second())
				bytes = max(bytes, float64(read)/length.Seconds())
			default:
				closed = append(closed, t.second())
			}
		}
		if round == rounds/2 {
			r.measured()
		}
	}
	r.figure("processor time of a call with the page open, to without", ratio(closed, open), figure.Ratio, figure.AtMost(1.05))
	r.figure("processors with the page closed", sidecarRate/closed.Percentile(50), figure.Count, figure.Aim{})
	r.figure("processors with the page open", sidecarRate/open.Percentile(50), figure.Count, figure.Aim{})
	r.figure("what a reader is sent in a second", bytes/1e6, figure.Megabytes, figure.Aim{})
	r.note("%d calls a second, Poisson, of three organizations, with usage counted in both; %d rounds of %v, closed and open in turn; the middle of the rounds' ratios. One reader takes every event.", sidecarRate, rounds, length)
	return nil
}

// readPage reads the events of a page. What it gives ends that, and says how many bytes
// have come.
func readPage(ctx context.Context, admin string) (leave func() int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/page/events", nil)
	if err != nil {
		cancel()
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("the page's events: %s", answer.Status)
	}
	if err != nil {
		cancel()
		return nil, err
	}
	var read int64
	var reading sync.WaitGroup
	reading.Go(func() { read, _ = io.Copy(io.Discard, answer.Body) })
	return func() int64 {
		cancel()
		reading.Wait()
		_ = answer.Body.Close()
		return read
	}, nil
}
