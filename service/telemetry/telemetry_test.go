package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTracingSaysWhatIsWrong(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"": true, "http://collector:4317": true, "https://collector": true, "https://collector:4317/": true,
		"collector:4317": false, "unix:///run/otel": false, "http://": false, "https://user:word@collector": false,
		"http://collector:4317/v1/traces": false,
	} {
		if err := (&Tracing{Endpoint: endpoint}).Validate(); (err == nil) != ok {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	for _, ratio := range []float64{-0.1, 1.1} {
		if (&Tracing{Ratio: &ratio}).Validate() == nil {
			t.Errorf("ratio %g is taken", ratio)
		}
	}
}

// TestOffUnlessToldSo: the standard's own switches.
func TestOffUnlessToldSo(t *testing.T) {
	for _, row := range []struct {
		name     string
		endpoint string
		environ  map[string]string
		on       bool
	}{
		{"nothing", "", nil, false},
		{"the configuration", "http://collector:4317", nil, true},
		{"the environment", "", map[string]string{envEndpoint: "http://collector:4317"}, true},
		{"the environment, for traces", "", map[string]string{envTracesEndpoint: "http://collector:4317"}, true},
		{"no exporter", "", map[string]string{envEndpoint: "http://collector:4317", envTraces: "none"}, false},
		{"disabled", "http://collector:4317", map[string]string{envDisabled: "true"}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, key := range []string{envEndpoint, envTracesEndpoint, envTraces, envDisabled} {
				t.Setenv(key, row.environ[key])
			}
			if on := (&Tracing{Endpoint: row.endpoint}).On(); on != row.on {
				t.Errorf("on: %v", on)
			}
		})
	}
}

// TestGRPCMetrics: gRPC's own metrics stand where Prometheus reads ours, by the
// names that its exporter gives them; alerts and dashboards rely on these. None has a
// method, of which there are thousands.
func TestGRPCMetrics(t *testing.T) {
	t.Setenv(envEndpoint, "")
	t.Setenv(envTracesEndpoint, "")
	registry := prometheus.NewRegistry()
	watched, err := New(t.Context(), Tracing{}, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer watched.Close()
	if watched.traces != nil {
		t.Error("traces are sent without being asked for")
	}
	server := grpc.NewServer(watched.ServerOption())
	healthpb.RegisterHealthServer(server, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	_ = conn.Close()
	server.GracefulStop() // gRPC counts a call after it has been answered
	<-served

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := ""
			for _, l := range m.GetLabel() {
				labels += " " + l.GetName() + "=" + l.GetValue()
			}
			got[f.GetName()+labels] += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if h := m.GetHistogram(); h != nil && len(h.GetBucket()) > len(callSeconds) {
				t.Errorf("%s has %d buckets", f.GetName(), len(h.GetBucket()))
			}
		}
	}
	for _, want := range []string{
		"grpc_server_call_started_total",
		"grpc_server_call_duration_seconds grpc_status=OK",
		"grpc_server_call_sent_total_compressed_message_size_bytes grpc_status=OK",
		"grpc_server_call_rcvd_total_compressed_message_size_bytes grpc_status=OK",
	} {
		if got[want] != 3 {
			t.Errorf("%s is %v, want 3", want, got[want])
		}
		delete(got, want)
	}
	for name := range got {
		t.Errorf("unexpected: %s", name)
	}
}

// TestMetricsAreLeftOutWhenToldSo: then nothing is registered, and no call pays.
func TestMetricsAreLeftOutWhenToldSo(t *testing.T) {
	t.Setenv(envMetrics, "none")
	registry := prometheus.NewRegistry()
	watched, err := New(t.Context(), Tracing{}, registry, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	grpc.NewServer(watched.ServerOption()).Stop()
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("%d metrics, %v", len(families), err)
	}
	if err := watched.Close(); err != nil {
		t.Error(err)
	}
}

// TestLogLinesLeadToTheTrace: to our span where there is one, else to the caller's.
func TestLogLinesLeadToTheTrace(t *testing.T) {
	t.Parallel()
	const traceID, spanID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	caller := metadata.NewIncomingContext(context.Background(), metadata.Pairs("traceparent", "00-"+traceID+"-"+spanID+"-00"))
	ours := trace.ContextWithSpanContext(caller, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	broken := metadata.NewIncomingContext(context.Background(), metadata.Pairs("traceparent", "00-x-y-01"))
	for _, row := range []struct {
		name        string
		ctx         context.Context
		trace, span string
	}{
		{"none", context.Background(), "", ""},
		{"the caller's", caller, traceID, spanID},
		{"ours", ours, "01" + strings.Repeat("0", 30), "02" + strings.Repeat("0", 14)},
		{"broken", broken, "", ""},
	} {
		var out bytes.Buffer
		log := slog.New(LogHandler(slog.NewJSONHandler(&out, nil))).With("a", 1)
		log.InfoContext(row.ctx, "said", "b", 2)
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		gotTrace, _ := line["trace_id"].(string)
		gotSpan, _ := line["span_id"].(string)
		if gotTrace != row.trace || gotSpan != row.span || line["a"] != 1.0 || line["b"] != 2.0 {
			t.Errorf("%s: %s", row.name, out.String())
		}
	}
}

// TestComplaintsAreFew: a collector that is away is one line a minute.
func TestComplaintsAreFew(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := &complaints{log: slog.New(slog.NewTextHandler(&out, nil))}
	for range 100 {
		c.Handle(context.DeadlineExceeded)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}
