package service_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/credential"
	"github.com/merakibroker/merakibroker/service/credential/secretfile"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/lane"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/usage"
)

// A harness is the whole broker in front of a sandbox, over real connections on
// loopback.
type harness struct {
	contract *contract.Contract
	sandbox  *sandbox.Sandbox
	broker   *broker.Broker
	record   *record.Record
	server   *service.Server
	conn     *grpc.ClientConn
	own      brokerv1.BrokerServiceClient
	address  string
}

// A plan of a harness; the zero value is the usual one.
type plan struct {
	sandbox sandbox.Options
	broker  func(*broker.Config)
	client  func(*dashboard.Config)
	keys    *credential.Config
	access  identity.Config
	rules   identity.Rules
	environ map[string]string
	// server changes what the server is made of; upstream stands in front of the sandbox.
	server   func(*service.Config)
	upstream func(http.Handler) http.Handler
}

// fast lifts our own limits, so that a test that is not about them need not wait.
func fast(c *broker.Config) {
	c.Budgets.Rate, c.Budgets.Burst, c.Budgets.AddressRate, c.Budgets.AddressBurst = 1e6, 1e6, 1e6, 1e6
	c.Budgets.CautiousRate, c.Budgets.CautiousBurst = 1e6, 1e6
}

func build(t testing.TB, p plan) *harness {
	t.Helper()
	h := new(harness)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.contract, err = contract.Load()
	must(err)
	h.sandbox, err = sandbox.New(h.contract, p.sandbox)
	must(err)
	handler := h.sandbox.Handler()
	if p.upstream != nil {
		handler = p.upstream(handler)
	}
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)

	clientConfig := dashboard.Config{BaseURL: upstream.URL + "/api/v1"}
	if p.client != nil {
		p.client(&clientConfig)
	}
	client, err := dashboard.New(clientConfig)
	must(err)
	t.Cleanup(client.Close)
	h.record = record.New(record.Config{Since: time.Now()})
	metrics := service.NewMetrics()
	config := broker.Config{Dashboard: client, Budgets: lane.Config{Scheduler: ratelimit.NewLocal()}, Record: h.record, Usage: usage.New(usage.Config{}), Observer: metrics}
	if p.broker != nil {
		p.broker(&config)
	}
	h.broker, err = broker.New(config)
	must(err)

	files := secretfile.New(secretfile.Config{Log: discard()})
	t.Cleanup(files.Close)
	keys := credential.Config{Keys: []credential.KeyConfig{{Name: "test", Env: "TEST_KEY"}}}
	if p.keys != nil {
		keys = *p.keys
	}
	store, err := credential.NewStore(keys, files, func(name string) (string, bool) {
		if key, ok := p.environ[name]; ok {
			return key, true
		}
		return "sandbox-key", true
	})
	must(err)
	resolver, err := identity.NewResolver(p.access, identity.Wiring{Files: files})
	must(err)
	t.Cleanup(resolver.Close)
	policy, err := identity.NewPolicy(p.rules, p.access.On(), nil)
	must(err)
	serverConfig := service.Config{
		Contract: h.contract, Broker: h.broker, Record: h.record, Metrics: metrics, Reflect: true,
		Access:    access.Access{Resolver: resolver, Policy: policy, Keys: store, Contract: h.contract},
		Log:       discard(),
		UserAgent: "MerakiBroker/1.0 MerakiBroker",
	}
	if p.server != nil {
		p.server(&serverConfig)
	}
	h.server, err = service.New(serverConfig)
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	h.address = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.server.Serve(l) }()
	h.conn, err = grpc.NewClient(h.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		// Said, so that gRPC does not widen them by what it measures.
		grpc.WithInitialWindowSize(64<<10), grpc.WithInitialConnWindowSize(1<<20),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	must(err)
	h.own = brokerv1.NewBrokerServiceClient(h.conn)
	t.Cleanup(func() {
		_ = h.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.server.Stop(ctx, 0)
		<-served
		h.broker.Close()
	})
	return h
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
