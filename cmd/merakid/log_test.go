package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
)

// TestLogLineLeadsToTheCallersTrace: a failed call's line is JSON and has the id of
// the trace that the caller is in, also without a collector; and it has no key.
func TestLogLineLeadsToTheCallersTrace(t *testing.T) {
	t.Parallel()
	p := launch(t, "sandbox: true\nlog: {format: json}\n")
	conn, err := grpc.NewClient(p.listen, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", "00-"+traceID+"-00f067aa0ba902b7-01")
	_, err = brokerv1.NewBrokerServiceClient(conn).Call(ctx, &brokerv1.CallRequest{Method: "GET", Path: "/organizations/none"})
	if status.Code(err) != codes.NotFound {
		t.Fatal(err)
	}
	p.await(ctx, "call failed")
	for line := range strings.Lines(p.said()) {
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil || entry["msg"] != "call failed" {
			continue
		}
		if entry["trace_id"] != traceID || entry["span_id"] == nil || entry["code"] != "NotFound" || entry["caller"] != "anonymous" {
			t.Errorf("the line is %s", line)
		}
	}
	if strings.Contains(p.said(), "0123456789012345678901234567890123456789") {
		t.Error("the key stands in the log")
	}
}
