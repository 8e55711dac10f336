package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/document"
)

// A bench runs scenarios one after another. What they have in common lies in its
// directory, and goes with it.
type bench struct {
	settings *settings
	errs     io.Writer
	dir      string
	merakid  string // the daemon's program; empty until it is built
	plots    map[string][]byte
}

func newBench(s *settings, errs io.Writer) *bench {
	return &bench{settings: s, errs: errs, merakid: s.merakid}
}

func (b *bench) close() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir) // best effort: it is in the temporary directory
	}
}

// directory is the bench's own, made when first asked for.
func (b *bench) directory() (string, error) {
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "merakibench-")
		if err != nil {
			return "", err
		}
		b.dir = dir
	}
	return b.dir, nil
}

// daemon gives the program of the daemon, built when first asked for.
func (b *bench) daemon(ctx context.Context) (string, error) {
	if b.merakid != "" {
		return b.merakid, nil
	}
	dir, err := b.directory()
	if err != nil {
		return "", err
	}
	program := filepath.Join(dir, "merakid")
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "github.com/merakibroker/merakibroker/cmd/merakid")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the daemon (run this from within the module, or name a built one with -merakid): %w: %s", err, lastLines(string(out), 3))
	}
	b.merakid = program
	return program, nil
}

// perform runs one scenario and ends everything that it has started.
func (b *bench) perform(ctx context.Context, s scenario) (document.Section, error) {
	r := &run{bench: b, scenario: s.name, quick: b.settings.quick, seed: 1}
	r.progress = newProgress(b.errs, s.name)
	defer r.progress.close()
	defer r.close()
	begun := time.Now()
	if err := s.run(ctx, r); err != nil {
		return document.Section{}, err
	}
	if err := ctx.Err(); err != nil {
		return document.Section{}, err
	}
	b.plots = r.drawn
	return document.Section{
		Name: s.name, About: s.about, Figures: r.figures, Notes: r.notes, Plots: r.pictures,
		Run: fmt.Sprintf("%s, %s, %s: `go run ./cmd/merakibench %s`, %v.",
			begun.UTC().Format("2 January 2006, 15:04 UTC"), machine(), r.load(), commandLine(s.name, b.settings.quick), time.Since(begun).Round(time.Second)),
	}, nil
}

// write puts a section and its plots into docs.
func (b *bench) write(all []scenario, section document.Section) error {
	page := filepath.Join(b.settings.docs, "benchmarks.md")
	old, err := os.ReadFile(page)
	if os.IsNotExist(err) {
		old, err = []byte("# Benchmarks\n"), nil
	}
	if err != nil {
		return err
	}
	order := make([]string, len(all))
	for i, s := range all {
		order[i] = s.name
	}
	for file, svg := range b.plots {
		if err := os.WriteFile(filepath.Join(b.settings.docs, file), svg, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(page, []byte(document.Merge(string(old), order, []document.Section{section})), 0o644)
}

// commandLine is how to get the figures again.
func commandLine(name string, quick bool) string {
	line := "-scenario " + name
	if quick {
		line += " -quick"
	}
	return line
}

// machine says in a few words what the figures were taken on.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok {
				model = strings.TrimSpace(strings.TrimLeft(name, "\t :"))
				break
			}
		}
	}
	return fmt.Sprintf("%d cores (%s), %s, %s/%s", runtime.NumCPU(), model, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// loadAverage is how busy the machine is, its first figure: of one minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
