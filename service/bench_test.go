package service_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service"
	"github.com/merakibroker/merakibroker/service/identity"
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

// BenchmarkAlone is the same read without a connection and without a client: chain,
// identity by a mesh's header, policy, handler, and the broker's answer from what is
// kept.
func BenchmarkAlone(b *testing.B) {
	h := build(b, plan{
		broker: fast, sandbox: sandbox.Options{Organizations: 1, NetworksPerOrganization: 3},
		access: identity.Config{ForwardedClientCert: &identity.ProxyConfig{Trusted: []string{"127.0.0.1"}}},
		rules: identity.Rules{{
			Name: "all", Callers: []string{"*"}, Organizations: []string{"*"},
			Operations: []identity.Grant{{Section: "*", Verbs: []string{"read"}}},
		}},
	})
	m := h.contract.Operation("getOrganization")
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	in.Set(in.Descriptor().Fields().ByName("organization_id"), protoreflect.ValueOfString(h.sandbox.OrganizationID(0)))
	wire, err := proto.Marshal(in)
	if err != nil {
		b.Fatal(err)
	}
	call := h.server.Alone(m.Name, metadata.Pairs(
		":authority", "merakibroker:8443", "content-type", "application/grpc", "user-agent", "grpc-go/1.85.0",
		"x-forwarded-client-cert", `By=spiffe://mesh.example/ns/tools/sa/merakibroker;Hash=`+strings.Repeat("0a", 32)+`;Subject="";URI=spiffe://mesh.example/ns/shop/sa/orders`,
		"x-request-id", "3b0f2a1c-5d2e-4c53-9a0e-0c5f4a3c6f11", "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		"x-envoy-attempt-count", "1", "meraki-max-age", "3600",
	), wire)
	b.ReportAllocs()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(err)
		}
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
