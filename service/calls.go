package service

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// defaultPriority is what a call has that says nothing.
const defaultPriority = ratelimit.Normal

// maxPathBytes bounds path and query together. The Dashboard answers 502, not
// 414, to URLs that are too long; one of a thousand bytes was seen to fail, but
// where exactly differs, so this only keeps out what cannot work.
const maxPathBytes = 16 << 10

// Call performs any operation, also one that the contract does not know.
func (s *Server) Call(ctx context.Context, in *brokerv1.CallRequest) (*brokerv1.CallResponse, error) {
	call, err := s.rawCall(in.GetMethod(), in.GetPath(), in.GetQuery(), in.GetBody())
	if err != nil {
		return nil, err
	}
	request := s.brokerRPCs[brokerv1.BrokerService_Call_FullMethodName]
	request.Read = in.GetMethod() == http.MethodGet
	if err := s.admit(ctx, request, call); err != nil {
		return nil, err
	}
	answer, err := s.do(ctx, call)
	if err != nil {
		return nil, err
	}
	if len(answer.Body) > 0 && !json.Valid(answer.Body) {
		return nil, undelivered(call.Operation, answer, &fault.Error{Kind: fault.Malformed, Detail: "the Dashboard's answer is not JSON"})
	}
	out := &brokerv1.CallResponse{HttpStatus: int32(answer.Status), Body: answer.Body}
	if next := following(answer, call.Operation.GetPaging().GetStyle()); next != nil {
		out.NextPath, out.NextQuery = next.Path, queryParameters(next)
	}
	if err := grpc.SetHeader(ctx, answerHeaders(answer)); err != nil {
		s.log.DebugContext(ctx, "headers not set", "rpc", "Call", "error", err)
	}
	return out, nil
}

// rawCall checks a raw request and finds the operation that it is.
func (s *Server) rawCall(method, path string, query []*brokerv1.QueryParameter, body []byte) (*broker.Call, error) {
	if apiv1.Verb_value["VERB_"+method] == 0 {
		return nil, fault.Bad("method", "method is %q; it takes GET, PUT, POST or DELETE", clip(method, 20))
	}
	route, err := s.route(method, path)
	if err != nil {
		return nil, err
	}
	encoded, err := encodeQuery(query)
	if err != nil {
		return nil, err
	}
	if err := checkLength(route.Path, encoded); err != nil {
		return nil, err
	}
	if len(body) > 0 && !json.Valid(body) {
		return nil, fault.Bad("body", "body is not JSON")
	}
	if len(body) > 0 && method == http.MethodGet {
		return nil, fault.Bad("body", "a GET takes no body")
	}
	call := s.newCall(route.Operation)
	call.Path, call.Query, call.Body, call.ID = route.Path, encoded, body, route.Owner
	return call, nil
}

// route finds the operation and the canonical form of a path.
func (s *Server) route(method, path string) (contract.Route, error) {
	if strings.ContainsAny(path, "?#") {
		return contract.Route{}, fault.Bad("path", "path is %q; it has no ? and no #, and a query goes to the field query", clip(path, 80))
	}
	route, err := s.contract.Route(method, path)
	if err != nil {
		return contract.Route{}, fault.Bad("path", "path is %q; %s", clip(path, 80), err)
	}
	return route, nil
}

// checkLength keeps path and query within maxPathBytes.
func checkLength(path, query string) error {
	if n := len(path) + len(query); n > maxPathBytes {
		return fault.Bad("query", "path and query take %d bytes; more than %d cannot be sent; ask for fewer at once", n, maxPathBytes)
	}
	return nil
}

func encodeQuery(query []*brokerv1.QueryParameter) (string, error) {
	var b strings.Builder
	for i, q := range query {
		if q.GetName() == "" {
			return "", fault.Bad("query", "query parameter %d has no name", i)
		}
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(q.GetName()))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(q.GetValue()))
	}
	return b.String(), nil
}

// queryParameters takes a link's query apart, in its order.
func queryParameters(l *dashboard.Link) []*brokerv1.QueryParameter {
	var all []*brokerv1.QueryParameter
	for part := range strings.SplitSeq(l.Query, "&") {
		name, value, _ := strings.Cut(part, "=")
		name, err := url.QueryUnescape(name)
		if err != nil || name == "" {
			continue
		}
		value, err = url.QueryUnescape(value)
		if err != nil {
			continue
		}
		all = append(all, &brokerv1.QueryParameter{Name: name, Value: value})
	}
	return all
}
