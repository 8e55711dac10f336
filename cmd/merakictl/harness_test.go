package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/admin"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A bench is a broker in front of a sandbox, with both of its ports.
type bench struct {
	sandbox            *sandbox.Sandbox
	callers, operators string
	token              string // the file of an operator's token
}

// newBench starts one. rules are those of callers; none for anonymous, who may all.
func newBench(t *testing.T, options sandbox.Options, rules ...identity.Rule) *bench {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	known, err := contract.Load()
	must(err)
	b := new(bench)
	b.sandbox, err = sandbox.New(known, options)
	must(err)
	upstream := httptest.NewServer(b.sandbox.Handler())
	t.Cleanup(upstream.Close)
	client, err := dashboard.New(dashboard.Config{BaseURL: upstream.URL + "/api/v1"})
	must(err)
	t.Cleanup(client.Close)
	files := secretfile.New(secretfile.Config{Log: log})
	t.Cleanup(files.Close)
	attempts := record.New(record.Config{Since: time.Now()})
	metrics := service.NewMetrics()
	holds := hold.New(hold.Config{Log: log})
	calls, err := broker.New(broker.Config{
		Dashboard: client, Budgets: lane.Config{Scheduler: ratelimit.NewLocal(), Rate: 1e6, Burst: 1e6, AddressRate: 1e6, AddressBurst: 1e6, CautiousRate: 1e6, CautiousBurst: 1e6},
		Record: attempts, Usage: usage.New(usage.Config{}), Holds: holds, Observer: metrics,
	})
	must(err)
	keys, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "test", Env: "KEY"}}}, files, func(string) (string, bool) { return "sandbox-key", true })
	must(err)
	resolver, err := identity.NewResolver(identity.Config{}, identity.Wiring{Files: files})
	must(err)
	t.Cleanup(resolver.Close)
	policy, err := identity.NewPolicy(rules, false, nil)
	must(err)
	server, err := service.New(service.Config{
		Contract: known, Broker: calls, Record: attempts, Metrics: metrics, Log: log, UserAgent: "MerakiBroker/1.0 MerakiBroker",
		Access: access.Access{Resolver: resolver, Policy: policy, Keys: keys, Contract: known},
	})
	must(err)

	token, line, err := identity.NewToken("alice")
	must(err)
	directory := t.TempDir()
	b.token = filepath.Join(directory, "token")
	must(os.WriteFile(b.token, []byte(token+"\n"), 0o600))
	must(os.WriteFile(filepath.Join(directory, "operators"), []byte(line), 0o600))
	operators, err := identity.NewOperators(filepath.Join(directory, "operators"), files)
	must(err)
	acts := &service.Operator{Holds: holds, Operators: operators, Log: log}
	port := admin.New(admin.Config{
		Metrics: metrics.Handler(), Health: server.Health(), Log: log, Options: server.OperatorOptions(),
		Register: func(g grpc.ServiceRegistrar) { server.RegisterOperator(g); acts.Register(g) },
	})
	t.Cleanup(port.Close)
	listen := func(serve func(net.Listener) error) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		must(err)
		go func() { _ = serve(l) }()
		return l.Addr().String()
	}
	b.callers, b.operators = listen(server.Serve), listen(port.Serve)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		server.Stop(ctx, 0)
		calls.Close()
	})
	return b
}

// A result is what a command said.
type result struct {
	code     int
	out, err string
}

// do runs a command as in a pipe, with each port where it is.
func (b *bench) do(t *testing.T, in string, args ...string) result {
	t.Helper()
	return b.with(t, &app{in: strings.NewReader(in)}, args...)
}

// with runs a command as a changed app.
func (b *bench) with(t *testing.T, a *app, args ...string) result {
	t.Helper()
	var out, err bytes.Buffer
	if a.in == nil {
		a.in = strings.NewReader("")
	}
	a.out, a.err = &out, io.Writer(&err)
	if a.now == nil {
		a.now = time.Now
	}
	if a.env == nil {
		a.env = func(string) string { return "" }
	}
	if b != nil && len(args) > 0 && !strings.Contains(strings.Join(args, " "), "--address") {
		at := b.operators
		if args[0] == "call" || args[0] == "watch" || args[0] == "apply" {
			at = b.callers
		}
		args = append(args, "--address", at)
	}
	code := run(t.Context(), a, args)
	return result{code, out.String(), err.String()}
}
