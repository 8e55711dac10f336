package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/document"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
)

// A run is one scenario under way: what it is to do, what it has found out, and
// what it has to clean up. It belongs to one goroutine.
type run struct {
	bench    *bench
	scenario string
	quick    bool
	secure   bool // mirrors speak TLS
	seed     uint64
	progress *progress

	figures  []figure.Figure
	notes    []string
	pictures []document.Picture
	drawn    map[string][]byte
	closers  []func()
	loadMu   sync.Mutex // a timer notes the load while the scenario goes on
	loads    []string
}

// closing registers what is to be done when the scenario is over, last first.
func (r *run) closing(f func()) { r.closers = append(r.closers, f) }

func (r *run) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
	r.closers = nil
}

// length is how long something goes on: shortened where the run is quick.
func (r *run) length(full, quick time.Duration) time.Duration {
	if r.quick {
		return quick
	}
	return full
}

// number is as length, for counts.
func (r *run) number(full, quick int) int {
	if r.quick {
		return quick
	}
	return full
}

// figure gives a result.
func (r *run) figure(metric string, value float64, unit figure.Unit, aim figure.Aim) {
	r.figures = append(r.figures, figure.Figure{Scenario: r.scenario, Metric: metric, Value: value, Unit: unit, Aim: aim})
}

// note gives a remark that stands below the table.
func (r *run) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// plot gives a picture. The file is named after the scenario and what it shows.
func (r *run) plot(what, title string, svg []byte) {
	if r.drawn == nil {
		r.drawn = make(map[string][]byte)
	}
	file := "bench-" + r.scenario + "-" + what + ".svg"
	r.drawn[file] = svg
	r.pictures = append(r.pictures, document.Picture{File: file, Title: title})
}

// nextSeed gives another seed to each who asks, the same in every run.
func (r *run) nextSeed() uint64 {
	r.seed++
	return r.seed
}

// measured notes how busy the machine is at this moment; scenarios call it in the
// middle of what they measure.
func (r *run) measured() {
	r.loadMu.Lock()
	defer r.loadMu.Unlock()
	r.loads = append(r.loads, loadAverage())
}

// load says how busy the machine was: others may have been at work on it.
func (r *run) load() string {
	r.loadMu.Lock()
	none := len(r.loads) == 0
	r.loadMu.Unlock()
	if none {
		r.measured()
	}
	r.loadMu.Lock()
	defer r.loadMu.Unlock()
	return "load average " + strings.Join(r.loads, ", ")
}
