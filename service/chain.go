package service

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A stage wraps what comes after it, for unary and streaming RPCs alike.
type stage func(ctx context.Context, rpc string, next func(context.Context) error) error

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

// unary runs the chain around a unary RPC.
func (s *Server) unary(stages []stage) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		run := func(ctx context.Context) (err error) {
			resp, err = handler(ctx, req)
			return err
		}
		for i := len(stages) - 1; i >= 0; i-- {
			stage, next := stages[i], run
			run = func(ctx context.Context) error { return stage(ctx, info.FullMethod, next) }
		}
		if err := run(ctx); err != nil {
			return nil, err
		}
		return resp, nil
	}
}

// stream runs the chain around a streaming RPC.
func (s *Server) stream(stages []stage) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		run := func(ctx context.Context) error {
			return handler(srv, &streamIn{ServerStream: ss, ctx: ctx, silence: s.silence})
		}
		for i := len(stages) - 1; i >= 0; i-- {
			stage, next := stages[i], run
			run = func(ctx context.Context) error { return stage(ctx, info.FullMethod, next) }
		}
		return run(ss.Context())
	}
}

// streamIn is a stream with the context that the chain made.
type streamIn struct {
	grpc.ServerStream
	ctx     context.Context
	silence *silence
}

func (s *streamIn) Context() context.Context { return s.ctx }

// RecvMsg waits for a request, among the silent.
func (s *streamIn) RecvMsg(m any) error {
	return s.silence.receive(s.ctx, func() error { return s.ServerStream.RecvMsg(m) })
}

// report turns a fault into the status and the trailers that leave. Only
// trailers are set, never headers: then gRPC answers with one HEADERS frame,
// which is the only place where Envoy looks for what forbids a retry.
func (s *Server) report(ctx context.Context, rpc string, next func(context.Context) error) error {
	err := next(ctx)
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
	st, md := reportOf(f, s.about(ctx, rpc, f)).leave()
	if err := grpc.SetTrailer(ctx, md); err != nil {
		s.log.DebugContext(ctx, "trailers not set", "rpc", rpc, "error", err)
	}
	return &reported{Status: st, fault: f}
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

// recover turns a panic into a fault: one bad call must not take the others along.
func (s *Server) recover(ctx context.Context, rpc string, next func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic", "rpc", rpc, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause"}
		}
	}()
	return next(ctx)
}

// answerTime is kept back of every deadline, so that the broker itself says
// what happened instead of the client's timer. Boulder keeps as much.
const answerTime = 20 * time.Millisecond

// deadline keeps answerTime back, where there is enough to keep.
func (s *Server) deadline(ctx context.Context, _ string, next func(context.Context) error) error {
	at, ok := ctx.Deadline()
	if !ok || time.Until(at) < 5*answerTime {
		return next(ctx)
	}
	ctx, cancel := context.WithDeadline(ctx, at.Add(-answerTime))
	defer cancel()
	return next(ctx)
}

// observe counts and logs: one line for each call that failed.
func (s *Server) observe(ctx context.Context, rpc string, next func(context.Context) error) error {
	start := time.Now()
	seen := new(notes)
	err := next(context.WithValue(ctx, notesKey{}, seen))
	code := status.Code(err)
	s.metrics.call(s.operationID(rpc), code, time.Since(start))
	if code != codes.OK && code != codes.Canceled {
		s.logFailure(ctx, rpc, seen, err, time.Since(start))
	}
	return err
}

// notes are what the stages below learn and the log line above them tells.
type notes struct{ caller string }

type notesKey struct{}

// note gives the notes of the call; they go nowhere outside of the chain.
func note(ctx context.Context) *notes {
	if n, ok := ctx.Value(notesKey{}).(*notes); ok {
		return n
	}
	return new(notes)
}
