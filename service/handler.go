package service

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/transcode"
)

// A typedRPC is one typed RPC as the handler needs it. Its plan is compiled at
// the first call: a replica is ready at once and pays for what is used.
type typedRPC struct {
	*contract.Method
	// request is what the policy asks about.
	request identity.Request
	compile func() (*transcode.Plan, error)
}

func newTypedRPC(m *contract.Method, c *transcode.Compiler) (*typedRPC, error) {
	request, err := identity.NewRequest(m.Name, m.Operation)
	if err != nil {
		return nil, err
	}
	return &typedRPC{Method: m, request: request, compile: sync.OnceValues(func() (*transcode.Plan, error) {
		return c.Compile(m.Descriptor, m.Operation)
	})}, nil
}

// call reads a request's wire bytes into a call.
func (s *Server) call(ctx context.Context, r *typedRPC, wire []byte) (*broker.Call, *transcode.Plan, error) {
	plan, err := r.compile()
	if err != nil {
		return nil, nil, &fault.Error{Kind: fault.Internal, Operation: r.Operation.GetId(), Detail: "the broker failed; its log has the cause", Cause: err}
	}
	req, err := plan.Request(wire)
	if err != nil {
		return nil, nil, named(err, r.Operation.GetId())
	}
	if err := checkLength(req.Path, req.Query); err != nil {
		return nil, nil, named(err, r.Operation.GetId())
	}
	call := s.newCall(r.Operation)
	call.Path, call.Query, call.Body = req.Path, req.Query, req.Body
	if len(req.Params) > 0 {
		call.ID = req.Params[0]
	}
	if err := s.itself(r.Method, call); err != nil {
		return nil, nil, named(err, r.Operation.GetId())
	}
	if err := s.admit(ctx, r.request, call); err != nil {
		return nil, nil, err
	}
	return call, plan, nil
}

// itself refuses parameters that make the path another operation's: the client
// "overview" of a network is an overview of its clients, which other rules are about.
// It also keeps ids out that a reader could take for another owner's.
func (s *Server) itself(m *contract.Method, call *broker.Call) error {
	if scope := m.Operation.GetScope(); scope != apiv1.Scope_SCOPE_NONE {
		if err := contract.OwnerID(scope, call.ID); err != nil {
			return fault.Bad("path", "%s; nothing was sent", err)
		}
	}
	if is := s.contract.Find(m.Operation.GetVerb(), call.Path); is != nil && is.Operation.GetId() != m.Operation.GetId() {
		return fault.Bad("path", "the path is %.80q, which is the operation %s; nothing was sent", call.Path, is.Operation.GetId())
	}
	return nil
}

// handle performs one typed unary RPC. receive waits for its request.
func (s *Server) handle(ctx context.Context, r *typedRPC, receive func(any) error) (*frame, error) {
	in := new(frame)
	if err := s.idle.receive(ctx, in, receive); err != nil {
		in.release()
		return nil, err
	}
	call, plan, err := s.call(ctx, r, in.wire())
	in.release()
	if err != nil {
		return nil, err
	}
	arrivalOf(ctx).holds(len(call.Body))
	answer, err := s.do(ctx, call)
	if err != nil {
		return nil, err
	}
	out, err := s.response(ctx, r, plan, answer)
	if err != nil {
		return nil, err
	}
	headers := answerHeaders(answer)
	if more := messageHeaders(out); more != nil {
		headers = metadata.Join(headers, more)
	}
	if err := grpc.SetHeader(ctx, headers); err != nil {
		s.log.DebugContext(ctx, "headers not set", "rpc", r.Name, "error", err)
	}
	return out, nil
}

// response writes an answer as the RPC's response, once there is room for it. The
// Dashboard's document is nearly always the larger of the two, and shared by all
// who wait for it.
func (s *Server) response(ctx context.Context, r *typedRPC, plan *transcode.Plan, answer *broker.Answer) (*frame, error) {
	room, err := s.responses.reserve(ctx, len(answer.Body))
	if err != nil {
		return nil, undelivered(r.Operation, answer, err)
	}
	page := pageOf(answer, r.Operation.GetPaging().GetStyle())
	drifts := 0
	wire, err := plan.Response(make([]byte, 0, len(answer.Body)*2/3+64), answer.Body, page, func(path string, d transcode.Drift) {
		drifts++
		s.drift.Add(r.Operation.GetId(), path, uint8(d), time.Now())
		s.metrics.drift(r.Operation.GetId(), d)
	})
	if err != nil {
		room.release()
		return nil, undelivered(r.Operation, answer, err)
	}
	out := room.answer(wire)
	out.drifts = drifts
	return out, nil
}

// undelivered is the fault of an answer that came and cannot be handed on. A write
// has been executed by then, and that must not read like a refusal.
func undelivered(op *apiv1.Operation, answer *broker.Answer, err error) *fault.Error {
	f := fault.As(err)
	if f == nil {
		f = foreign(err)
	}
	out := *f
	out.Operation = op.GetId()
	out.HTTPStatus, out.RequestID, out.Attempts = answer.Status, answer.RequestID, answer.Attempts
	if op.GetVerb() != apiv1.Verb_VERB_GET {
		if out.Reason == "" {
			out.Reason = f.Kind.Reason()
		}
		out.Kind = fault.OutcomeUnknown
		out.Detail = "the Dashboard has accepted the write, but its answer cannot be handed on: " + f.Detail
	}
	return &out
}

// pageOf reads the pages around an answer from its links, in the direction in
// which the operation pages.
func pageOf(a *broker.Answer, style apiv1.PagingStyle) *transcode.Page {
	if a.Next == nil && a.Prev == nil {
		return nil
	}
	p := new(transcode.Page)
	if a.Next != nil {
		p.NextStartingAfter = a.Next.StartingAfter
	}
	if a.Prev != nil {
		p.PreviousEndingBefore = a.Prev.EndingBefore
	}
	p.HasNext = following(a, style) != nil
	return p
}

// following is the page after this one.
func following(a *broker.Answer, style apiv1.PagingStyle) *dashboard.Link {
	switch style {
	case apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD:
		return a.Prev
	case apiv1.PagingStyle_PAGING_STYLE_BOUNDED:
		return nil
	default:
		return a.Next
	}
}

// answerHeaders tell what the answer cost.
func answerHeaders(a *broker.Answer) metadata.MD {
	queue := a.Queue.Milliseconds()
	if queue == 0 && len(a.Attempts) < 2 {
		if md, ok := usualHeaders[usualAnswer{a.Cache, len(a.Attempts)}]; ok {
			return md
		}
	}
	return headersOf(a.Cache, queue, len(a.Attempts))
}

// clientMessage is the largest message that gRPC's clients take unless they are
// told otherwise. A larger one ends at the client, as RESOURCE_EXHAUSTED without a
// reason, and only the headers can say why.
const clientMessage = 4 << 20

// messageHeaders tell what a client should know about the message: in how many
// places the answer differed from the contract, and its size when that is above
// what clients take. nil when there is nothing to say.
func messageHeaders(out *frame) metadata.MD {
	var md metadata.MD
	if out.drifts > 0 {
		md = metadata.Pairs(headerDrift, strconv.Itoa(out.drifts))
	}
	if n := len(out.out); n > clientMessage {
		md = metadata.Join(md, metadata.Pairs(headerSize, strconv.Itoa(n)))
	}
	return md
}

func headersOf(cache string, queue int64, attempts int) metadata.MD {
	v := []string{cache, strconv.FormatInt(queue, 10), strconv.Itoa(attempts)}
	return metadata.MD{headerCache: v[0:1:1], headerQueue: v[1:2:2], headerAttempts: v[2:3:3]}
}

// usualHeaders are the headers of most answers, that have not waited. gRPC copies
// what it is given.
var usualHeaders = func() map[usualAnswer]metadata.MD {
	all := make(map[usualAnswer]metadata.MD)
	for _, cache := range []string{broker.CacheMiss, broker.CacheCoalesced, broker.CacheHit} {
		for attempts := range 2 {
			all[usualAnswer{cache, attempts}] = headersOf(cache, 0, attempts)
		}
	}
	return all
}()

type usualAnswer struct {
	cache    string
	attempts int
}

// named sets the operation of a fault that does not know it yet.
func named(err error, operation string) error {
	if f := fault.As(err); f != nil && f.Operation == "" {
		f.Operation = operation
	}
	return err
}

// about collects what a failed call was about. It runs on failures only.
func (s *Server) about(_ context.Context, rpc string, f *fault.Error) about {
	a := about{documentation: documentation(f.Operation)}
	r := s.rpcs[rpc]
	if r == nil {
		return a
	}
	a.resource = r.Operation.GetPath()
	if f.Kind == fault.BadRequest && f.HTTPStatus != 0 {
		a.violations = violationsOf(r.Method, f.Messages)
	}
	return a
}

// violationsOf finds the Dashboard's messages that name a field of the request,
// as the vendor writes it or as the contract does.
func violationsOf(m *contract.Method, messages []string) []violation {
	var all []violation
	fields := m.Descriptor.Input().Fields()
	for _, message := range messages {
		words := strings.FieldsFunc(message, func(c rune) bool {
			return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_')
		})
		for i := range fields.Len() {
			f := fields.Get(i)
			if namesField(words, f.JSONName(), string(f.Name())) {
				all = append(all, violation{field: string(f.Name()), description: message})
				break
			}
		}
	}
	return all
}

func namesField(words []string, names ...string) bool {
	for i, w := range words {
		for _, n := range names {
			// A single lower-case word in the middle of a sentence may be plain
			// English; at its start, or with capitals inside, it is a name.
			if strings.EqualFold(w, n) && (i == 0 || n != strings.ToLower(n)) {
				return true
			}
		}
	}
	return false
}
