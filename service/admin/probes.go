package admin

import (
	"context"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// probes are the health service of this port. It knows the whole, "", and the services
// that this port serves, all as well as the whole; not those that callers are served
// elsewhere.
type probes struct {
	healthpb.HealthServer
	here interface {
		GetServiceInfo() map[string]grpc.ServiceInfo
	}
}

func (p probes) serves(service string) bool {
	_, ok := p.here.GetServiceInfo()[service]
	return ok || service == ""
}

// ask is the question that the health service of the callers' port is asked.
func (p probes) ask(service string) *healthpb.HealthCheckRequest {
	if p.serves(service) {
		return new(healthpb.HealthCheckRequest)
	}
	return &healthpb.HealthCheckRequest{Service: "not on the operator's port"} // which it does not know
}

// Check tells the state of a service.
func (p probes) Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return p.HealthServer.Check(ctx, p.ask(in.GetService()))
}

// Watch sends the state of a service each time it changes.
func (p probes) Watch(in *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	return p.HealthServer.Watch(p.ask(in.GetService()), stream)
}

// List tells the states of what is served here.
func (p probes) List(ctx context.Context, _ *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	whole, err := p.HealthServer.Check(ctx, new(healthpb.HealthCheckRequest))
	if err != nil {
		return nil, err
	}
	out := &healthpb.HealthListResponse{Statuses: map[string]*healthpb.HealthCheckResponse{"": whole}}
	for name := range p.here.GetServiceInfo() {
		out.Statuses[name] = whole
	}
	return out, nil
}
