// Merakid is the broker's daemon: it wires the rooms together, reads its
// configuration, and serves until it is told to stop.
//
//	merakid -sandbox                       a simulated Dashboard inside, no key needed
//	MERAKI_DASHBOARD_API_KEY=... merakid   the real one
//	merakid -config merakid.yaml           everything else; see docs/configuration.md
//	merakid -check -config merakid.yaml    says everything that is wrong with it
//	merakid -new-token NAME                makes a token for a client of the REST face
//
// gRPC is served on -listen, health, metrics and profiles on -admin. Logs go to
// standard error. SIGTERM, SIGINT and SIGHUP drain: calls that wait are refused,
// calls on their way are finished. A second signal stops at once. Nothing has to be
// told that a file has changed: keys, certificates, tokens and the rules of the
// configuration are re-read by themselves; the rest of it takes a new process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/cmd/internal/version"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	if err := do(ctx, stop, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		for line := range strings.Lines(err.Error()) {
			fmt.Fprintln(os.Stderr, "merakid:", strings.Join(strings.Fields(line), " "))
		}
		os.Exit(1)
	}
}

// do does what the arguments ask for.
func do(ctx context.Context, stop func(), args []string, out, log io.Writer) error {
	asked, err := parse(args, out)
	switch {
	case err != nil:
		return err
	case asked.version:
		_, err := fmt.Fprintln(out, "merakid", version.Of(linkedVersion))
		return err
	case asked.token != "":
		return newToken(asked.token, out)
	case asked.check:
		return check(ctx, asked.file, out)
	}
	return run(ctx, stop, asked.file, log)
}

// asked is what the arguments ask for.
type asked struct {
	file           *config.File
	check, version bool
	token          string // the name of one to make
}

// parse reads flags and the file that they name; flags win.
func parse(args []string, out io.Writer) (*asked, error) {
	flags := flag.NewFlagSet("merakid", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	a := new(asked)
	name := flags.String("config", "", "configuration `file` (YAML); docs/configuration.md has its keys")
	flags.BoolVar(&a.check, "check", false, "say everything that is wrong with the configuration, and end")
	flags.BoolVar(&a.version, "version", false, "say which version this is, and end")
	flags.StringVar(&a.token, "new-token", "", "make a token for a client of the REST face or for an operator, under this `name`, and end")
	sandbox := flags.Bool("sandbox", false, "serve a simulated Dashboard inside and ask that one; needs no key")
	listen := flags.String("listen", "", "serve gRPC on `host:port` (default 127.0.0.1:50051)")
	admin := flags.String("admin", "", "serve health and metrics on `host:port` (default 127.0.0.1:9090)")
	rest := flags.String("rest", "", "serve the Dashboard's own API as REST on `host:port` (off; 127.0.0.1:8081 with -sandbox)")
	upstream := flags.String("upstream", "", "the Dashboard's base `address` (default https://api.meraki.com/api/v1)")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			flags.SetOutput(out)
			flags.Usage()
			return nil, err
		}
		return nil, fmt.Errorf("%w (merakid -h lists the flags)", err)
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("what is %q? merakid takes flags only (merakid -h lists them)", flags.Arg(0))
	}
	if a.version || a.token != "" {
		return a, nil
	}
	var err error
	if a.file, err = config.Read(*name); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		key, value string
		field      *string
	}{{"listen", *listen, &a.file.Listen}, {"admin", *admin, &a.file.Admin}, {"rest", *rest, &a.file.REST}, {"upstream", *upstream, &a.file.Upstream}} {
		if f.value != "" {
			*f.field = f.value
			a.file.Flag(f.key, "-"+f.key)
		}
	}
	if *sandbox {
		a.file.Sandbox = true
		a.file.Flag("sandbox", "-sandbox")
	}
	if a.file.Sandbox && *upstream != "" {
		return nil, errors.New("-sandbox and -upstream exclude each other: the sandbox is the upstream")
	}
	return a, nil
}
