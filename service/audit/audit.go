// Package audit is the log of writes: one line for each, complete and in order, apart
// from the log of the process. A line says who wrote what, and what became of it; it
// never holds bodies, queries or secrets. docs/audit.md has its schema.
package audit

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// The kinds of lines.
const (
	kindWrite   = "write"
	kindRead    = "read"
	kindRefusal = "refusal"
)

// The faces that writes come by. Batch is a write of a list, or a request that carries
// writes of one.
const (
	GRPC  = "grpc"
	REST  = "rest"
	Batch = "batch"
)

// An Entry is one call, as far as it is told.
type Entry struct {
	// Began is when the call came.
	Began time.Time
	// Caller is who called, by identity, and Face by which face.
	Caller, Face string
	// Operation is the vendor's operationId, Method the HTTP method, and Organization the
	// owner; empty when it is not known. Path is below /api/v1, without the query.
	Operation, Method, Organization, Path string
	// Key is the caller's own name of the write, or of the list that it stands in.
	Key string
	// Status is the Dashboard's last, 0 when it has not answered; RequestID is the
	// vendor's, and Attempts how many requests were made.
	Status, Attempts int
	RequestID        string
	// Cache is how a read came by its answer.
	Cache string
	// Fault is why it failed; nil when it is done. Pending tells that the outcome is not
	// known yet.
	Fault   *fault.Error
	Pending bool
	// Write and Group are the caller's names of a write in a list, and ActionBatch the
	// action batch that carried it.
	Write, Group, ActionBatch string
	// Redact replaces the Dashboard key of the call in a text; nil for none.
	Redact func(string) string
}

// A Config says what is told, and to whom.
type Config struct {
	// To takes the lines: File or Stream.
	To Destination
	// Reads tells reads, too.
	Reads bool
	// Insist refuses writes while lines cannot be written, instead of making them.
	Insist bool
	// Log is told of lines that cannot be written.
	Log *slog.Logger
}

// A Log is where lines go. The nil Log takes nothing. It is safe for concurrent use.
type Log struct {
	config  Config
	handler slog.Handler
	sample  fault.LogSample

	mu     sync.Mutex
	number uint64
	out    backlog
}

// New makes a Log. The error is that of a file that cannot be written.
func New(c Config) (*Log, error) {
	if c.To == nil {
		return nil, errors.New("audit: nowhere to write to")
	}
	if err := c.To.Ready(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	l := &Log{config: c, out: backlog{to: c.To, log: c.Log}}
	l.handler = slog.NewJSONHandler(&l.out, &slog.HandlerOptions{ReplaceAttr: named})
	return l, nil
}

// named gives a line its own keys in the place of slog's.
func named(_ []string, a slog.Attr) slog.Attr {
	switch a.Key {
	case slog.LevelKey:
		return slog.Attr{}
	case slog.MessageKey:
		a.Key = "kind"
	case slog.TimeKey:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	}
	return a
}

// Ready says why no write may be made now: its line could not be written, and the
// configuration insists on it.
func (l *Log) Ready() *fault.Error {
	if l == nil || !l.config.Insist {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.out.flush(); err != nil {
		return &fault.Error{Kind: fault.Unreachable, Reason: "AUDIT_UNAVAILABLE", RetryAfter: time.Second, Cause: err,
			Detail: "the log of writes cannot be written, and no write is made without its line; nothing was sent; come back after the delay"}
	}
	return nil
}

// Wrote tells a write that has been sent, or may have been.
func (l *Log) Wrote(e Entry) {
	if l != nil {
		l.line(kindWrite, e, 0)
	}
}

// Read tells a read, where reads are told.
func (l *Log) Read(e Entry) {
	if l != nil && l.config.Reads {
		l.line(kindRead, e, 0)
	}
}

// Refused tells a call of which nothing was sent: the first few of a kind in a while.
func (l *Log) Refused(e Entry) {
	if l == nil || e.Fault == nil {
		return
	}
	if admitted, skipped := l.sample.Admits(e.Fault.Kind, time.Now()); admitted {
		l.line(kindRefusal, e, skipped)
	}
}

// Lost is how many lines could not be kept for later. Waiting is how many bytes wait to
// be written.
func (l *Log) Lost() (lost uint64, waiting int) {
	if l == nil {
		return 0, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.lost, len(l.out.waiting)
}

// Close writes what waits, as far as it can be.
func (l *Log) Close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.close()
}

// line writes one line. Time and number are given here, so that both follow the order
// of the lines.
func (l *Log) line(kind string, e Entry, skipped int64) {
	attrs := attributes(&e)
	if skipped > 0 {
		attrs = append(attrs, slog.Int64("skipped_before", skipped))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.number++
	r := slog.NewRecord(now, slog.LevelInfo, kind, 0)
	r.AddAttrs(slog.Uint64("number", l.number))
	if !e.Began.IsZero() {
		r.AddAttrs(slog.Int64("took_ms", now.Sub(e.Began).Milliseconds()))
	}
	r.AddAttrs(attrs...)
	_ = l.handler.Handle(context.Background(), r) // the backlog has told of it
	l.out.again(&l.mu)
}

// attributes are what a line says of a call; what is empty is left out.
func attributes(e *Entry) []slog.Attr {
	attrs := make([]slog.Attr, 0, 18)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	number := func(key string, n int) {
		if n != 0 {
			attrs = append(attrs, slog.Int(key, n))
		}
	}
	f := e.Fault
	if f != nil {
		e.Status, e.RequestID, e.Attempts = f.HTTPStatus, f.RequestID, max(e.Attempts, len(f.Attempts))
	}
	text("caller", e.Caller)
	text("face", e.Face)
	text("operation", e.Operation)
	text("method", e.Method)
	text("organization", e.Organization)
	text("path", e.clean(e.Path, maxPath))
	text("outcome", e.outcome())
	if f != nil {
		text("reason", f.ReasonCode())
	}
	number("status", e.Status)
	text("request_id", e.RequestID)
	number("attempts", e.Attempts)
	text("cache", e.Cache)
	text("idempotency_key", e.clean(e.Key, maxName))
	text("write", e.clean(e.Write, maxName))
	text("group", e.clean(e.Group, maxName))
	text("action_batch", e.ActionBatch)
	return attrs
}

// outcome is what became of a call, in a word.
func (e *Entry) outcome() string {
	switch f := e.Fault; {
	case e.Pending:
		return "pending"
	case f == nil:
		return "done"
	case f.Kind == fault.OutcomeUnknown:
		return "unknown"
	case e.Attempts == 0 && f.HTTPStatus == 0:
		return "refused"
	}
	return "failed"
}

const (
	// maxPath and maxName bound what callers put into a line.
	maxPath = 1024
	maxName = 255
)

// secretForm is what keys of the Dashboard, tokens of the broker's own (both 40 digits
// in hex) and JSON Web Tokens look like. Callers put them into the wrong place.
var secretForm = regexp.MustCompile(`[0-9a-fA-F]{40,}|eyJ[\w-]*(\.|%2[eE])[\w-]+((\.|%2[eE])[\w-]*)?`)

// clean is a text from outside, bounded and without what looks like a secret.
func (e *Entry) clean(text string, most int) string {
	if text == "" {
		return ""
	}
	if e.Redact != nil {
		text = e.Redact(text)
	}
	if len(text) >= shortestSecret {
		text = secretForm.ReplaceAllString(text, "[redacted]")
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}

// shortestSecret is the least that secretForm is looked for in.
const shortestSecret = 20
