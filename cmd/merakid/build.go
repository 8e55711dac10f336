package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/merakibroker/merakibroker/cmd/internal/config"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

// A daemon is the rooms wired together, nothing listening yet.
type daemon struct {
	server     *service.Server
	operations int
	upstream   string
	closers    []func()
	// certificates are those of the gRPC port and of REST; nil without TLS.
	certificates *credential.Certificates
	rest         *http.Server // nil where REST is off
	ready        func() error // whether callers can be known
}

// close undoes build, last first.
func (d *daemon) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
}

func (d *daemon) closing(f func()) { d.closers = append(d.closers, f) }

// build makes everything, leaf to root.
func build(ctx context.Context, c *config.Config, log *slog.Logger) (_ *daemon, err error) {
	d := &daemon{upstream: c.Upstream}
	defer func() {
		if err != nil {
			d.close()
		}
	}()
	contracts, err := contract.Load()
	if err != nil {
		return nil, err
	}
	d.operations = operations(contracts)
	if c.Sandbox {
		if err := d.sandbox(contracts, c); err != nil {
			return nil, err
		}
	}
	metrics := service.NewMetrics()
	watched, err := telemetry.New(ctx, c.Tracing, metrics.Registry(), log)
	if err != nil {
		return nil, err
	}
	d.closing(func() { // registered early, so that it comes last: what the others do is still told
		if err := watched.Close(); err != nil {
			log.Warn("not all telemetry was sent", "error", err)
		}
	})
	files := secretfile.New(secretfile.Config{Log: log})
	d.closing(files.Close)
	client, err := d.dashboard(c, files)
	if err != nil {
		return nil, err
	}

	access, err := d.access(c, contracts, files, log)
	if err != nil {
		return nil, err
	}
	keyGauges(metrics.Registry(), access.Keys)
	tokenGauges(metrics.Registry(), access.Resolver)
	d.ready = access.Resolver.Ready
	transport, err := d.transport(c, files)
	if err != nil {
		return nil, err
	}
	attempts := record.New(record.Config{Since: time.Now()})
	outcomes := outcome.New(outcome.Config{})
	d.closing(outcomes.Close) // after the broker, which ends what is under way
	b, err := d.broker(ctx, c, client, files, metrics, attempts, access.Keys, log)
	if err != nil {
		return nil, err
	}
	d.server, err = service.New(service.Config{
		Contract: contracts, Broker: b, Record: attempts, Access: access, Outcomes: outcomes, Metrics: metrics, Log: log,
		Reflect: config.Loopback(c.Listen), UserAgent: c.UserAgent, MaxRequestBytes: c.MaxRequestBytes,
		Options: []grpc.ServerOption{grpc.Creds(transport), watched.ServerOption()},
		NewGRPC: d.underneath(c, transport, log),
	})
	if err != nil {
		return nil, err
	}
	d.closing(d.server.Close)
	if d.rest, err = d.restFace(c, contracts, b, access, client, outcomes, log); err != nil {
		return nil, err
	}
	// Under a control plane nothing is served until that says so.
	d.server.Serving(!c.XDS)
	return d, d.preload(ctx, c, b, access, log)
}

func operations(c *contract.Contract) int {
	n := 0
	for _, m := range c.Methods() {
		if !m.Streaming {
			n++
		}
	}
	return n
}

// sandbox starts the simulated Dashboard on a port of its own on loopback, and
// makes it the upstream. Any key will do there.
func (d *daemon) sandbox(contracts *contract.Contract, c *config.Config) error {
	s, err := sandbox.New(contracts, sandbox.Options{})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	d.closing(func() { _ = server.Close() })
	c.Upstream = "http://" + l.Addr().String() + "/api/v1"
	d.upstream = "the sandbox inside (" + c.Upstream + ")"
	return nil
}

// access is who calls, what they may, and with which key.
func (d *daemon) access(c *config.Config, contracts *contract.Contract, files *secretfile.Watcher, log *slog.Logger) (access.Access, error) {
	if !c.Identity.On() && !config.Loopback(c.Listen) && !c.AnonymousEverywhere {
		return access.Access{}, fmt.Errorf("listen is %s, which others can reach, and no source of identity is on: whoever reaches it could spend your budget with your key. Configure identity, or say anonymous_everywhere: true", c.Listen)
	}
	resolver, err := identity.NewResolver(c.Identity, identity.Wiring{Files: files, Log: log})
	if err != nil {
		return access.Access{}, fmt.Errorf("identity: %w", err)
	}
	d.closing(resolver.Close)
	requests, err := service.PolicyRequests(contracts)
	if err != nil {
		return access.Access{}, err
	}
	policy, err := identity.NewPolicy(c.Policy, c.Identity.On(), requests)
	if err != nil {
		return access.Access{}, fmt.Errorf("policy: %w", err)
	}
	environ := os.LookupEnv
	keys := c.Credentials
	if len(keys.Keys) == 0 && len(keys.OwnKey) == 0 {
		keys.Keys = []credential.KeyConfig{{Name: "default", Env: credential.DefaultEnv}}
		if c.Sandbox {
			environ = func(string) (string, bool) { return "sandbox-needs-no-key", true }
		} else if os.Getenv(credential.DefaultEnv) == "" {
			return access.Access{}, fmt.Errorf("no usable Dashboard API key: set %s, name a key file in the configuration (credentials.keys), or try -sandbox", credential.DefaultEnv)
		}
	}
	store, err := credential.NewStore(keys, files, environ)
	if err != nil {
		return access.Access{}, fmt.Errorf("credentials: %w", err)
	}
	return access.Access{Resolver: resolver, Policy: policy, Keys: store, Contract: contracts}, nil
}

// transport is TLS, where it is configured, and plain text otherwise.
func (d *daemon) transport(c *config.Config, files *secretfile.Watcher) (credentials.TransportCredentials, error) {
	if c.TLS == nil {
		return insecure.NewCredentials(), nil
	}
	certificates, err := credential.NewCertificates(*c.TLS, files)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	d.certificates = certificates
	return credentials.NewTLS(certificates.ServerConfig()), nil
}

// underneath makes the gRPC server: gRPC's usual one, or the one that a control
// plane tells how to serve.
func (d *daemon) underneath(c *config.Config, transport credentials.TransportCredentials, log *slog.Logger) func(...grpc.ServerOption) (service.GRPC, error) {
	if !c.XDS {
		return nil
	}
	return func(options ...grpc.ServerOption) (service.GRPC, error) {
		return newXDS(transport, func(on bool) { d.server.Serving(on) }, log, options)
	}
}

// dashboard makes the attempts, through the proxy that the environment names.
func (d *daemon) dashboard(c *config.Config, files *secretfile.Watcher) (*dashboard.Client, error) {
	client, err := dashboard.New(dashboard.Config{
		BaseURL: c.Upstream, PlainHTTP: c.UpstreamPlainHTTP, UserAgent: c.UserAgent, Proxy: http.ProxyFromEnvironment,
	})
	if errors.Is(err, dashboard.ErrPlainHTTP) {
		return nil, fmt.Errorf("upstream: %w. Write https, or say upstream_plain_http: true", err)
	}
	if err != nil {
		return nil, fmt.Errorf("upstream: %w", err)
	}
	d.closing(client.Close)
	if c.UpstreamCAFile == "" {
		return client, nil
	}
	err = files.Add(secretfile.Group{Name: "authorities of the upstream", Paths: []string{c.UpstreamCAFile}, Load: func(contents [][]byte) error {
		authorities, err := x509.SystemCertPool()
		if err != nil {
			authorities = x509.NewCertPool() // a container without any
		}
		if !authorities.AppendCertsFromPEM(contents[0]) {
			return fmt.Errorf("%s holds no certificate in PEM", c.UpstreamCAFile)
		}
		client.Trust(authorities)
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("upstream_ca_file: %w", err)
	}
	return client, nil
}

// broker is the budget, the way to the Dashboard, and what stands between.
func (d *daemon) broker(ctx context.Context, c *config.Config, client *dashboard.Client, files *secretfile.Watcher, metrics *service.Metrics, attempts *record.Record, keys *credential.Store, log *slog.Logger) (*broker.Broker, error) {
	scheduler, err := d.scheduler(ctx, c, files, metrics, log)
	if err != nil {
		return nil, err
	}
	b, err := broker.New(broker.Config{
		Dashboard: client, Record: attempts, Observer: metrics,
		Budgets: lane.Config{
			Scheduler: scheduler,
			Rate:      c.Budget.Rate * c.Budget.Share, Burst: c.Budget.Burst,
			AddressRate: c.Budget.AddressRate, AddressBurst: addressBurst(c.Budget),
			CautiousRate: c.Budget.CautiousRate,
		},
		Deadline: time.Duration(c.Budget.Deadline), CacheBytes: orNone(c.CacheBytes), KeyFor: keys.For,
	})
	if err != nil {
		return nil, err
	}
	d.closing(b.Close)
	return b, nil
}

// orNone is a size for the broker, to which 0 is its default.
func orNone(bytes int64) int64 {
	if bytes == 0 {
		return -1
	}
	return bytes
}

// addressBurst keeps burst + rate x jitter within what the Dashboard takes at once
// of one address, which is what it takes in a second: of a part of the rate, that
// part of the burst.
func addressBurst(b config.Budget) float64 {
	return max(1, b.AddressRate*(1-time.Duration(b.Jitter).Seconds()))
}

// preload learns who owns what before the first call, in the background: a
// replica is ready without it.
func (d *daemon) preload(ctx context.Context, c *config.Config, b *broker.Broker, credentials access.Access, log *slog.Logger) error {
	if len(c.Preload) == 0 {
		return nil
	}
	type list struct {
		organization string
		key          dashboard.Key
	}
	var lists []list
	for _, o := range c.Preload {
		if o == broker.EveryOrganization {
			for _, key := range credentials.Keys.All() {
				lists = append(lists, list{o, key})
			}
			continue
		}
		key, ok := credentials.Keys.For(o)
		if !ok {
			return fmt.Errorf("preload: no key of credentials.keys serves organization %s", o)
		}
		lists = append(lists, list{o, key})
	}
	go func() {
		start := time.Now()
		for _, l := range lists {
			if err := b.Preload(ctx, l.key, l.organization); err != nil {
				log.Warn("not all owners were preloaded", "organization", l.organization, "error", err)
			}
		}
		log.Info("owners preloaded", "took_ms", time.Since(start).Milliseconds())
	}()
	return nil
}
