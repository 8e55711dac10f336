package fault

import (
	"log/slog"
	"sync"
	"time"
)

const (
	// LogLines of one kind are written in each LogWindow; metrics count all. Failures
	// come in storms, and that of a shortage, when most calls are refused, must not
	// become a shortage of log as well.
	LogLines  = 10
	LogWindow = 10 * time.Second
)

// A LogSample chooses which failures are written: the first of each kind in a window.
// It is safe for concurrent use; the zero value is ready.
type LogSample struct {
	mu    sync.Mutex
	kinds map[Kind]*loggedKind
}

type loggedKind struct {
	since   time.Time
	written int
	skipped int64 // since a line was written
}

// Admits tells whether a failure of a kind is written now, and how many of the kind
// have been skipped since the last that was.
func (l *LogSample) Admits(kind Kind, now time.Time) (write bool, skipped int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.kinds == nil {
		l.kinds = make(map[Kind]*loggedKind)
	}
	k := l.kinds[kind]
	if k == nil {
		k = new(loggedKind)
		l.kinds[kind] = k
	}
	if now.Sub(k.since) >= LogWindow {
		k.since, k.written = now, 0
	}
	if k.written >= LogLines {
		k.skipped++
		return false, 0
	}
	k.written++
	skipped, k.skipped = k.skipped, 0
	return true, skipped
}

// Level is how loud a failure is: an error is a bug of the broker's, a warning is the
// operator's to mend, the rest is the caller's.
func (k Kind) Level() slog.Level {
	switch k {
	case Internal:
		return slog.LevelError
	case KeyRejected, APIDisabled, RateLimited, Dashboard, Unreachable, OutcomeUnknown, Malformed, TooLarge, RedirectRefused:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// LogAttrs is what a line of log says of a failure. The message that left and the
// cause, which does not leave, stand side by side; secrets stand in neither.
func (e *Error) LogAttrs() []any {
	attrs := []any{"kind", e.Kind.String(), "detail", e.Detail}
	if e.HTTPStatus != 0 {
		attrs = append(attrs, "http_status", e.HTTPStatus)
	}
	if len(e.Attempts) > 0 {
		attrs = append(attrs, "attempts", len(e.Attempts))
	}
	if e.Budget != "" {
		attrs = append(attrs, "budget", e.Budget)
	}
	if e.RequestID != "" {
		attrs = append(attrs, "request_id", e.RequestID)
	}
	if e.Cause != nil {
		attrs = append(attrs, "cause", e.Cause.Error())
	}
	return attrs
}
