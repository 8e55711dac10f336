package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/plot"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// processes is how many read at once.
const processes = 8

func pythonSideBySide(ctx context.Context, r *run) error {
	v, err := r.venv(ctx)
	if err != nil {
		return err
	}
	reads := r.number(2000, 160)
	var ways []way
	for _, w := range []way{{name: "library", libraries: processes}, {name: "broker"}} {
		if err := w.read(ctx, r, v, reads); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		ways = append(ways, w)
		r.close() // the next one has a sandbox of its own
	}
	library, broker := ways[0], ways[1]
	ideal := float64(reads) / budgetRate
	r.figure("time to finish, library / broker", figure.Per(library.took.Seconds(), broker.took.Seconds()), figure.Ratio, figure.Aim{})
	r.figure("requests for each answer, library / broker", figure.Per(library.perAnswer(), broker.perAnswer()), figure.Ratio, figure.AtLeast(1))
	r.figure("time to finish, broker", broker.took.Seconds(), figure.Seconds, figure.AtMost(ideal*1.01))
	r.figure("time to finish, library", library.took.Seconds(), figure.Seconds, figure.Aim{})
	r.figure("time that the budget allows: reads / 10", ideal, figure.Seconds, figure.Aim{})
	r.figure("a read, p99, broker", broker.reads.Percentile(99), figure.Seconds, figure.Aim{})
	r.figure("a read, p99, library", library.reads.Percentile(99), figure.Seconds, figure.Aim{})
	r.figure("a read, the longest, broker", broker.reads.Max(), figure.Seconds, figure.Aim{})
	r.figure("a read, the longest, library", library.reads.Max(), figure.Seconds, figure.Aim{})
	r.figure("429s, broker", float64(broker.limited), figure.Count, figure.AtMost(0))
	r.figure("429s, library", float64(library.limited), figure.Count, figure.Aim{})
	r.figure("requests for each answer, broker", broker.perAnswer(), figure.Count, figure.AtMost(1))
	r.figure("requests for each answer, library", library.perAnswer(), figure.Count, figure.Aim{})
	r.figure("errors that the application saw, broker", float64(broker.lost), figure.Count, figure.Aim{})
	r.figure("errors that the application saw, library", float64(library.lost), figure.Count, figure.Aim{})
	r.note("%s; the library with its own defaults. Each process reads one device after another; %d reads in all.", v.versions, reads)
	r.note("An error is an answer that is not the device, after the library's own retries or as a refusal of the broker: the program asks again.")
	var curves []plot.Curve
	for _, w := range ways {
		curves = append(curves, w.curve())
	}
	r.plot("answers", "Answers over time", plot.Lines{
		Title:  "python-side-by-side: answers so far, " + strconv.Itoa(processes) + " processes, " + strconv.Itoa(reads) + " reads",
		XLabel: "seconds", YLabel: "answers", Curves: curves,
	}.SVG())
	r.plot("requests", "What it cost", plot.Bars{
		Title: "python-side-by-side: requests at the sandbox, and 429s among them", YLabel: "requests",
		Series: []string{"library", "broker"}, Groups: []string{"requests", "429s"},
		Values: [][]float64{{float64(library.arrived), float64(broker.arrived)}, {float64(library.limited), float64(broker.limited)}},
	}.SVG())
	return nil
}

// A way to read many devices, and what came of it.
type way struct {
	name string
	// libraries is how many of the processes use the vendor's library; the others are
	// gRPC clients. rest leads the libraries through the broker, too.
	libraries int
	rest      bool

	began            time.Time
	took             time.Duration
	answered, lost   int
	reads            figure.Sample
	arrived, limited int
	visits           []visit
}

func (w *way) perAnswer() float64 { return figure.Per(w.arrived, w.answered) }

// curve is how many answers there were, over time.
func (w *way) curve() plot.Curve {
	c := plot.Curve{Name: w.name}
	n := 0
	for second := 0.0; second <= w.took.Seconds()+1; second++ {
		n = figure.Within(arrivals(w.visits, 200), w.began, w.began.Add(time.Duration(second*float64(time.Second))))
		c.X, c.Y = append(c.X, second), append(c.Y, float64(n))
	}
	return c
}

// read has processes read devices, from a sandbox of its own.
func (w *way) read(ctx context.Context, r *run, v *venv, reads int) error {
	s, err := r.site(sandbox.Options{Jitter: jitter})
	if err != nil {
		return err
	}
	var broker *replica
	if w.libraries < processes || w.rest {
		replicas, err := r.replicas(ctx, s, fleet{count: 1, rest: w.rest})
		if err != nil {
			return err
		}
		broker = replicas[0]
	}
	var readers []*reader
	for i := range processes {
		var serials []string
		for n := i; n < reads; n += processes {
			serials = append(serials, s.serial())
		}
		base, through := s.url, broker
		if i < w.libraries {
			if through = nil; w.rest {
				base = fmt.Sprintf("%s/as/library-%d/api/v1", broker.rest, i)
			}
		}
		p, err := startReader(ctx, r, v, s, base, through, i, serials)
		if err != nil {
			return err
		}
		readers = append(readers, p)
	}
	w.began = time.Now()
	for _, p := range readers {
		if _, err := p.child.stdin.Write([]byte("go\n")); err != nil {
			return err
		}
	}
	r.progress.shows(func() string {
		seen := s.sandbox.Organization(s.organization)
		return fmt.Sprintf("%s: %d of %d answered, 429s %d", w.name, seen.Answered[200], reads, seen.Answered[429])
	})
	for i, p := range readers {
		select {
		case out := <-p.result:
			w.add(out)
		case <-p.child.done:
			select {
			case out := <-p.result:
				w.add(out)
			default:
				return fmt.Errorf("reader %d ended early: %s", i, p.child.last())
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	w.took = time.Since(w.began)
	r.measured()
	w.visits = s.all()
	seen := s.sandbox.Organization(s.organization)
	w.arrived, w.limited = seen.Arrived, seen.Answered[429]
	return nil
}

// A reader is one process of Python.
type reader struct {
	child  *child
	result chan result
}

// A result is what a reader prints at its end.
type result struct {
	Answered, Lost int
	// Took is how long each read took, the asking again included, in seconds.
	Took figure.Sample
}

// add counts what a reader has come to.
func (w *way) add(out result) {
	w.answered, w.lost, w.reads = w.answered+out.Answered, w.lost+out.Lost, append(w.reads, out.Took...)
}

// startReader starts one and waits until it is ready to begin. With no broker it is the
// vendor's library, at a base address.
func startReader(ctx context.Context, r *run, v *venv, s *site, base string, broker *replica, i int, serials []string) (*reader, error) {
	file := filepath.Join(v.dir, fmt.Sprintf("serials-%d", i))
	if err := os.WriteFile(file, []byte(strings.Join(serials, "\n")), 0o644); err != nil {
		return nil, err
	}
	environ := []string{"HOME=" + v.dir} // where the library keeps what it has learned
	args := []string{filepath.Join(v.dir, "library.py"), base, s.organization, file}
	if broker != nil {
		environ = append(environ, "PYTHONPATH="+v.stubs)
		args = []string{filepath.Join(v.dir, "client.py"), broker.address, s.organization, file, fmt.Sprintf("reader-%d", i)}
	}
	p := &reader{result: make(chan result, 1)}
	ready := make(chan struct{})
	started := false
	var err error
	p.child, err = spawn("python", environ, func(line string) bool {
		if line == "ready" && !started {
			started = true
			close(ready)
			return false
		}
		var out result
		if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &out) == nil {
			p.result <- out
			return true
		}
		return false
	}, v.python, args...)
	if err != nil {
		return nil, err
	}
	r.closing(p.child.end)
	return p, p.child.await(ctx, ready, time.Minute)
}
