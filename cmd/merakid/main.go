// Merakid is the broker's daemon: it wires the rooms together, reads its
// configuration, and serves until it is told to stop.
//
//	merakid -sandbox                       a simulated Dashboard inside, no key needed
//	MERAKI_DASHBOARD_API_KEY=... merakid   the real one
//	merakid -config merakid.yaml           everything else; see cmd/internal/config
//	merakid -new-token NAME                makes a token for a client of the REST face
//
// gRPC is served on -listen, health, metrics and profiles on -admin. Logs go to
// standard error. SIGTERM, SIGINT and SIGHUP drain: calls that wait are refused,
// calls on their way are finished. A second signal stops at once. Nothing has to be
// told that a file has changed: keys, certificates and tokens are re-read by themselves;
// the rest of the configuration takes a new process.
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
)

func main() {
	if len(os.Args) == 3 && strings.TrimLeft(os.Args[1], "-") == "new-token" {
		if err := newToken(os.Args[2], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "merakid:", oneLine(err))
			os.Exit(1)
		}
		return
	}
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	defer stop()
	c, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = run(ctx, stop, c, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "merakid:", oneLine(err))
		os.Exit(1)
	}
}

// parse reads flags and the file that they name; flags win.
func parse(args []string, out io.Writer) (*config.Config, error) {
	flags := flag.NewFlagSet("merakid", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("config", "", "configuration `file` (YAML)")
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
	c, err := config.Read(*file)
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		flag  string
		field *string
	}{{*listen, &c.Listen}, {*admin, &c.Admin}, {*rest, &c.REST}, {*upstream, &c.Upstream}} {
		if f.flag != "" {
			*f.field = f.flag
		}
	}
	c.Sandbox = c.Sandbox || *sandbox
	if c.Sandbox && *upstream != "" {
		return nil, errors.New("-sandbox and -upstream exclude each other: the sandbox is the upstream")
	}
	if err := c.Complete(); err != nil {
		return nil, err
	}
	return c, nil
}

// oneLine keeps an error to the one line that a terminal needs.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
