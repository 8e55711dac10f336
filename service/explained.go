package service

import (
	"net/http"
	"strings"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
)

// explained makes the call that ExplainCall is asked about: by RPC or
// operationId, or by method and path.
func (s *Server) explained(in *brokerv1.ExplainCallRequest) (*broker.Call, identity.Request, error) {
	call, request, err := s.imagined(in)
	if err != nil {
		return nil, identity.Request{}, err
	}
	p, ok := ratelimit.ParsePriority(in.GetPriority())
	if !ok {
		return nil, identity.Request{}, fault.Bad("priority", "priority is %q; it takes critical, normal or bulk", clip(in.GetPriority(), 40))
	}
	call.Priority = p
	return call, request, nil
}

func (s *Server) imagined(in *brokerv1.ExplainCallRequest) (*broker.Call, identity.Request, error) {
	name := in.GetOperation()
	if name == "" {
		call, err := s.rawCall(in.GetMethod(), in.GetPath(), nil, nil)
		request := s.brokerRPCs[brokerv1.BrokerService_Call_FullMethodName]
		request.Read = in.GetMethod() == http.MethodGet
		return call, request, err
	}
	r := s.rpcs[name]
	if r == nil {
		r = s.byOperation(name)
	}
	if r == nil {
		return nil, identity.Request{}, fault.Bad("operation", "operation is %q, which is neither an RPC nor an operationId of the contract", clip(name, 80))
	}
	path := in.GetPath()
	if err := checkPath(path); err != nil {
		return nil, identity.Request{}, err
	}
	if m := s.router.find(verbName(r.Operation.GetVerb()), path); m == nil || m.Operation.GetId() != r.Operation.GetId() {
		return nil, identity.Request{}, fault.Bad("path", "path is %q; for %s it is filled like %s", clip(path, 80), r.Operation.GetId(), r.Operation.GetPath())
	}
	call := s.newCall(r.Operation)
	call.Path = path
	if strings.Count(path, "/") > 1 {
		call.ID = ownerID(path)
	}
	return call, r.request, nil
}
