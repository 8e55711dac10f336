package service_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/merakibroker/merakibroker/service/sandbox"
)

// pages opens the streaming twin of a list of networks, three rows a page.
func (h *harness) pages(ctx context.Context, t testing.TB, organization string) (grpc.ClientStream, func() (protoreflect.Message, error)) {
	t.Helper()
	m := h.contract.RPC("/meraki.organizations.v1.OrganizationsService/StreamOrganizationNetworks")
	if m == nil {
		t.Fatal("there is no streaming twin of getOrganizationNetworks")
	}
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	set := func(name string, v protoreflect.Value) {
		in.Set(in.Descriptor().Fields().ByName(protoreflect.Name(name)), v)
	}
	set("organization_id", protoreflect.ValueOfString(organization))
	set("per_page", protoreflect.ValueOfInt64(3))
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err == nil {
		err = stream.SendMsg(in)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err != nil {
		t.Fatal(err)
	}
	return stream, func() (protoreflect.Message, error) {
		out := dynamicpb.NewMessage(m.Descriptor.Output())
		return out, stream.RecvMsg(out)
	}
}

// TestStreamGoesOverAllPages: every row once, in order, a page a message.
func TestStreamGoesOverAllPages(t *testing.T) {
	t.Parallel()
	const networks = 20
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{Organizations: 1, NetworksPerOrganization: networks, DevicesPerNetwork: 1}})
	_, next := h.pages(context.Background(), t, h.sandbox.OrganizationID(0))
	seen := make(map[string]bool)
	pages := 0
	for {
		page, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, row := range items(page) {
			if id := text(row, "id"); seen[id] {
				t.Errorf("network %s comes twice", id)
			} else {
				seen[id] = true
			}
		}
	}
	if pages != 7 || len(seen) != networks {
		t.Errorf("%d pages with %d networks, want 7 with %d", pages, len(seen), networks)
	}
	if got := h.sandbox.Stats().Total.Arrived; got != pages {
		t.Errorf("%d requests for %d pages", got, pages)
	}
}

// TestStreamCancelledInTheMiddle: once the caller has left, no page is asked for
// but the one that was on its way.
func TestStreamCancelledInTheMiddle(t *testing.T) {
	t.Parallel()
	const read = 3
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{
		Organizations: 1, NetworksPerOrganization: 60, DevicesPerNetwork: 1, Latency: 100 * time.Millisecond,
	}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	_, next := h.pages(ctx, t, h.sandbox.OrganizationID(0))
	for range read {
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := next(); status.Code(err) != codes.Canceled {
		t.Fatalf("after cancelling: %v", err)
	}
	// The server notices on its own connection; one more call through the same
	// one comes after that.
	if _, err := h.call(context.Background(), t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)}); err != nil {
		t.Fatal(err)
	}
	pages := h.sandbox.Organization(h.sandbox.OrganizationID(0)).Operations["getOrganizationNetworks"].Arrived
	if pages > read+1 {
		t.Errorf("%d pages were asked for, %d were read", pages, read)
	}
}
