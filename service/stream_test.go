package service_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
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

// TestStreamStopsWhenNobodyReads: what a caller does not read is not fetched, as
// far as its library's window reaches. This one is fixed at what HTTP/2 begins
// with; grpc-go's own grows with the connection, up to 16 MiB. The pages are
// larger than that window.
func TestStreamStopsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	const window = 64 << 10
	h := build(t, plan{broker: fast, sandbox: sandbox.Options{Organizations: 1, NetworksPerOrganization: 20_000, DevicesPerNetwork: 1}})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := h.contract.RPC("/meraki.organizations.v1.OrganizationsService/StreamOrganizationNetworks")
	in := dynamicpb.NewMessage(m.Descriptor.Input())
	in.Set(in.Descriptor().Fields().ByName("organization_id"), protoreflect.ValueOfString(h.sandbox.OrganizationID(0)))
	in.Set(in.Descriptor().Fields().ByName("per_page"), protoreflect.ValueOfInt64(1000))
	conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(in); err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	// Nothing is read. Twenty other calls go by, one after the other, which is
	// time enough for the stream to run ahead if it would.
	for range 20 {
		if _, err := h.call(ctx, t, "getOrganization", map[string]any{"organization_id": h.sandbox.OrganizationID(0)}); err != nil {
			t.Fatal(err)
		}
	}
	asked := h.sandbox.Organization(h.sandbox.OrganizationID(0)).Operations["getOrganizationNetworks"].Arrived
	// The first page fills the window of the client's library, and the rest of it
	// waits in the transport.
	if asked > 1 {
		t.Errorf("%d pages were asked for, none was read", asked)
	}
	out := dynamicpb.NewMessage(m.Descriptor.Output())
	if err := stream.RecvMsg(out); err != nil {
		t.Fatal(err)
	}
	if got := len(items(out)); got != 1000 {
		t.Errorf("the first page has %d rows", got)
	}
}
