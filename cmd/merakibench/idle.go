package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
)

func idle(ctx context.Context, r *run) error {
	m, err := r.mirror(3)
	if err != nil {
		return err
	}
	program, err := r.bench.daemon(ctx)
	if err != nil {
		return err
	}
	dir, err := r.bench.directory()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, r.scenario+".yaml")
	if err := os.WriteFile(file, []byte(fleet{}.config(m.site())), 0o600); err != nil {
		return err
	}
	var starts, memory figure.Sample
	n := r.number(11, 3)
	for i := range n {
		r.progress.says("start %d of %d", i+1, n)
		begun := time.Now()
		p, err := r.replica(ctx, program, file, false)
		if err != nil {
			return err
		}
		starts = append(starts, time.Since(begun).Seconds()*1e3)
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		u, err := p.child.usage()
		if err != nil {
			return err
		}
		memory = append(memory, u.resident/1e6)
		p.child.end()
	}
	r.measured()
	r.figure("start to serving, half of the starts", starts.Percentile(50), figure.Millis, figure.AtMost(200))
	r.figure("start to serving, slowest", starts.Max(), figure.Millis, figure.Aim{})
	r.figure("resident memory a second after, half of the starts", memory.Percentile(50), figure.Megabytes, figure.AtMost(60))
	r.note("%d starts of the program as it is built by go build, from exec until it says where it serves.", n)
	return nil
}
