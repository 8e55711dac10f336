package service_test

import (
	"context"
	"encoding/hex"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

// A traceCollector takes spans over OTLP, as a real one does.
type traceCollector struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*tracev1.Span
}

func (c *traceCollector) Export(_ context.Context, in *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		for _, s := range r.GetScopeSpans() {
			c.spans = append(c.spans, s.GetSpans()...)
		}
	}
	return new(collector.ExportTraceServiceResponse), nil
}

// traced builds a house whose traces go to a collector. flush sends what there is,
// ends the tracing, and gives all spans.
func traced(t *testing.T, p plan) (h *harness, flush func() []*tracev1.Span) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := new(traceCollector), grpc.NewServer()
	collector.RegisterTraceServiceServer(server, c)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	watched, err := telemetry.New(t.Context(), telemetry.Tracing{Endpoint: "http://" + l.Addr().String()}, prometheus.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	p.server = func(c *service.Config) { c.Options = append(c.Options, watched.ServerOption()) }
	h = build(t, p)
	return h, func() []*tracev1.Span {
		// gRPC ends the span of a call after it has answered: the house is closed first.
		_ = h.conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		h.server.Stop(ctx, 0)
		if err := watched.Close(); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.spans
	}
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// withTrace is the context of a caller that is traced itself.
func withTrace(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
}

// attributes of a span, as text.
func attributes(s *tracev1.Span) map[string]string {
	all := make(map[string]string)
	for _, a := range s.GetAttributes() {
		switch v := a.GetValue(); {
		case v.GetStringValue() != "":
			all[a.GetKey()] = v.GetStringValue()
		default:
			all[a.GetKey()] = strings.TrimSpace(v.String())
		}
	}
	return all
}

// story is the spans below the first that gRPC began, in the order of time.
func story(t *testing.T, spans []*tracev1.Span) (rpc *tracev1.Span, names []string, inside []*tracev1.Span) {
	t.Helper()
	for _, s := range spans {
		if strings.HasPrefix(s.GetName(), "Recv.") {
			rpc = s
		}
	}
	if rpc == nil {
		t.Fatalf("no span of the RPC among %d", len(spans))
	}
	for _, s := range spans {
		if string(s.GetParentSpanId()) == string(rpc.GetSpanId()) {
			inside = append(inside, s)
			names = append(names, strings.TrimPrefix(s.GetName(), "meraki."))
		}
	}
	return rpc, names, inside
}

// TestTraceFromTheCallerToEachAttempt: one trace, from the caller's own span, over
// the wait and an attempt that failed, to the one that did not.
func TestTraceFromTheCallerToEachAttempt(t *testing.T) {
	t.Parallel()
	h, flush := traced(t, plan{broker: fast})
	if err := h.sandbox.AddScript(sandbox.Script{
		Operation: "getNetworkAlertsSettings", Times: 1, Faults: []sandbox.Fault{{Kind: sandbox.FaultStatus, Status: 502}},
	}); err != nil {
		t.Fatal(err)
	}
	ctx := withOrganization(withTrace(t.Context()), h.sandbox.OrganizationID(0))
	network := h.sandbox.NetworkID(0, 0)
	if _, err := h.call(ctx, t, "getNetworkAlertsSettings", map[string]any{"network_id": network}); err != nil {
		t.Fatal(err)
	}
	spans := flush()
	rpc, names, inside := story(t, spans)
	if hex.EncodeToString(rpc.GetTraceId()) != callersTrace || hex.EncodeToString(rpc.GetParentSpanId()) != callersSpan {
		t.Errorf("the trace is %x, below %x", rpc.GetTraceId(), rpc.GetParentSpanId())
	}
	if got := strings.Join(names, " "); got != "queue attempt again attempt" && got != "attempt again attempt" {
		t.Errorf("the story is %s", got)
	}
	about := attributes(rpc)
	if about["meraki.operation"] != "getNetworkAlertsSettings" || about["meraki.caller"] != "anonymous" || about["meraki.cache"] != "miss" ||
		about["meraki.organization_id"] != "" { // the caller's hint is not told as a fact
		t.Errorf("the call's attributes are %v", about)
	}
	var statuses []string
	last := rpc.GetStartTimeUnixNano()
	for _, s := range inside {
		if s.GetStartTimeUnixNano() < last {
			t.Errorf("%s begins before what was before it has ended", s.GetName())
		}
		if last = s.GetEndTimeUnixNano(); last > rpc.GetEndTimeUnixNano() {
			t.Errorf("%s ends after the call", s.GetName())
		}
		if a := attributes(s); s.GetName() == "meraki.attempt" {
			statuses = append(statuses, a["meraki.outcome"], a["http.response.status_code"], s.GetStatus().GetCode().String())
		}
	}
	if got := strings.Join(statuses, " "); got != "gateway_error int_value:502 STATUS_CODE_ERROR ok int_value:200 STATUS_CODE_UNSET" {
		t.Errorf("the attempts are %s", got)
	}
	for _, s := range spans {
		if strings.Contains(s.String(), network) {
			t.Errorf("a filled path stands in %s", s)
		}
	}
}

// TestTraceOfARefusal: where a call was when it was refused.
func TestTraceOfARefusal(t *testing.T) {
	t.Parallel()
	h, flush := traced(t, plan{})
	h.broker.Drain()
	_, err := h.call(withTrace(t.Context()), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)})
	if status.Code(err) != codes.Unavailable {
		t.Fatal(err)
	}
	rpc, names, inside := story(t, flush())
	if strings.Join(names, " ") != "queue" || attributes(inside[0])["meraki.refused"] != "draining" {
		t.Fatalf("the story is %v", inside)
	}
	if rpc.GetStatus().GetCode() != tracev1.Status_STATUS_CODE_ERROR {
		t.Errorf("the call's status is %v", rpc.GetStatus())
	}
}

// TestSharedAttemptIsInEveryTrace: callers who wait for one and the same answer
// each see the attempt.
func TestSharedAttemptIsInEveryTrace(t *testing.T) {
	t.Parallel()
	const callers = 5
	h, flush := traced(t, plan{broker: fast, sandbox: sandbox.Options{Latency: 300 * time.Millisecond}})
	each(callers, callers, func(int) {
		if _, err := h.call(t.Context(), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)}); err != nil {
			t.Error(err)
		}
	})
	attempts, shared := 0, 0
	for _, s := range flush() {
		if s.GetName() == "meraki.attempt" {
			attempts++
			if _, ok := attributes(s)["meraki.shared"]; ok {
				shared++
			}
		}
	}
	if n := h.broker.Attempts(); n != 1 || attempts != callers || shared != callers-1 {
		t.Errorf("%d attempts were made; %d stand in the traces, %d as shared", n, attempts, shared)
	}
}

// TestTraceShowsTheSearchForTheOwner: where the first call on a network goes slower
// than the second.
func TestTraceShowsTheSearchForTheOwner(t *testing.T) {
	t.Parallel()
	h, flush := traced(t, plan{broker: fast, sandbox: sandbox.Options{Latency: 20 * time.Millisecond}})
	if _, err := h.call(t.Context(), t, "getNetworkAlertsSettings", map[string]any{"network_id": h.sandbox.NetworkID(0, 0)}); err != nil {
		t.Fatal(err)
	}
	_, names, inside := story(t, flush())
	if len(names) < 2 || names[0] != "owner" || names[len(names)-1] != "attempt" {
		t.Fatalf("the story is %v", names)
	}
	if took := time.Duration(inside[0].GetEndTimeUnixNano() - inside[0].GetStartTimeUnixNano()); took < 20*time.Millisecond {
		t.Errorf("the search took %v", took)
	}
}
