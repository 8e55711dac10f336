package service

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/grpc"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// OperatorOptions are the options of the gRPC server on the operator's port: what passes
// there is reported as it is to callers, and ends when the drain begins.
func (s *Server) OperatorOptions() []grpc.ServerOption {
	run := linked([]stage{s.report, s.recover, s.deadline, s.asOperator})
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(s.unary(run)),
		grpc.StreamInterceptor(s.stream(run)),
		grpc.UnknownServiceHandler(s.notForOperators),
	}
}

// RegisterOperator serves the RPCs of BrokerService that only read on g, the gRPC server
// of the operator's port.
func (s *Server) RegisterOperator(g grpc.ServiceRegistrar) {
	d := brokerv1.BrokerService_ServiceDesc
	reads := func(method string) bool { return s.brokerRPCs["/"+d.ServiceName+"/"+method].Read }
	d.Methods, d.Streams = nil, nil
	for _, m := range brokerv1.BrokerService_ServiceDesc.Methods {
		if reads(m.MethodName) {
			d.Methods = append(d.Methods, m)
		}
	}
	for _, m := range brokerv1.BrokerService_ServiceDesc.Streams {
		if reads(m.StreamName) {
			d.Streams = append(d.Streams, m)
		}
	}
	g.RegisterService(&d, s)
}

// asOperator says who calls BrokerService on the operator's port: the operator, whatever
// the headers say. OperatorService asks for a token by itself.
func (s *Server) asOperator(next step) step {
	return func(ctx context.Context, p *rpcCall) error {
		request, ok := s.brokerRPCs[p.rpc]
		if !ok {
			return next(ctx, p)
		}
		p.caller = identity.Operator.ID
		ctx = identity.With(ctx, identity.Operator)
		decision, err := s.access.Policy.Decide(identity.Operator, request)
		if err != nil {
			return err
		}
		return next(context.WithValue(ctx, decisionKey{}, &decision), p)
	}
}

// notForOperators answers what is not served on the operator's port.
func (s *Server) notForOperators(_ any, stream grpc.ServerStream) error {
	rpc, _ := grpc.MethodFromServerStream(stream)
	service, _, _ := strings.Cut(strings.TrimPrefix(rpc, "/"), "/")
	if _, ok := s.grpc.GetServiceInfo()[service]; !ok {
		return &fault.Error{Kind: fault.NotImplemented, Reason: "UNKNOWN_SERVICE", Detail: fmt.Sprintf("there is no RPC %s, neither here nor on the port for callers", clip(rpc, 120))}
	}
	return &fault.Error{Kind: fault.CallerNotAllowed, Reason: "OPERATOR_PORT_ONLY_READS", Detail: fmt.Sprintf(
		"%s is not served on the operator's port, which tells what the broker knows and calls nothing for anybody; ask the port for callers (listen in the configuration, 50051 by default), where the rules say who may", clip(rpc, 120))}
}
