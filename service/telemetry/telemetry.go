// Package telemetry is how the broker is watched from outside by the OpenTelemetry
// standard: gRPC's own metrics, beside the broker's, where Prometheus reads them;
// traces, sent to a collector by OTLP when there is one; and the trace's id in
// every log line. It knows nothing of the Dashboard: what a call's trace holds is
// decided where the call is made.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	experimental "google.golang.org/grpc/experimental/opentelemetry"
	"google.golang.org/grpc/stats/opentelemetry"

	"github.com/merakibroker/merakibroker/service/setting"
)

// Tracing says where traces go. Off unless an endpoint is named here or in the
// standard environment (OTEL_EXPORTER_OTLP_ENDPOINT or, for traces alone,
// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); the other OTEL_ variables of exporter,
// sampler, batches and resource count as the standard says.
type Tracing struct {
	// Endpoint of a collector that takes OTLP over gRPC: http://host:4317 in
	// plain text, https:// with TLS. It wins over the environment.
	Endpoint string `yaml:"endpoint" jsonschema:"pattern=^https?://."`
	// Ratio of the traces begun here that are recorded, from 0 to 1. A caller who
	// has decided about its trace is followed in any case. When absent:
	// OTEL_TRACES_SAMPLER, and without that all.
	Ratio *float64 `yaml:"ratio" jsonschema:"minimum=0,maximum=1"`
}

// The variables that name a collector, or switch things off.
const (
	envEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envDisabled       = "OTEL_SDK_DISABLED"
	envTraces         = "OTEL_TRACES_EXPORTER"
	envMetrics        = "OTEL_METRICS_EXPORTER"
)

func disabled() bool { return strings.EqualFold(os.Getenv(envDisabled), "true") }

// On reports whether traces are to be sent.
func (t *Tracing) On() bool {
	if disabled() {
		return false
	}
	if t.Endpoint != "" {
		return true
	}
	return os.Getenv(envTraces) != "none" && (os.Getenv(envEndpoint) != "" || os.Getenv(envTracesEndpoint) != "")
}

// Validate says what is wrong, by key.
func (t *Tracing) Validate() error {
	var wrong setting.Errors
	if t.Ratio != nil && !(*t.Ratio >= 0 && *t.Ratio <= 1) {
		wrong.Wrong("ratio", "%g is not from 0 to 1", *t.Ratio)
	}
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.Scheme != "http" && u.Scheme != "https" {
			wrong.Wrong("endpoint", "%q is not http://host:port or https://host:port", t.Endpoint)
		}
	}
	return wrong.Err()
}

// Telemetry is what instruments the server. Close sends what is left.
type Telemetry struct {
	meters *sdkmetric.MeterProvider // nil when switched off
	traces *sdktrace.TracerProvider // nil when tracing is off
}

// New registers gRPC's metrics with r, and starts to send traces where t says so.
// The metrics cost about 4 us of a call; OTEL_METRICS_EXPORTER=none leaves them out.
// Most of that is the way to them: gRPC copies a call's metadata, and makes its
// contexts and events, as soon as anybody listens. The four metrics themselves are
// 0.9 us, and the two of message sizes 0.3 us of that, so they stay.
func New(ctx context.Context, t Tracing, r prometheus.Registerer, log *slog.Logger) (*Telemetry, error) {
	if err := t.Validate(); err != nil {
		return nil, err
	}
	out := new(Telemetry)
	var err error
	if !disabled() && os.Getenv(envMetrics) != "none" {
		if out.meters, err = newMeters(r); err != nil {
			return nil, err
		}
	}
	if !t.On() {
		return out, nil
	}
	// The library tells of failures through one place for the whole process.
	otel.SetErrorHandler(&complaints{log: log})
	out.traces, err = newTraces(ctx, t)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	return out, nil
}

// ServerOption makes a gRPC server count its calls, and begin a span for each
// where traces are sent.
func (t *Telemetry) ServerOption() grpc.ServerOption {
	var o opentelemetry.Options
	if t.meters != nil {
		o.MetricsOptions = opentelemetry.MetricsOptions{MeterProvider: t.meters, Metrics: serverMetrics()}
	}
	if t.traces != nil {
		o.TraceOptions = experimental.TraceOptions{TracerProvider: t.traces, TextMapPropagator: propagation.TraceContext{}}
	}
	return opentelemetry.ServerOption(o)
}

// closeTime bounds the sending of the last spans: a collector that is gone must
// not hold up the end of the process.
const closeTime = 5 * time.Second

// Close sends what has not been sent, and stops.
func (t *Telemetry) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var err error
	if t.meters != nil {
		err = t.meters.Shutdown(ctx)
	}
	if t.traces != nil {
		err = errors.Join(err, t.traces.Shutdown(ctx))
	}
	return err
}
