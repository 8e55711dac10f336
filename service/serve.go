package service

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/merakibroker/merakibroker/service/fault"
)

// GRPC is the server underneath: *grpc.Server, or gRPC's own that is told by a
// control plane how to serve (*xds.GRPCServer).
type GRPC interface {
	grpc.ServiceRegistrar
	GetServiceInfo() map[string]grpc.ServiceInfo
	Serve(net.Listener) error
	GracefulStop()
	Stop()
}

func newGRPC(how func(...grpc.ServerOption) (GRPC, error), options []grpc.ServerOption) (GRPC, error) {
	if how == nil {
		return grpc.NewServer(options...), nil
	}
	return how(options...)
}

// Serve answers on l until Stop.
func (s *Server) Serve(l net.Listener) error { return s.grpc.Serve(l) }

// Serving says to probes and meshes whether calls should come here, for the whole
// and for each service. It is so from the start; after Stop it never is again.
func (s *Server) Serving(yes bool) {
	status := healthpb.HealthCheckResponse_NOT_SERVING
	if yes {
		status = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", status)
	for name := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(name, status)
	}
}

// Health is the health service of the server, for the operator's port too.
func (s *Server) Health() healthpb.HealthServer { return s.health }

// Metrics are the server's.
func (s *Server) Metrics() *Metrics { return s.metrics }

// unreadTime is how long a drain waits for clients to read what they have been
// answered, once all handlers have returned or wait for their clients alone.
const unreadTime = 5 * time.Second

// errStopping ends what would last for ever when the drain begins.
var errStopping = &fault.Error{Kind: fault.Draining, Detail: "this replica of the broker is about to stop; go on at another one"}

// Stop drains: no longer serving, for as long as `settle` so that meshes notice;
// what waits is refused; streams that would last for ever and calls that have sent no
// request are ended; what is on its way is finished, until ctx ends. What is
// left then is cut off. Stopping again waits for the same end.
func (s *Server) Stop(ctx context.Context, settle time.Duration) {
	s.health.Shutdown()
	s.log.Info("no longer serving, for meshes to notice", "settle", settle.String())
	pause(ctx, settle)
	s.broker.Drain()
	s.log.Info("draining: what waits is refused, what is on its way is finished")
	s.stop()
	s.idle.stop(errStopping)
	done, read := make(chan struct{}), make(chan struct{})
	go func() {
		s.grpc.GracefulStop()
		close(done)
	}()
	go func() {
		s.allRead(ctx, done)
		close(read)
	}()
	select {
	case <-done:
	case <-read:
		if n := s.running.Load() - s.sending.Load(); n > 0 {
			s.log.Warn("out of time: what was still on its way is cut off", "calls", n)
		} else {
			s.log.Info("some clients have not read their answers; their connections are closed")
		}
		s.grpc.Stop()
		<-done
	}
	<-read
}

// allRead returns when no handler has anything to do but to wait for its client to read,
// and none has read for unreadTime; or when ctx or the drain has ended.
func (s *Server) allRead(ctx context.Context, done <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-done:
			cancel()
		case <-ctx.Done():
		}
	}()
	sent, since := s.sent.Load(), time.Now()
	for ctx.Err() == nil && time.Since(since) < unreadTime {
		pause(ctx, 20*time.Millisecond)
		if n := s.sent.Load(); n != sent || s.running.Load() > s.sending.Load() {
			sent, since = n, time.Now()
		}
	}
}

// Close ends at once what Stop has left, or a Server that never served.
func (s *Server) Close() {
	s.stop()
	s.grpc.Stop()
	s.watches.Close()
	s.batches.Close()
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// registerReflection serves the descriptors of all RPCs. The old v1alpha goes along:
// most command-line tools still ask for it first.
func (s *Server) registerReflection() {
	options := reflection.ServerOptions{Services: s.grpc, DescriptorResolver: resolver{s.contract.Files()}}
	reflectionv1.RegisterServerReflectionServer(s.grpc, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(s.grpc, reflection.NewServer(options))
}

// A resolver looks in the contract first, then among what the binary links:
// health and reflection themselves.
type resolver struct{ contract *protoregistry.Files }

func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := r.contract.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.contract.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
