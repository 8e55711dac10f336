package service_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/sandbox"
	"github.com/merakibroker/merakibroker/service/telemetry"
)

// BenchmarkCall is what the face costs: a read that is answered from what is kept,
// over a real connection, with and without what OpenTelemetry adds to it. Client
// and server share the processors.
func BenchmarkCall(b *testing.B) {
	none := 0.0
	for _, row := range []struct {
		name    string
		tracing *telemetry.Tracing
	}{
		{"plain", nil},
		{"metrics", &telemetry.Tracing{}},
		{"unsampled", &telemetry.Tracing{Endpoint: "http://127.0.0.1:1", Ratio: &none}},
		{"traced", &telemetry.Tracing{Endpoint: "http://127.0.0.1:1"}},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := plan{broker: fast, sandbox: sandbox.Options{Organizations: 1, NetworksPerOrganization: 3}}
			if row.tracing != nil {
				p.server = func(c *service.Config) { c.Options = append(c.Options, watched(b, *row.tracing).ServerOption()) }
			}
			h := build(b, p)
			ctx := metadata.AppendToOutgoingContext(context.Background(), "meraki-max-age", "3600")
			in := map[string]any{"organization_id": h.sandbox.OrganizationID(0)}
			b.ReportAllocs()
			before := processorTime(b)
			for b.Loop() {
				if _, err := h.call(ctx, b, "getOrganization", in); err != nil {
					b.Fatal(err)
				}
			}
			// What the clock says depends on who else is on the machine.
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// watched makes telemetry that nobody reads.
func watched(t testing.TB, tracing telemetry.Tracing) *telemetry.Telemetry {
	t.Helper()
	out, err := telemetry.New(context.Background(), tracing, prometheus.NewRegistry(), discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = out.Close() })
	return out
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
