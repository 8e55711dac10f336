package service

import (
	"context"
	"time"

	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

// logFailure writes the one line of a failed call. The message that left and the
// cause, which does not leave, stand side by side; secrets stand in neither.
func (s *Server) logFailure(ctx context.Context, p *rpcCall, err error, took time.Duration) {
	attrs := []any{"rpc", p.rpc, "code", status.Code(err).String(), "took_ms", took.Milliseconds(), "caller", p.caller}
	r, ok := err.(*reported)
	if !ok {
		s.log.WarnContext(ctx, "call failed", append(attrs, "error", err.Error())...)
		return
	}
	f := r.fault
	attrs = append(attrs, "kind", f.Kind.String(), "detail", f.Detail)
	if f.HTTPStatus != 0 {
		attrs = append(attrs, "http_status", f.HTTPStatus)
	}
	if len(f.Attempts) > 0 {
		attrs = append(attrs, "attempts", len(f.Attempts))
	}
	if f.Budget != "" {
		attrs = append(attrs, "budget", f.Budget)
	}
	if f.RequestID != "" {
		attrs = append(attrs, "request_id", f.RequestID)
	}
	if f.Cause != nil {
		attrs = append(attrs, "cause", f.Cause.Error())
	}
	if f.Kind == fault.Internal {
		s.log.ErrorContext(ctx, "call failed", attrs...)
		return
	}
	s.log.WarnContext(ctx, "call failed", attrs...)
}
