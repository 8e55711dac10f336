package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

const (
	// failureLines of one kind are written in each failureWindow; metrics count all.
	// Failures come in storms, and that of a shortage, when most calls are refused,
	// must not become a shortage of log as well.
	failureLines  = 10
	failureWindow = 10 * time.Second
)

// A failureLog writes the first failures of each kind in a window.
type failureLog struct {
	mu    sync.Mutex
	kinds map[fault.Kind]*failureSample
}

type failureSample struct {
	since   time.Time
	written int
	skipped int64 // since a line was written
}

// admits tells whether a failure of a kind is written now, and how many of the kind
// have been skipped since the last that was.
func (l *failureLog) admits(kind fault.Kind, now time.Time) (write bool, skipped int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds == nil {
		l.kinds = make(map[fault.Kind]*failureSample)
	}
	k := l.kinds[kind]
	if k == nil {
		k = new(failureSample)
		l.kinds[kind] = k
	}
	if now.Sub(k.since) >= failureWindow {
		k.since, k.written = now, 0
	}
	if k.written >= failureLines {
		k.skipped++
		return false, 0
	}
	k.written++
	skipped, k.skipped = k.skipped, 0
	return true, skipped
}

// levelOf is how loud a failure is: an error is a bug of the broker's, a warning is
// the operator's to mend, the rest is the caller's.
func levelOf(kind fault.Kind) slog.Level {
	switch kind {
	case fault.Internal:
		return slog.LevelError
	case fault.KeyRejected, fault.APIDisabled, fault.RateLimited, fault.Dashboard, fault.Unreachable,
		fault.OutcomeUnknown, fault.Malformed, fault.TooLarge, fault.RedirectRefused:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// logFailure writes the one line of a failed call. The message that left and the
// cause, which does not leave, stand side by side; secrets stand in neither.
func (s *Server) logFailure(ctx context.Context, p *rpcCall, err error, took time.Duration) {
	kind := fault.Unknown // what gRPC itself refuses
	if r, ok := err.(*reported); ok {
		kind = r.fault.Kind
	}
	write, skipped := s.failures.admits(kind, time.Now())
	if !write {
		return
	}
	attrs := []any{"rpc", p.rpc, "code", status.Code(err).String(), "took_ms", took.Milliseconds(), "caller", p.caller}
	if skipped > 0 {
		attrs = append(attrs, "skipped_before", skipped)
	}
	r, ok := err.(*reported)
	if !ok {
		s.log.Log(ctx, levelOf(kind), "call failed", append(attrs, "error", err.Error())...)
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
	s.log.Log(ctx, levelOf(kind), "call failed", attrs...)
}
