// Command merakibench measures what the broker promises, and says for each figure
// whether the promise is kept.
//
//	go run ./cmd/merakibench -list                         the scenarios
//	go run ./cmd/merakibench -scenario one-replica         one of them, or several with commas, or all
//	go run ./cmd/merakibench -scenario all -quick          shortened: to see that they run, not for the figures
//	go run ./cmd/merakibench -scenario fairness -json      a line of JSON for each figure on standard output
//	go run ./cmd/merakibench -scenario all -docs docs      rewrite the tables and plots of docs/benchmarks.md
//	go run ./cmd/merakibench -scenario small-calls -profile cmd/merakid/default.pgo
//	                                                       what the compiler is to look at: make profile
//
// It is run from within the module, and builds the daemon there first (-merakid
// names one that is built already). What it measures is the real thing: merakid
// as processes of their own, with a configuration file, over gRPC; a real
// redis-server where replicas share a budget; and the sandbox as the Dashboard,
// which enforces the documented limits and counts. Everything listens on loopback
// alone, on ports that the system gives, and ends with the command.
//
// # Reading the figures
//
// Load is offered in an open loop: calls come when they are due, whether or not
// those before them are answered, and a call's time counts from when it was due.
// That corrects for coordinated omission by construction. Arrivals are Poisson
// with a fixed seed unless the scenario says otherwise. Each call asks for another
// device, so that no two share an answer.
//
// "Arrived", "429" and "overdraft" are what the sandbox saw, not what the broker
// says of itself. A wait is from when the call was due to when its request came
// to the sandbox's door (before the jitter that the sandbox adds), so it holds the
// queue, the broker's own time and the journey to it. Shares of the budget are
// taken in a window that begins when the first burst is spent.
//
// # Exit status
//
// 0 when every aim is met, 1 when a scenario could not run, 2 when an aim was
// missed, 3 when interrupted.
//
// # Adding a scenario
//
// Write a function with the signature of scenario.run, and add a line to
// scenarios in scenario.go. In it, build what is needed with the methods of run
// (site, store, replicas), offer load with package internal/load or traffic, and
// give results with run.figure, run.note and run.plot. Everything that is
// started is registered with run.closing, so that it ends with the scenario.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/document"
)

// What the process ends with.
const (
	exitMet = iota
	exitFailed
	exitMissed
	exitInterrupted
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], scenarios(), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags, read.
type settings struct {
	list, json, quick bool
	scenario          string
	docs              string
	merakid           string
	profile           string
	args              []string // as given, for the record
}

func read(args []string, out io.Writer) (*settings, error) {
	s := &settings{args: args}
	f := flag.NewFlagSet("merakibench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&s.list, "list", false, "name the scenarios")
	f.StringVar(&s.scenario, "scenario", "", "run these, `NAME,NAME` or all")
	f.BoolVar(&s.json, "json", false, "print a line of JSON for each figure, in place of tables")
	f.BoolVar(&s.quick, "quick", false, "shorten everything; the figures then say little")
	f.StringVar(&s.docs, "docs", "", "rewrite benchmarks.md and the plots in this `directory`")
	f.StringVar(&s.merakid, "merakid", "", "the daemon's `program`; built from the module when empty")
	f.StringVar(&s.profile, "profile", "", "write a profile of the daemon under small-calls to this `file`")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(out, "merakibench measures what the broker promises. Flags:")
			f.SetOutput(out)
			f.PrintDefaults()
		}
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: there are only flags (-help lists them)", f.Arg(0))
	}
	if s.profile != "" && (s.quick || !strings.Contains(s.scenario, "small-calls") && s.scenario != "all") {
		return nil, errors.New("-profile wants -scenario small-calls, and not -quick")
	}
	if !s.list && s.scenario == "" {
		return nil, errors.New("say what to run: -scenario NAME, or -scenario all (-list names them)")
	}
	return s, nil
}

// choose picks scenarios by name, in the order of the list.
func choose(all []scenario, names string) ([]scenario, error) {
	if names == "all" {
		return all, nil
	}
	wanted := make(map[string]bool)
	for name := range strings.SplitSeq(names, ",") {
		wanted[strings.TrimSpace(name)] = true
	}
	var chosen []scenario
	for _, s := range all {
		if wanted[s.name] {
			chosen = append(chosen, s)
			delete(wanted, s.name)
		}
	}
	for name := range wanted {
		return nil, fmt.Errorf("there is no scenario %q (-list names them)", name)
	}
	return chosen, nil
}

// command does what the arguments say, and gives the exit status.
func command(ctx context.Context, args []string, all []scenario, out, errs io.Writer) int {
	s, err := read(args, out)
	if errors.Is(err, flag.ErrHelp) {
		return exitMet
	}
	var chosen []scenario
	if err == nil && !s.list {
		chosen, err = choose(all, s.scenario)
	}
	if err != nil {
		fmt.Fprintln(errs, "merakibench:", err)
		return exitFailed
	}
	if s.list {
		for _, x := range all {
			fmt.Fprintf(out, "%-22s %s\n", x.name, x.about)
		}
		return exitMet
	}
	code := exitMet
	b := newBench(s, errs)
	defer b.close()
	for _, x := range chosen {
		section, err := b.perform(ctx, x)
		if ctx.Err() != nil {
			fmt.Fprintln(errs, "merakibench: interrupted")
			return exitInterrupted
		}
		if err != nil {
			fmt.Fprintf(errs, "merakibench: %s: %v\n", x.name, err)
			code = exitFailed
			continue
		}
		if err := show(s, section, out); err != nil {
			fmt.Fprintln(errs, "merakibench:", err)
			return exitFailed
		}
		if missed(section) && code == exitMet {
			code = exitMissed
		}
		if s.docs == "" {
			continue
		}
		if err := b.write(all, section); err != nil {
			fmt.Fprintln(errs, "merakibench:", err)
			return exitFailed
		}
	}
	return code
}

// show prints a section as the flags want it.
func show(s *settings, section document.Section, out io.Writer) error {
	if !s.json {
		return section.Table(out)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	for _, f := range section.Figures {
		if err := e.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

func missed(section document.Section) bool {
	for _, f := range section.Figures {
		if !f.Met() {
			return true
		}
	}
	return false
}
