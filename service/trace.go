package service

import (
	"cmp"
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// The spans inside the one that gRPC begins for each RPC. They follow each other
// without a gap, so that a trace shows where the time went.
const (
	// spanOwner: finding out which organization pays, before anything waits.
	spanOwner = "meraki.owner"
	// spanQueue: waiting for the slot of the first attempt.
	spanQueue = "meraki.queue"
	// spanAttempt: one HTTP request to the Dashboard.
	spanAttempt = "meraki.attempt"
	// spanAgain: backing off, and waiting for the slot of one more attempt.
	spanAgain = "meraki.again"
)

// shortestOwner is below what a look-up can take: the rest is arithmetic.
const shortestOwner = time.Millisecond

// tracerName says in the traces who made a span.
const tracerName = "github.com/merakibroker/merakibroker/service"

// do makes a call. A write that its caller has named is made once.
func (s *Server) do(ctx context.Context, c *broker.Call) (*broker.Answer, error) {
	if c.Name == "" || c.Operation.GetVerb() == apiv1.Verb_VERB_GET {
		return s.make(ctx, c)
	}
	result, err := s.outcomes.Do(ctx, outcome.Write{
		Caller: c.Caller, Operation: c.Operation.GetId(), Name: c.Name,
		Verb: c.Operation.GetVerb(), Path: c.Path, Query: c.Query, Body: c.Body, Finish: finish(ctx, c, s.outcomes.Grace()),
	}, func(ctx context.Context) (*broker.Answer, error) { return s.make(ctx, c) })
	if err != nil {
		return nil, err
	}
	return result.Answer, nil
}

// finish is when a named write has to be done at the latest, also after its caller
// has left.
func finish(ctx context.Context, c *broker.Call, grace time.Duration) time.Time {
	if at, ok := ctx.Deadline(); ok {
		return at.Add(grace)
	}
	return time.Now().Add(cmp.Or(c.Deadline, time.Minute) + grace)
}

// make makes a call, and shows in the caller's trace what it met. The spans are
// drawn afterwards, from what the broker says of every attempt: an answer may be
// shared by many callers, each with a trace of its own, and the attempt belongs
// into all of them. Nothing is done for a call that nobody traces. The trace ends
// here: the vendor is told nothing of it.
func (s *Server) make(ctx context.Context, c *broker.Call) (*broker.Answer, error) {
	rpc := trace.SpanFromContext(ctx)
	if !rpc.IsRecording() {
		return s.broker.Do(ctx, c)
	}
	d := callSpans{
		ctx: ctx, tracer: rpc.TracerProvider().Tracer(tracerName), operation: c.Operation.GetId(),
		at: time.Now(),
	}
	rpc.SetAttributes(
		attribute.String("meraki.operation", d.operation),
		attribute.String("meraki.caller", c.Caller),
		attribute.String("meraki.priority", c.Priority.String()),
	)
	answer, err := s.broker.Do(ctx, c)
	if err != nil {
		d.failed(fault.As(err), time.Now())
		return nil, err
	}
	rpc.SetAttributes(attribute.String("meraki.cache", answer.Cache))
	if answer.Organization != "" {
		rpc.SetAttributes(attribute.String("meraki.organization_id", answer.Organization))
	}
	d.answered(answer)
	return answer, nil
}

// callSpans puts the stages of a call one after the other.
type callSpans struct {
	ctx       context.Context
	tracer    trace.Tracer
	operation string
	// at is how far it has come.
	at     time.Time
	shared bool
}

// answered draws a call that succeeded.
func (d *callSpans) answered(a *broker.Answer) {
	d.shared = a.Cache == broker.CacheCoalesced
	if len(a.Attempts) == 1 && !d.shared {
		// All of the queue lies before this attempt, so the rest of the time before
		// it is known too.
		if queued := a.Attempts[0].Start.Add(-a.Queue); queued.Sub(d.at) > shortestOwner {
			d.until(queued, spanOwner)
		}
	}
	d.attempts(a.Attempts)
}

// failed draws a call that was given up, or refused.
func (d *callSpans) failed(f *fault.Error, now time.Time) {
	if f == nil {
		return
	}
	d.attempts(f.Attempts)
	name := spanAgain
	if len(f.Attempts) == 0 {
		name = spanQueue
	} else if now.Sub(d.at) < shortestOwner {
		return // it ended with the attempt
	}
	span := d.begin(name, d.at)
	span.SetAttributes(attribute.String("meraki.refused", f.Kind.String()))
	if f.Budget != "" {
		span.SetAttributes(attribute.String("meraki.budget", f.Budget))
	}
	span.SetStatus(codes.Error, f.Kind.String())
	span.End(trace.WithTimestamp(now))
}

func (d *callSpans) attempts(all []fault.Attempt) {
	for i, a := range all {
		if i == 0 {
			d.until(a.Start, spanQueue)
		} else {
			d.until(a.Start, spanAgain)
		}
		d.attempt(i+1, a)
	}
}

// until draws what lay between: nothing, where an attempt that others had begun
// was joined.
func (d *callSpans) until(t time.Time, name string) {
	if t.After(d.at) {
		d.begin(name, d.at).End(trace.WithTimestamp(t))
		d.at = t
	}
}

func (d *callSpans) attempt(number int, a fault.Attempt) {
	span := d.begin(spanAttempt, a.Start, trace.WithSpanKind(trace.SpanKindClient))
	span.SetAttributes(
		attribute.String("meraki.operation", d.operation),
		attribute.Int("meraki.attempt", number),
		attribute.String("meraki.outcome", a.Outcome.String()),
	)
	if a.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", a.Status))
	}
	if d.shared {
		span.SetAttributes(attribute.Bool("meraki.shared", true))
	}
	if a.Outcome != fault.OK {
		span.SetStatus(codes.Error, a.Outcome.String())
	}
	d.at = a.Start.Add(a.Duration)
	span.End(trace.WithTimestamp(d.at))
}

func (d *callSpans) begin(name string, at time.Time, options ...trace.SpanStartOption) trace.Span {
	_, span := d.tracer.Start(d.ctx, name, append(options, trace.WithTimestamp(at))...)
	return span
}
