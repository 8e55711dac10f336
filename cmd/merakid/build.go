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
	"github.com/merakibroker/merakibroker/cmd/internal/version"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/hold"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/rest"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/setting"
	"github.com/merakibroker/merakibroker/service/store"
	"github.com/merakibroker/merakibroker/service/telemetry"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A daemon is the rooms wired together, nothing listening yet.
type daemon struct {
	// audit is the log of writes; nil without one.
	audit      *audit.Log
	server     *service.Server
	operator   service.Operator
	operations int
	upstream   string
	closers    []func()
	// certificates are those of the gRPC port and of REST; nil without TLS.
	certificates *credential.Certificates
	rest         *rest.Server // nil where REST is off
	forwarded    func(*http.Request) bool
	ready        func() error // whether callers can be known
	// notTaken names the files that have changed and are not in use.
	notTaken func() []string
	// client gives a room its Client of the shared store, where its keys begin with the
	// room's name; what says what it is for, in the log. Nil without a store.
	client func(room, what string, keys func() *store.Keys) *store.Client
	// storeAnswers asks the store once; nil without one.
	storeAnswers func(context.Context) error
	// storeState tells how the store is; nil without one.
	storeState func() *brokerv1.StoreState
	// learn preloads owners.
	learn func(context.Context)
}

// close undoes build, last first.
func (d *daemon) close() {
	for i := len(d.closers) - 1; i >= 0; i-- {
		d.closers[i]()
	}
}

func (d *daemon) closing(f func()) { d.closers = append(d.closers, f) }

// build makes everything, leaf to root. All that is wrong with the configuration is
// told at once, as config.Problems.
func build(ctx context.Context, f *config.File, log *slog.Logger) (_ *daemon, err error) {
	wrong := f.Check()
	c := *f.Config
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
		if err := d.sandbox(contracts, &c); err != nil {
			return nil, err
		}
	}
	metrics := service.NewMetrics()
	buildGauge(metrics.Registry())
	watched, err := telemetry.New(ctx, c.Tracing, metrics.Registry(), log)
	wrong.Add("tracing", err)
	if watched != nil {
		d.closing(func() { // registered early, so that it comes last: what the others do is still told
			if err := watched.Close(); err != nil {
				log.Warn("not all telemetry was sent", "error", err)
			}
		})
	}
	files := secretfile.New(secretfile.Config{Log: log, Observe: fileCounter(metrics.Registry())})
	d.closing(files.Close)
	notTakenGauge(metrics.Registry(), files)
	d.notTaken = files.NotTaken
	client, err := d.dashboard(&c, files)
	wrong.Add("", err)
	access, err := d.access(&c, contracts, files, log)
	wrong.Add("", err)
	transport, err := d.transport(&c, files)
	wrong.Add("tls", err)
	connection, err := connect(&c.Store, files)
	wrong.Add("store", err)
	keys, err := sealingKeys(files, c.Store.KeysFile)
	wrong.Add("store.keys_file", err)
	mayAct, err := operators(&c, files)
	wrong.Add("", err)
	wrong.Add("", d.reachableREST(&c))
	if d.audit, err = auditOf(&c, metrics.Registry(), log); d.audit != nil {
		d.closing(func() { _ = d.audit.Close() }) // it tells the log
	}
	wrong.Add("audit.to", err)
	wrong.Add("", d.forwardedBy(&c))
	if err := f.Explain(wrong); err != nil {
		return nil, err
	}

	access.Audit = d.audit
	keyGauges(metrics.Registry(), access.Keys)
	tokenGauges(metrics.Registry(), access.Resolver)
	d.ready = access.Resolver.Ready
	if err := rereadRules(f, access.Policy, files, log); err != nil {
		return nil, err
	}
	attempts := record.New(record.Config{Since: time.Now()})
	if err := d.share(ctx, &c, connection, log); err != nil {
		return nil, err
	}
	outcomes, shared := d.keeper(&c, keys)
	holds := d.holds(ctx, metrics, log)
	spent := d.usage(ctx, &c)
	b, err := d.broker(ctx, &c, client, connection, metrics, attempts, spent, access.Keys, holds, log)
	if err != nil {
		return nil, err
	}
	batches, err := batch.New(batch.Config{
		Contract: contracts, Dashboard: b, Places: c.Budget.ActionBatches, Observer: metrics, Audit: d.audit,
		Life: time.Duration(c.Outcomes.Life), Shared: shared, SharedMessages: keys != nil,
	})
	if err != nil {
		return nil, err
	}
	watches, err := d.watches(b, metrics)
	if err != nil {
		return nil, err
	}
	d.server, err = service.New(service.Config{
		Contract: contracts, Broker: b, Record: attempts, Access: access, Outcomes: outcomes, Watches: watches, Batches: batches, Metrics: metrics, Log: log,
		Reflect: config.Loopback(c.Listen), UserAgent: c.UserAgent, MaxRequestBytes: c.MaxRequestBytes,
		Options: []grpc.ServerOption{grpc.Creds(transport), watched.ServerOption()},
		NewGRPC: d.underneath(&c, transport, log),
	})
	if err != nil {
		return nil, err
	}
	d.operator = service.Operator{
		Server: d.server, Holds: holds, Operators: mayAct, Log: log, Version: version.Of(linkedVersion).Version, Revision: version.Of(linkedVersion).Revision,
		Start: time.Now(), Upstream: d.upstream, Store: d.storeState, Keys: keyStates(access.Keys),
	}
	d.closing(d.server.Close)
	d.restFace(&c, contracts, b, access, client, outcomes, metrics, log)
	// Under a control plane nothing is served until that says so.
	d.server.Serving(!c.XDS)
	d.learn, err = d.preload(&c, b, access, log)
	return d, f.Explain(err)
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
	a := access.Access{Contract: contracts}
	var wrong setting.Errors
	if !c.Identity.On() && !config.Loopback(c.Listen) && !c.AnonymousEverywhere {
		wrong.Wrong("listen", "%s is an address that others can reach, and no source of identity is on: whoever reaches it could spend your budget with your key. Configure identity, or say anonymous_everywhere: true", c.Listen)
	}
	resolver, err := identity.NewResolver(c.Identity, identity.Wiring{Files: files, Log: log})
	wrong.Add("identity", err)
	if err == nil {
		a.Resolver = resolver
		d.closing(resolver.Close)
	}
	requests, err := service.PolicyRequests(contracts)
	if err != nil {
		return a, err
	}
	a.Policy, err = identity.NewPolicy(c.Policy, c.Identity.On(), requests)
	wrong.Add("policy", err)
	a.Keys, err = keys(c, files)
	wrong.Add("credentials", err)
	return a, wrong.Err()
}

// keys are the Dashboard's: those of the configuration, or the one of the environment.
func keys(c *config.Config, files *secretfile.Watcher) (*credential.Store, error) {
	environ := os.LookupEnv
	keys := c.Credentials
	if len(keys.Keys) == 0 && len(keys.OwnKey) == 0 {
		keys.Keys = []credential.KeyConfig{{Name: "default", Env: credential.DefaultEnv}}
		if c.Sandbox {
			environ = func(string) (string, bool) { return "sandbox-needs-no-key", true }
		} else if os.Getenv(credential.DefaultEnv) == "" {
			return nil, fmt.Errorf("there is no usable Dashboard API key: set %s, name a key file in credentials.keys, or try -sandbox", credential.DefaultEnv)
		}
	}
	return credential.NewStore(keys, files, environ)
}

// transport is TLS, where it is configured, and plain text otherwise.
func (d *daemon) transport(c *config.Config, files *secretfile.Watcher) (credentials.TransportCredentials, error) {
	if c.TLS == nil {
		return insecure.NewCredentials(), nil
	}
	certificates, err := credential.NewCertificates(*c.TLS, files)
	if err != nil {
		return nil, err
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
		return nil, setting.Wrong("upstream", "%s. Write https, or say upstream_plain_http: true", err)
	}
	if err != nil {
		return nil, setting.Below("upstream", err)
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
			return errors.New("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
		}
		client.Trust(authorities)
		return nil
	}})
	if err != nil {
		return nil, setting.Below("upstream_ca_file", err)
	}
	return client, nil
}

// broker is the budget, the way to the Dashboard, and what stands between.
func (d *daemon) broker(ctx context.Context, c *config.Config, client *dashboard.Client, connection store.Config, metrics *service.Metrics, attempts *record.Record, spent *usage.Usage, keys *credential.Store, holds *hold.Holds, log *slog.Logger) (*broker.Broker, error) {
	scheduler, err := d.scheduler(ctx, c, connection, metrics, log)
	if err != nil {
		return nil, err
	}
	b, err := broker.New(broker.Config{
		Dashboard: client, Record: attempts, Usage: spent, Holds: holds, Observer: metrics, Audit: d.audit,
		Budgets: lane.Config{
			Scheduler: scheduler,
			Rate:      c.Budget.Rate * c.Budget.Share, Burst: c.Budget.Burst,
			AddressRate: c.Budget.AddressRate, AddressBurst: addressBurst(c.Budget),
			CautiousRate: c.Budget.CautiousRate, Egress: c.Budget.Egress,
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

// preload gives what learns who owns what before the first call: a replica is ready
// without it.
func (d *daemon) preload(c *config.Config, b *broker.Broker, credentials access.Access, log *slog.Logger) (func(context.Context), error) {
	type list struct {
		organization string
		key          dashboard.Key
	}
	var lists []list
	var wrong setting.Errors
	for i, o := range c.Preload {
		if o == broker.EveryOrganization {
			for _, key := range credentials.Keys.All() {
				lists = append(lists, list{o, key})
			}
			continue
		}
		key, ok := credentials.Keys.For(o)
		if !ok {
			wrong.Wrong(fmt.Sprintf("preload[%d]", i), "no key of credentials.keys serves organization %s", o)
		}
		lists = append(lists, list{o, key})
	}
	return func(ctx context.Context) {
		if len(lists) == 0 {
			return
		}
		start := time.Now()
		for _, l := range lists {
			if err := b.Preload(ctx, l.key, l.organization); err != nil {
				log.Warn("not all owners were preloaded", "organization", l.organization, "error", err)
			}
		}
		log.Info("owners preloaded", "took_ms", time.Since(start).Milliseconds())
	}, wrong.Err()
}
