package service

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/grpc"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/ratelimit"
	"github.com/merakibroker/merakibroker/service/broker"
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
	verb := apiv1.Verb(apiv1.Verb_value["VERB_"+method])
	if verb == apiv1.Verb_VERB_UNSPECIFIED {
		return nil, fault.Bad("method", "method is %q; it takes GET, PUT, POST or DELETE", clip(method, 20))
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	encoded, err := encodeQuery(query)
	if err != nil {
		return nil, err
	}
	if err := checkLength(path, encoded); err != nil {
		return nil, err
	}
	if len(body) > 0 && !json.Valid(body) {
		return nil, fault.Bad("body", "body is not JSON")
	}
	if len(body) > 0 && verb == apiv1.Verb_VERB_GET {
		return nil, fault.Bad("body", "a GET takes no body")
	}
	call := s.newCall(s.rawOperation(method, verb, path))
	call.Path, call.Query, call.Body = path, encoded, body
	call.ID = ownerID(path)
	return call, nil
}

// rawOperation is the contract's operation, or what the path itself tells.
func (s *Server) rawOperation(method string, verb apiv1.Verb, path string) *apiv1.Operation {
	if m := s.router.find(method, path); m != nil {
		return m.Operation
	}
	op := &apiv1.Operation{Id: "call", Verb: verb, Path: path, Scope: apiv1.Scope_SCOPE_NONE}
	switch {
	case strings.HasPrefix(path, "/organizations/"):
		op.Scope = apiv1.Scope_SCOPE_ORGANIZATION
	case strings.HasPrefix(path, "/networks/"):
		op.Scope = apiv1.Scope_SCOPE_NETWORK
	case strings.HasPrefix(path, "/devices/"):
		op.Scope = apiv1.Scope_SCOPE_DEVICE
	}
	switch verb {
	case apiv1.Verb_VERB_GET:
		op.RetryClass = apiv1.RetryClass_RETRY_CLASS_READ
	case apiv1.Verb_VERB_POST:
		op.RetryClass = apiv1.RetryClass_RETRY_CLASS_UNSAFE
	default:
		op.RetryClass = apiv1.RetryClass_RETRY_CLASS_IDEMPOTENT
	}
	return op
}

// checkLength keeps path and query within maxPathBytes.
func checkLength(path, query string) error {
	if n := len(path) + len(query); n > maxPathBytes {
		return fault.Bad("query", "path and query take %d bytes; more than %d cannot be sent; ask for fewer at once", n, maxPathBytes)
	}
	return nil
}

// ownerID is the second segment of a path that names its owner with the first.
func ownerID(path string) string {
	segments := strings.SplitN(path, "/", 4)
	if len(segments) < 3 {
		return ""
	}
	id, err := url.PathUnescape(segments[2])
	if err != nil {
		return ""
	}
	return id
}

// checkPath lets only plain, escaped paths below /api/v1 pass: nothing that a
// proxy or the Dashboard could read as another path.
func checkPath(path string) error {
	switch {
	case !strings.HasPrefix(path, "/"):
		return fault.Bad("path", "path is %q; it starts with a slash, as /organizations", clip(path, 80))
	case strings.HasPrefix(path, "/api/"):
		return fault.Bad("path", "path is %q; leave /api/v1 out", clip(path, 80))
	case strings.ContainsAny(path, "?#\\"):
		return fault.Bad("path", "path is %q; ?, # and \\ must be escaped, and a query goes to the field query", clip(path, 80))
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		plain, err := url.PathUnescape(segment)
		if err != nil {
			return fault.Bad("path", "path is %q; its escapes are broken", clip(path, 80))
		}
		if plain == "" || plain == "." || plain == ".." {
			return fault.Bad("path", "path is %q; a segment is empty or made of dots", clip(path, 80))
		}
		// No id of the Dashboard's has any of these, and what stands between here
		// and there may take an escaped slash for a slash: then the path that the
		// policy was asked about would not be the one that is called.
		if !utf8.ValidString(plain) || strings.ContainsFunc(plain, func(c rune) bool { return c == '/' || c == '\\' || unicode.IsControl(c) }) {
			return fault.Bad("path", "path is %q; a segment holds a slash, a control character, or what is not UTF-8", clip(path, 80))
		}
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f {
			return fault.Bad("path", "path holds a byte that must be escaped, at %d", i)
		}
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
