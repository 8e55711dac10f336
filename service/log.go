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
