//go:build openapi

package main

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
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
)

// A newestBroker is a broker with the newest contract in front of a sandbox.
type newestBroker struct {
	sandbox *sandbox.Sandbox
	conn    *grpc.ClientConn
	mu      sync.Mutex
	arrived map[string]bool // operationIds
}

func serveNewest(t *testing.T, c *contract.Contract) *newestBroker {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	b := &newestBroker{arrived: make(map[string]bool)}
	var err error
	b.sandbox, err = sandbox.New(c, sandbox.Options{
		LimitsOff: true, AddressRate: -1, Organizations: 10_000, NetworksPerOrganization: 1, DevicesPerNetwork: 1, DeleteTime: -1, Observe: b.observe,
	})
	must(err)
	upstream := httptest.NewServer(b.sandbox.Handler())
	t.Cleanup(upstream.Close)
	client, err := dashboard.New(dashboard.Config{BaseURL: upstream.URL + "/api/v1"})
	must(err)
	t.Cleanup(client.Close)
	records := record.New(record.Config{Since: time.Now()})
	const many = 1e6 // requests a second: nothing waits
	made, err := broker.New(broker.Config{Dashboard: client, Record: records, Budgets: lane.Config{
		Scheduler: ratelimit.NewLocal(), Rate: many, Burst: many, AddressRate: many, AddressBurst: many, CautiousRate: many, CautiousBurst: many,
	}})
	must(err)
	t.Cleanup(made.Close)
	log := slog.New(slog.DiscardHandler)
	files := secretfile.New(secretfile.Config{Log: log})
	t.Cleanup(files.Close)
	keys, err := credential.NewStore(credential.Config{Keys: []credential.KeyConfig{{Name: "test", Env: "KEY"}}}, files, func(string) (string, bool) { return "sandbox-key", true })
	must(err)
	resolver, err := identity.NewResolver(identity.Config{}, identity.Wiring{Files: files})
	must(err)
	t.Cleanup(resolver.Close)
	policy, err := identity.NewPolicy(identity.Rules{}, false, nil)
	must(err)
	server, err := service.New(service.Config{
		Contract: c, Broker: made, Record: records, Log: log, UserAgent: "MerakiBroker/1.0 MerakiBroker",
		Access: access.Access{Resolver: resolver, Policy: policy, Keys: keys, Contract: c},
	})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	b.conn, err = grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	t.Cleanup(func() {
		_ = b.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Stop(ctx, 0)
		<-served
	})
	return b
}

// observe notes what reaches the Dashboard.
func (b *newestBroker) observe(r sandbox.Arrival) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.arrived[r.Operation] = true
}

// reset forgets what has arrived.
func (b *newestBroker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.arrived)
}

// ask calls one RPC as a client with older protos does, with every field that those
// have. What the Dashboard refuses of the made-up values has arrived there; the broker
// itself refuses nothing. It tells whether an answer came.
func (b *newestBroker) ask(t *testing.T, older, newer *contract.Method, organization int) (ok bool) {
	t.Helper()
	request := dynamicpb.NewMessage(older.Descriptor.Input())
	newest := newer.Descriptor.Input()
	switch {
	case older.Operation.GetVerb() == apiv1.Verb_VERB_GET:
	case older.Operation.GetId() == "createOrganizationActionBatch": // whose resources have to be some
		request.Mutable(request.Descriptor().Fields().ByName("empty_fields")).List().Append(protoreflect.ValueOfString("actions"))
	default:
		fillAll(request, newest, "")
	}
	for i := range request.Descriptor().Fields().Len() {
		f := request.Descriptor().Fields().Get(i)
		name := nameOf(f)
		if !strings.Contains(older.Operation.GetPath(), "{"+name+"}") || nowhere(f) {
			continue
		}
		request.Set(f, b.parameter(f, name, organization))
	}
	b.reset()
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(context.Background(), "meraki-organization-id", b.sandbox.OrganizationID(organization)))
	defer cancel()
	answer := dynamicpb.NewMessage(older.Descriptor.Output())
	var trailer metadata.MD
	var err error
	if older.Streaming {
		var stream grpc.ClientStream
		if stream, err = b.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, older.Name); err == nil {
			if err = stream.SendMsg(request); err == nil {
				_ = stream.CloseSend()
				if err = stream.RecvMsg(answer); err != nil {
					trailer = stream.Trailer()
				}
			}
		}
	} else {
		err = b.conn.Invoke(ctx, older.Name, request, answer, grpc.Trailer(&trailer))
	}
	b.mu.Lock()
	arrived := b.arrived[newer.Operation.GetId()]
	b.mu.Unlock()
	if !arrived || err != nil && (len(trailer.Get("meraki-http-status")) == 0 || status.Code(err) == codes.Internal) {
		t.Errorf("%s: it reached the Dashboard: %v; %v", older.Name, arrived, err)
	}
	return err == nil
}

// parameter is the value of a piece of the path.
func (b *newestBroker) parameter(f protoreflect.FieldDescriptor, name string, organization int) protoreflect.Value {
	switch {
	case name == "organizationId":
		return protoreflect.ValueOfString(b.sandbox.OrganizationID(organization))
	case name == "networkId":
		return protoreflect.ValueOfString(b.sandbox.NetworkID(organization, 0))
	case name == "serial":
		return protoreflect.ValueOfString(b.sandbox.Serial(organization, 0, 0))
	case f.Kind() == protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1)
	case f.Kind() == protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	}
	return protoreflect.ValueOfString("1")
}

// nameOf is a field's name on the wire.
func nameOf(f protoreflect.FieldDescriptor) string {
	b, _ := proto.GetExtension(f.Options(), apiv1.E_Binding).(*apiv1.Binding)
	return cmp.Or(b.GetName(), f.JSONName())
}
