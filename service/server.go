package service

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/outcome"
	"github.com/merakibroker/merakibroker/service/record"
	"github.com/merakibroker/merakibroker/service/transcode"
	"github.com/merakibroker/merakibroker/service/watch"
)

// A Config is what a Server is made of. Contract, Broker, Record and Access are required.
type Config struct {
	Contract *contract.Contract
	Broker   *broker.Broker
	// Record is the one that the broker writes.
	Record *record.Record
	// Access says who calls, what they may, and with which key.
	Access access.Access
	// Outcomes keeps what became of named writes; one for this server alone when nil.
	Outcomes *outcome.Keeper
	// Watches are what is watched; some for this server alone when nil. The server closes
	// them.
	Watches *watch.Watches
	// Batches make lists of writes; some for this server alone when nil. The server closes
	// them.
	Batches *batch.Batches
	// Metrics that the broker observes too; one is made when nil.
	Metrics *Metrics
	// Log gets a line for failed calls, a sample of each kind; slog.Default when nil.
	Log *slog.Logger
	// Reflect serves reflection beside the RPCs. Behind a mesh it belongs on the
	// admin port alone.
	Reflect bool
	// Options come before the server's own: credentials, stats handlers.
	Options []grpc.ServerOption
	// MaxRequestBytes bounds one request, also after it was decompressed; 4 MiB when 0.
	MaxRequestBytes int
	// UserAgent is how the broker's requests are told apart in the vendor's telemetry.
	UserAgent string
	// NewGRPC makes the server underneath; grpc.NewServer when nil.
	NewGRPC func(...grpc.ServerOption) (GRPC, error)
}

// A Server serves every typed RPC and BrokerService.
type Server struct {
	brokerv1.UnimplementedBrokerServiceServer

	contract *contract.Contract
	broker   *broker.Broker
	record   *record.Record
	access   access.Access
	outcomes *outcome.Keeper
	watches  *watch.Watches
	batches  *batch.Batches
	metrics  *Metrics
	drift    *record.Drifts
	log      *slog.Logger
	failures fault.LogSample
	rpcs     map[string]*typedRPC
	// brokerRPCs are what the policy asks about for BrokerService's own methods.
	brokerRPCs map[string]identity.Request
	grpc       GRPC
	health     *health.Server
	responses  *memory
	idle       *idleCalls
	userAgent  string
	// lifetime ends when the drain begins, and with it what would last for ever.
	lifetime context.Context
	stop     context.CancelFunc
	// running counts the RPCs whose handlers have not returned, and sending those of
	// streams that wait for room at their client; sent counts what has found it.
	running, sending, sent atomic.Int64
}

// New registers everything. Nothing listens yet. An RPC that no rule could ever
// allow is an error: it must not be served.
func New(c Config) (*Server, error) {
	s := &Server{
		contract: c.Contract, broker: c.Broker, record: c.Record, access: c.Access, outcomes: c.Outcomes, metrics: c.Metrics, log: c.Log,
		drift: record.NewDrifts(), rpcs: make(map[string]*typedRPC),
		health: health.NewServer(), responses: newMemory(responseBounds(), errAnswersNotRead), idle: newIdleCalls(maxIdleCalls, c.MaxRequestBytes), userAgent: c.UserAgent,
	}
	s.lifetime, s.stop = context.WithCancel(context.Background())
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.outcomes == nil {
		s.outcomes = outcome.New(outcome.Config{})
	}
	if s.metrics == nil {
		s.metrics = NewMetrics()
	}
	if u := c.Broker.Usage(); u != nil {
		s.metrics.usage.of.Store(&usageSource{u, c.Broker.Budget})
	}
	var err error
	if s.watches = c.Watches; s.watches == nil {
		if s.watches, err = watch.New(watch.Config{Broker: c.Broker, Observer: s.metrics}); err != nil {
			return nil, err
		}
	}
	if s.batches = c.Batches; s.batches == nil {
		if s.batches, err = batch.New(batch.Config{Contract: c.Contract, Dashboard: c.Broker, Observer: s.metrics, Audit: c.Access.Audit}); err != nil {
			return nil, err
		}
	}
	run := linked(s.chain())
	options := append(append([]grpc.ServerOption{}, c.Options...),
		grpc.ForceServerCodecV2(newPassthrough()),
		grpc.UnaryInterceptor(s.unary(run)),
		grpc.StreamInterceptor(s.stream(run)),
		grpc.InTapHandle(s.arrive),
	)
	if s.grpc, err = newGRPC(c.NewGRPC, append(options, limits(s.idle.maxRequest)...)); err != nil {
		return nil, err
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	own, err := brokerRequests()
	if err != nil {
		return nil, err
	}
	s.brokerRPCs = own
	s.grpc.RegisterService(s.identified(&brokerv1.BrokerService_ServiceDesc), s)
	s.grpc.RegisterService(s.identified(&brokerv1.WatchService_ServiceDesc), watchService{Server: s})
	s.grpc.RegisterService(s.identified(&brokerv1.BatchService_ServiceDesc), batchService{Server: s})
	s.grpc.RegisterService(s.identified(&healthpb.Health_ServiceDesc), s.health)
	if c.Reflect {
		s.registerReflection()
	}
	s.Serving(true)
	return s, nil
}

// register makes a gRPC service of every service of the contract, all with the
// one handler.
func (s *Server) register() error {
	compiler := transcode.NewCompiler()
	services := make(map[string]*grpc.ServiceDesc)
	var order []string
	for _, m := range s.contract.Methods() {
		r, err := newTypedRPC(m, compiler)
		if err != nil {
			return err
		}
		s.rpcs[m.Name] = r
		name := string(m.Descriptor.Parent().FullName())
		sd := services[name]
		if sd == nil {
			sd = &grpc.ServiceDesc{ServiceName: name, Metadata: m.Descriptor.ParentFile().Path()}
			services[name] = sd
			order = append(order, name)
		}
		if m.Streaming {
			handle := s.handleStream
			if m.Runs {
				handle = s.handleJob
			}
			sd.Streams = append(sd.Streams, grpc.StreamDesc{
				StreamName: string(m.Descriptor.Name()), ServerStreams: true,
				Handler: func(_ any, stream grpc.ServerStream) error { return handle(r, stream) },
			})
			continue
		}
		sd.Methods = append(sd.Methods, grpc.MethodDesc{MethodName: string(m.Descriptor.Name()), Handler: s.unaryHandler(r)})
	}
	for _, name := range order {
		s.grpc.RegisterService(services[name], nil)
	}
	return nil
}

// unaryHandler has the shape of what protoc-gen-go-grpc writes for one method, but
// for the order: the chain runs before the request has been received, so that what
// is large or slow in coming is somebody's.
func (s *Server) unaryHandler(r *typedRPC) grpc.MethodHandler {
	info := &grpc.UnaryServerInfo{Server: s, FullMethod: r.Name}
	return func(_ any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		return interceptor(ctx, nil, info, func(ctx context.Context, _ any) (any, error) { return s.handle(ctx, r, dec) })
	}
}

// identified gives a service that was written by protoc-gen-go-grpc the same order.
func (s *Server) identified(d *grpc.ServiceDesc) *grpc.ServiceDesc {
	out := *d
	out.Methods = make([]grpc.MethodDesc, len(d.Methods))
	for i, m := range d.Methods {
		name := "/" + d.ServiceName + "/" + m.MethodName
		out.Methods[i] = grpc.MethodDesc{MethodName: m.MethodName, Handler: func(srv any, ctx context.Context, dec func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			info := &grpc.UnaryServerInfo{Server: srv, FullMethod: name}
			return interceptor(ctx, nil, info, func(ctx context.Context, _ any) (any, error) {
				receive := func(in any) error { return s.idle.receive(ctx, in, dec) }
				return m.Handler(srv, ctx, receive, nil)
			})
		}}
	}
	return &out
}

// newCall is a call of an operation before anyone has said anything about it.
func (s *Server) newCall(op *apiv1.Operation) *broker.Call {
	return &broker.Call{Operation: op, Weight: 1, Priority: defaultPriority}
}

// operationID names an RPC in metrics: by operation, or by its own name.
func (s *Server) operationID(rpc string) string {
	if r := s.rpcs[rpc]; r != nil {
		return r.Operation.GetId()
	}
	return rpc[strings.LastIndexByte(rpc, '/')+1:]
}
