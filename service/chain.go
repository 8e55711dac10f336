package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/fault"
)

// An rpcCall is an RPC on its way through the chain: what the stages tell each other,
// and what stands at the end.
type rpcCall struct {
	rpc     string // its full name
	handler grpc.UnaryHandler
	// unary tells it from a stream. On the callers' port its request has not been received
	// when the chain begins: it is nil then.
	unary             bool
	request, response any
	// caller is who calls, once that is known.
	caller string
}

// A step takes an RPC through what is left of the chain. A stage puts itself in
// front of a step, for unary and streaming RPCs alike.
type (
	step  func(ctx context.Context, p *rpcCall) error
	stage func(next step) step
)

// chain is what every RPC passes, outermost first.
func (s *Server) chain() []stage {
	return []stage{
		s.observe,  // first, so that it sees every call and the code that leaves
		s.report,   // turns every fault of the stages below into a status
		s.recover,  // above everything that could panic
		s.deadline, // before anything that waits
		s.identify, // who calls; the handler asks what they may
	}
}

// linked puts the stages in front of the handler, once for all RPCs.
func linked(stages []stage) step {
	next := func(ctx context.Context, p *rpcCall) (err error) {
		p.response, err = p.handler(ctx, p.request)
		return err
	}
	for i := len(stages) - 1; i >= 0; i-- {
		next = stages[i](next)
	}
	return next
}

// unary runs the chain around a unary RPC.
func (s *Server) unary(run step) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		s.running.Add(1)
		defer s.running.Add(-1)
		defer arrivalOf(ctx).releaseRequest()
		p := &rpcCall{rpc: info.FullMethod, handler: handler, unary: true, request: req}
		if err := run(ctx, p); err != nil {
			return nil, err
		}
		return p.response, nil
	}
}

// stream runs the chain around a streaming RPC.
func (s *Server) stream(run step) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		s.running.Add(1)
		defer s.running.Add(-1)
		defer arrivalOf(ss.Context()).releaseRequest()
		if s.rpcs[info.FullMethod] == nil && info.FullMethod != brokerv1.BatchService_ApplyWrites_FullMethodName {
			handler = s.untilDrain(handler)
		}
		return run(ss.Context(), &rpcCall{rpc: info.FullMethod, handler: func(ctx context.Context, _ any) (any, error) {
			return nil, handler(srv, &streamIn{ServerStream: ss, ctx: ctx, server: s})
		}})
	}
}

// untilDrain ends a stream when the drain begins. The typed streams end by themselves,
// after the page that is on its way, and a list of writes says what became of each; all
// others (Health.Watch, reflection, budgets) would last for as long as their clients like.
func (s *Server) untilDrain(handler grpc.StreamHandler) grpc.StreamHandler {
	return func(srv any, ss grpc.ServerStream) error {
		ctx, cancel := context.WithCancel(ss.Context())
		defer cancel()
		defer context.AfterFunc(s.lifetime, cancel)()
		err := handler(srv, &streamUntil{ServerStream: ss, ctx: ctx})
		if err != nil && s.lifetime.Err() != nil {
			return errStopping
		}
		return err
	}
}

// streamUntil is a stream whose context ends earlier.
type streamUntil struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamUntil) Context() context.Context { return s.ctx }

// streamIn is a stream with the context that the chain made.
type streamIn struct {
	grpc.ServerStream
	ctx    context.Context
	server *Server
}

func (s *streamIn) Context() context.Context { return s.ctx }

// RecvMsg waits for a request, among the idle calls.
func (s *streamIn) RecvMsg(m any) error {
	return s.server.idle.receive(s.ctx, m, s.ServerStream.RecvMsg)
}

// SendMsg, SetHeader and SendHeader fail when the stream has ended, which is the
// caller's leaving and no failure of the broker.
//
// While SendMsg waits for room, which the client has to give, a drain does not wait for
// the stream.
func (s *streamIn) SendMsg(m any) error {
	s.server.sending.Add(1)
	defer func() {
		s.server.sent.Add(1)
		s.server.sending.Add(-1)
	}()
	return ofCaller(s.ctx, s.ServerStream.SendMsg(m))
}

func (s *streamIn) SetHeader(md metadata.MD) error {
	return streamEnded(s.ctx, s.ServerStream.SetHeader(md))
}

func (s *streamIn) SendHeader(md metadata.MD) error {
	return streamEnded(s.ctx, s.ServerStream.SendHeader(md))
}

// report turns a fault into the status and the trailers that leave. Only
// trailers are set, never headers: then gRPC answers with one HEADERS frame,
// which is the only place where Envoy looks for what forbids a retry.
func (s *Server) report(next step) step {
	return func(ctx context.Context, p *rpcCall) error {
		err := next(ctx, p)
		if err == nil {
			return nil
		}
		f := fault.As(err)
		if f == nil {
			if _, ok := status.FromError(err); ok && !isContext(err) {
				return err // gRPC's own: Unimplemented, a broken stream
			}
			f = foreign(err)
		}
		st, md := failureOf(f, s.about(ctx, p.rpc, f)).leave()
		if err := grpc.SetTrailer(ctx, md); err != nil {
			s.log.DebugContext(ctx, "trailers not set", "rpc", p.rpc, "error", err)
		}
		return &reported{Status: st, fault: f}
	}
}

// answerTime is kept back of every deadline, so that the broker itself says
// what happened instead of the client's timer. Boulder keeps as much.
const answerTime = 20 * time.Millisecond

// deadline keeps answerTime back, where there is enough to keep. The transport's own
// context keeps the client's deadline: what that ends, gRPC answers by itself and
// without a reason.
func (s *Server) deadline(next step) step {
	return func(ctx context.Context, p *rpcCall) error {
		at, ok := ctx.Deadline()
		if !ok || time.Until(at) < 5*answerTime {
			return next(ctx, p)
		}
		ctx, cancel := context.WithDeadline(ctx, at.Add(-answerTime))
		defer cancel()
		return next(ctx, p)
	}
}

// reported is a status that still knows its fault, for the log.
type reported struct {
	*status.Status
	fault *fault.Error
}

func (r *reported) Error() string              { return r.Err().Error() }
func (r *reported) GRPCStatus() *status.Status { return r.Status }

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// foreign makes a fault of an error that is not one.
func foreign(err error) *fault.Error {
	switch {
	case errors.Is(err, context.Canceled):
		return &fault.Error{Kind: fault.Cancelled, Detail: "the caller left", Cause: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{Kind: fault.DeadlineExceeded, Detail: "the deadline passed", Cause: err}
	default:
		return &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause", Cause: err}
	}
}

// streamEnded is the fault of a function of gRPC's that fails when the stream of the
// call has ended; nil for nil. gRPC's error says neither that nor why, and gRPC marks
// a stream as ended before it ends the context, which it may end as cancelled when
// the deadline has passed: without a deadline it is the caller who left.
func streamEnded(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	cause := context.Canceled
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		cause = context.DeadlineExceeded
	}
	f := foreign(cause)
	f.Cause = err
	return f
}

// recover turns a panic into a fault: one bad call must not take the others along.
func (s *Server) recover(next step) step {
	return func(ctx context.Context, p *rpcCall) (err error) {
		defer func() {
			if what := recover(); what != nil {
				s.log.ErrorContext(ctx, "panic", "rpc", p.rpc, "panic", fmt.Sprint(what), "stack", string(debug.Stack()))
				err = &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause"}
			}
		}()
		return next(ctx, p)
	}
}

// observe counts and logs: one line for each call that failed.
func (s *Server) observe(next step) step {
	return func(ctx context.Context, p *rpcCall) error {
		start := time.Now()
		err := next(ctx, p)
		code, took := status.Code(err), time.Since(start)
		service := ""
		if p.unary {
			service = p.rpc[1:strings.LastIndexByte(p.rpc, '/')]
		}
		s.metrics.call(s.operationID(p.rpc), code.String(), service, took)
		if err != nil && !callerLeft(code) {
			s.logFailure(ctx, p, err, took)
		}
		return err
	}
}

// logFailure writes the one line of a failed call. The message that left and the
// cause, which does not leave, stand side by side; secrets stand in neither.
func (s *Server) logFailure(ctx context.Context, p *rpcCall, err error, took time.Duration) {
	kind := fault.Unknown // what gRPC itself refuses
	if r, ok := err.(*reported); ok {
		kind = r.fault.Kind
	}
	write, skipped := s.failures.Admits(kind, time.Now())
	if !write {
		return
	}
	attrs := []any{"rpc", p.rpc, "code", status.Code(err).String(), "took_ms", took.Milliseconds(), "caller", p.caller}
	if skipped > 0 {
		attrs = append(attrs, "skipped_before", skipped)
	}
	r, ok := err.(*reported)
	if !ok {
		s.log.Log(ctx, kind.Level(), "call failed", append(attrs, "error", err.Error())...)
		return
	}
	s.log.Log(ctx, kind.Level(), "call failed", append(attrs, r.fault.LogAttrs()...)...)
}
