package service_test

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// TestEventsEndWhereTheRecordsBegin: links backward lead on through empty pages for
// ever. The stream sends none of these on but the first, and ends before 2014.
func TestEventsEndWhereTheRecordsBegin(t *testing.T) {
	t.Parallel()
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{LimitsOff: true, Wire: sandbox.Wire{EndlessEvents: true}}})
	in := h.request(t, "getNetworkEvents", map[string]any{
		"network_id": h.sandbox.NetworkID(0, 0), "product_type": "wireless", "ending_before": "2014-02-10T00:00:00Z",
	})
	var stream *dynamicpb.Message
	for _, m := range h.contract.Methods() {
		if m.Streaming && m.Operation.GetId() == "getNetworkEvents" {
			client, err := h.conn.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true}, m.Name)
			if err != nil {
				t.Fatal(err)
			}
			if err := client.SendMsg(in); err != nil {
				t.Fatal(err)
			}
			if err := client.CloseSend(); err != nil {
				t.Fatal(err)
			}
			pages := 0
			for {
				stream = dynamicpb.NewMessage(m.Descriptor.Output())
				err := client.RecvMsg(stream)
				if err != nil {
					if err.Error() != "EOF" {
						t.Fatal(err)
					}
					break
				}
				pages++
			}
			arrived := h.sandbox.Stats().Total.Arrived
			if pages != 1 || arrived < 30 || arrived > 60 {
				t.Errorf("%d pages were sent, %d requests made", pages, arrived)
			}
			return
		}
	}
	t.Fatal("no streaming twin of getNetworkEvents")
}
