package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	library "log"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/admin"
	"github.com/merakibroker/merakibroker/service/page"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

// maxOperators bounds the connections of the operator's port: probes, Prometheus and
// people, within the reserve that callers leave.
const maxOperators = 16

// run serves until ctx ends, then drains. stop gives the signals back, so that
// a second one ends the process at once.
func run(ctx context.Context, stop func(), f *config.File, out io.Writer) error {
	limitMemory()
	f.Check() // fills in what depends on other settings; build tells what is wrong
	c := f.Config
	log := newLog(c.Log, out)
	library.SetFlags(0)
	library.SetOutput(libraryLog{log})
	d, err := build(ctx, f, log)
	if err != nil {
		return err
	}
	defer d.close()

	rpcs, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ops, err := net.Listen("tcp", c.Admin)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	operator := admin.New(admin.Config{
		Metrics: d.server.Metrics().Handler(), Health: d.server.Health(), Ready: d.ready, NotTaken: d.notTaken, Page: page.New(&d.operator, log), Log: log,
		Options: d.server.OperatorOptions(),
		Register: func(g grpc.ServiceRegistrar) {
			d.server.RegisterOperator(g)
			d.operator.Register(g)
		},
	})
	defer operator.Close()
	callers := service.NewConnections(connectionLimit(descriptorLimit(os.DirFS("/"))), log)
	operators := service.NewConnections(maxOperators, log)
	failed := make(chan error, 3)
	go func() { failed <- d.server.Serve(callers.Limit(rpcs, "listen")) }()
	go func() { failed <- operator.Serve(operators.Limit(ops, "admin")) }()
	go d.learn(ctx)
	if d.storeAnswers != nil {
		go func() {
			if err := f.Explain(d.storeAnswers(ctx)); err != nil {
				log.Warn(err.Error())
			}
		}()
	}
	d.banner(out, rpcs.Addr(), ops.Addr())
	if d.rest != nil {
		requests, err := net.Listen("tcp", c.REST)
		switch {
		case err == nil:
			go func() { failed <- d.serveREST(callers.Limit(requests, "rest")) }()
			d.restBanner(out, requests.Addr())
		case c.RESTUnasked:
			log.Info("no REST beside this sandbox: its port is taken; name another with -rest", "error", err)
		default:
			return fmt.Errorf("rest: %w", err)
		}
	}

	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop()
	log.Info("draining", "settle", time.Duration(*c.Drain.Settle).String(), "timeout", time.Duration(c.Drain.Timeout).String())
	last, cancel := context.WithTimeout(context.Background(), time.Duration(c.Drain.Timeout))
	defer cancel()
	d.server.Stop(last, time.Duration(*c.Drain.Settle))
	d.stopREST(last)
	if err := operator.Shutdown(last); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	log.Info("stopped")
	return nil
}

// banner says in three lines what is served, where, and one command to try.
func (d *daemon) banner(out io.Writer, rpcs, admin net.Addr) {
	fmt.Fprintf(out, "merakid: %d operations of the Dashboard API as gRPC on %s, from %s\n", d.operations, rpcs, d.upstream)
	fmt.Fprintf(out, "merakid: what it does, in a browser: http://%s/\n", admin)
	fmt.Fprintf(out, "merakid: try: go run ./examples/go -address %s\n", rpcs)
}

// restBanner says where the Dashboard's own API is served, and how to try it.
func (d *daemon) restBanner(out io.Writer, at net.Addr) {
	scheme, flags := "http", ""
	if d.certificates != nil {
		scheme, flags = "https", "-k "
	}
	fmt.Fprintf(out, "merakid: the same as REST: curl %s%s://%s/api/v1/organizations\n", flags, scheme, at)
}

func newLog(c config.Log, out io.Writer) *slog.Logger {
	var level slog.Level // info, which stands also for a level that is wrong: build says so
	_ = level.UnmarshalText([]byte(c.Level))
	options := &slog.HandlerOptions{Level: level}
	var handler slog.Handler = slog.NewJSONHandler(out, options)
	if c.Format == "text" {
		handler = slog.NewTextHandler(out, options)
	}
	return slog.New(telemetry.LogHandler(handler))
}

// A libraryLog takes what libraries print through package log, and passes on what
// happened without what they quote: of a response that nobody asked for, net/http
// prints all that came, which may be the header that was sent.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Write(p []byte) (int, error) {
	text, _, _ := strings.Cut(string(p), " starting with ")
	l.log.Warn("a library says", "text", strings.TrimSpace(text))
	return len(p), nil
}
