package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
)

// LogHandler adds trace_id and span_id to the lines that belong to a call. Also
// where this process sends no traces: then they are those that the caller sent,
// so that its trace leads to the line.
func LogHandler(h slog.Handler) slog.Handler { return ids{h} }

type ids struct{ slog.Handler }

// Handle adds the ids.
func (h ids) Handle(ctx context.Context, r slog.Record) error {
	if sc := spanOf(ctx); sc.IsValid() {
		r = r.Clone() // its attributes may be shared with other handlers
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the ids in what is derived.
func (h ids) WithAttrs(attrs []slog.Attr) slog.Handler { return ids{h.Handler.WithAttrs(attrs)} }

// WithGroup keeps the ids in what is derived.
func (h ids) WithGroup(name string) slog.Handler { return ids{h.Handler.WithGroup(name)} }

// spanOf is the span of a call: ours, or else the one that the caller is in.
func spanOf(ctx context.Context) trace.SpanContext {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		return sc
	}
	parent := metadata.ValueFromIncomingContext(ctx, "traceparent")
	if len(parent) != 1 {
		return trace.SpanContext{}
	}
	carrier := propagation.MapCarrier{"traceparent": parent[0]}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(ctx, carrier))
}
