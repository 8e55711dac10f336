package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// serviceName stands in the traces unless OTEL_SERVICE_NAME says another.
const serviceName = "merakid"

// newTraces makes a provider that sends spans in batches. It does not wait for
// the collector: while that is away, spans are dropped once the queue is full,
// and no call is held up.
func newTraces(ctx context.Context, t Tracing) (*sdktrace.TracerProvider, error) {
	var to []otlptracegrpc.Option
	if t.Endpoint != "" {
		to = append(to, otlptracegrpc.WithEndpointURL(t.Endpoint))
	}
	exporter, err := otlptracegrpc.New(ctx, to...)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", serviceName)),
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithFromEnv(), // last, so that it wins
	)
	if err != nil {
		return nil, err
	}
	options := []sdktrace.TracerProviderOption{sdktrace.WithBatcher(exporter), sdktrace.WithResource(about)}
	if t.Ratio != nil {
		options = append(options, sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(*t.Ratio))))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

// complainEvery is how often a standing failure to send is logged.
const complainEvery = time.Minute

// complaints logs what OpenTelemetry cannot do: the first failure at once, then
// how many there were.
type complaints struct {
	log *slog.Logger

	mu    sync.Mutex
	last  time.Time
	count int
}

// Handle makes complaints an otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count++
	if now := time.Now(); now.Sub(c.last) >= complainEvery {
		c.log.Warn("telemetry cannot be sent", "error", err.Error(), "times", c.count)
		c.last, c.count = now, 0
	}
}
