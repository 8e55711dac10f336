// Command mutants changes the code on purpose, one place at a time, and tells which
// changes no test notices:
//
//	go run ./cmd/internal/mutants -n 60
//	go run ./cmd/internal/mutants -n 400 -seed 7 ratelimit service/lane
//	go run ./cmd/internal/mutants -again FILE
//
// The places are a sample that the seed decides, or what survived by the output of an
// earlier run. Each change is compiled in with go's -overlay, so the files stay as they
// are. A package's own tests are run first, and those of the packages that import it
// where these notice nothing. A change that does not compile is none, and another takes
// its place.
//
// Changes that no test can see are named, with the reason, in equivalent.txt beside this
// file. The command fails when fewer than -least percent of the others are noticed.
package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// rooms are what is changed when none is named: where the budget is kept, and who may
// spend it.
var rooms = []string{"ratelimit", "service/lane", "service/broker", "service/dashboard", "service/access"}

//go:embed equivalent.txt
var equivalent string

// The ends of a mutant.
const (
	killed   = "killed"
	survived = "SURVIVED"
	same     = "equivalent"
	broken   = "does not compile"
)

func main() {
	n := flag.Int("n", 60, "how many changes are tried")
	skip := flag.Int("skip", 0, "how many of the sample are left out at its beginning: for a run in parts")
	seed := flag.Uint64("seed", 1, "which sample")
	again := flag.String("again", "", "a file with the output of a run, whose survivors are tried again")
	least := flag.Float64("least", 85, "percent of the changes that have to be noticed")
	users := flag.Bool("users", true, "run the tests of the packages that import the changed one, too")
	flag.Parse()
	if flag.NArg() > 0 {
		rooms = flag.Args()
	}
	if err := run(*n, *skip, *seed, *again, *least, *users); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(n, skip int, seed uint64, again string, least float64, users bool) error {
	var all []Mutant
	importers := make(map[string][]string)
	for _, room := range rooms {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil {
			return err
		}
		for _, file := range files {
			if built, err := build.Default.MatchFile(filepath.Split(file)); err != nil {
				return err
			} else if !built || strings.HasSuffix(file, "_test.go") {
				continue // what another system is built from, no test here can see
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			found, err := Mutants(filepath.ToSlash(file), text)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		if users {
			if importers[room], err = importing(room); err != nil {
				return err
			}
		}
	}
	if len(all) == 0 {
		return errors.New("there is nothing to change: run it at the root of the repository")
	}
	random := rand.New(rand.NewPCG(seed, 0))
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if again != "" {
		earlier, err := os.ReadFile(again)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(m Mutant) bool {
			return !strings.Contains("\n"+string(earlier), fmt.Sprintf("\n%s %s (line ", survived, m))
		})
		n = len(all)
	}
	fmt.Printf("%d places, %d are tried\n", len(all), n)
	counts := make(map[string]map[string]int)
	times := make(limits)
	for _, m := range all[min(skip, len(all)):] {
		if n == 0 {
			break
		}
		start := time.Now()
		end, by, err := try(m, importers[m.Room()], times)
		if err != nil {
			return err
		}
		if end == broken {
			continue
		}
		n--
		if counts[m.Room()] == nil {
			counts[m.Room()] = make(map[string]int)
		}
		counts[m.Room()][end]++
		fmt.Printf("%s %s (line %d; %s, %.0f s)\n", end, m, m.Line, by, time.Since(start).Seconds())
	}
	return table(counts, least)
}

// table shows the counts, and is an error where too few changes were noticed.
func table(counts map[string]map[string]int, least float64) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "package\tchanges\tkilled\tsurvived\tequivalent\tkilled %")
	all := make(map[string]int)
	row := func(room string, c map[string]int) float64 {
		share := 100 * float64(c[killed]) / float64(max(1, c[killed]+c[survived]))
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.0f\n", room, c[killed]+c[survived]+c[same], c[killed], c[survived], c[same], share)
		return share
	}
	for _, room := range slices.Sorted(maps.Keys(counts)) {
		row(room, counts[room])
		for end, n := range counts[room] {
			all[end] += n
		}
	}
	share := row("all", all)
	_ = w.Flush()
	if share < least {
		return fmt.Errorf("%.0f %% of the changes were noticed, and %.0f %% are asked for", share, least)
	}
	return nil
}

// try makes a change and runs the tests, those of the package itself first.
func try(m Mutant, users []string, times limits) (end, by string, err error) {
	if strings.Contains("\n"+equivalent, "\n"+strings.TrimSpace(m.String())+"\n") {
		return same, "by hand", nil
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(dir)
	path, err := filepath.Abs(m.File)
	if err != nil {
		return "", "", err
	}
	changed := filepath.Join(dir, "changed.go")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		return "", "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := errors.Join(os.WriteFile(changed, m.Text, 0o600), os.WriteFile(file, overlay, 0o600)); err != nil {
		return "", "", err
	}
	compile := exec.Command("go", "build", "-pgo=off", "-overlay", file, "./"+m.Room())
	if compile.Run() != nil {
		return broken, "", nil
	}
	for _, pkg := range append([]string{"./" + m.Room()}, users...) {
		limit, err := times.of(pkg)
		if err != nil {
			return "", "", err
		}
		if out, err := test(pkg, "-failfast", "-timeout", limit.String(), "-overlay", file); err != nil {
			switch {
			case bytes.Contains(out, []byte("[build failed]")):
				return broken, "", nil
			case bytes.Contains(out, []byte("panic: test timed out")):
				return killed, pkg + " did not end", nil
			}
			return killed, pkg, nil
		}
	}
	return survived, "nobody", nil
}

// test runs the tests of a package.
func test(pkg string, flags ...string) (out []byte, err error) {
	args := slices.Concat([]string{"test", "-pgo=off", "-vet=off", "-count=1"}, flags, []string{pkg})
	return exec.Command("go", args...).CombinedOutput()
}

// limits are how long the tests of a package may take: several times what they take
// with nothing changed, so that a test is slow because of the change alone.
type limits map[string]time.Duration

func (l limits) of(pkg string) (time.Duration, error) {
	if l[pkg] == 0 {
		start := time.Now()
		if out, err := test(pkg); err != nil {
			return 0, fmt.Errorf("with nothing changed, the tests of %s fail: %s", pkg, out)
		}
		l[pkg] = 10*time.Second + 4*time.Since(start)
	}
	return l[pkg], nil
}

// importing are the packages of ours that import a room.
func importing(room string) (users []string, err error) {
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}`, "./service/...", "./ratelimit/...")
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if slices.ContainsFunc(fields[1:], func(i string) bool { return strings.HasSuffix(i, "merakibroker/"+room) }) && !strings.HasSuffix(fields[0], "/"+room) {
			users = append(users, fields[0])
		}
	}
	// The tests of the whole service take the longest.
	slices.SortStableFunc(users, func(a, b string) int { return len(b) - len(a) })
	return users, nil
}
