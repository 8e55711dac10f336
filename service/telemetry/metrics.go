package telemetry

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/stats/opentelemetry"
)

// Buckets in seconds and bytes. gRPC's own defaults are 41 and 14, which is finer than
// a Dashboard that takes a tenth of a second needs.
var (
	callSeconds = []float64{.001, .005, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60}
	callBytes   = []float64{1 << 10, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}
)

// mostSeries bounds the series of each metric; what comes after shares one with
// the label otel_metric_overflow.
const mostSeries = 2000

// serverMetrics are those that gRPC's proposal A66 defines for servers.
func serverMetrics() *stats.MetricSet {
	return stats.NewMetricSet(
		opentelemetry.ServerCallStartedMetricName,
		opentelemetry.ServerCallDurationMetricName,
		opentelemetry.ServerCallSentCompressedTotalMessageSizeMetricName,
		opentelemetry.ServerCallRcvdCompressedTotalMessageSizeMetricName,
	)
}

// newMeters makes what gRPC writes its metrics to readable by Prometheus.
func newMeters(r prometheus.Registerer) (*sdkmetric.MeterProvider, error) {
	exporter, err := otelprom.New(otelprom.WithRegisterer(r), otelprom.WithoutScopeInfo(), otelprom.WithoutTargetInfo())
	if err != nil {
		return nil, fmt.Errorf("gRPC's metrics: %w", err)
	}
	return sdkmetric.NewMeterProvider(
		sdkmetric.WithReader(exporter),
		sdkmetric.WithResource(resource.Empty()),
		sdkmetric.WithCardinalityLimit(mostSeries),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
		sdkmetric.WithView(
			sdkmetric.NewView(sdkmetric.Instrument{Name: "grpc.server.call.started"}, sdkmetric.Stream{AttributeFilter: noMethod}),
			buckets("grpc.server.call.duration", callSeconds),
			buckets("grpc.server.call.*_size", callBytes),
		),
	), nil
}

// noMethod drops the method. With one RPC for each of a thousand operations, and 28
// series for each of them and its statuses, a replica had 77,968 series. Calls by
// operation are merakibroker_calls_total, their time by service merakibroker_call_seconds.
var noMethod = attribute.NewDenyKeysFilter("grpc.method")

// buckets gives the histograms of a name their bounds. Least and most are left
// out: Prometheus has no place for them.
func buckets(name string, bounds []float64) sdkmetric.View {
	return sdkmetric.NewView(sdkmetric.Instrument{Name: name},
		sdkmetric.Stream{AttributeFilter: noMethod, Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: bounds, NoMinMax: true}})
}
