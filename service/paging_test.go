package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// A book is a collection of pages whose links a test writes, behind a gRPC server of
// its own, all within one bubble: time passes only when everybody waits.
type book struct {
	// links lead from each page to the next; from what is not in it, nowhere.
	links map[string]string
	size  int // of a page, in bytes
	asked atomic.Int32
	ended chan error // how the handler ended
	conn  *grpc.ClientConn
}

// open serves a book to a client whose library takes as many bytes before anybody
// reads them. What it returns ends it.
func (b *book) open(t *testing.T, window int32) (end func()) {
	t.Helper()
	b.ended = make(chan error, 1)
	l := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.ForceServerCodecV2(newPassthrough()), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		in := new(frame)
		defer in.release()
		if err := stream.RecvMsg(in); err != nil {
			return err
		}
		p := paging{operation: &apiv1.Operation{Id: "getPages"}, lifetime: context.Background(), ask: b.ask, write: b.write}
		err := p.run(stream.Context(), stream, &broker.Call{Path: "/pages", Query: "a"})
		b.ended <- err
		return err
	}))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	var err error
	b.conn, err = grpc.NewClient("passthrough:///book", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(16<<20))
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = b.conn.Close()
		server.Stop()
		<-served
	}
}

func (b *book) ask(_ context.Context, c *broker.Call) (*broker.Answer, error) {
	b.asked.Add(1)
	a := new(broker.Answer)
	if to, ok := b.links[c.Query]; ok {
		a.Next = &dashboard.Link{Path: c.Path, Query: to}
	}
	return a, nil
}

// write makes a google.protobuf.BytesValue of the size asked for.
func (b *book) write(context.Context, *broker.Answer) (*frame, error) {
	var room *reservation
	page := make([]byte, b.size)
	wire, err := newPassthrough().Marshal(wrapperspb.Bytes(page))
	return room.answer(wire.Materialize()), err
}

// read opens a stream of the pages.
func (b *book) read(ctx context.Context, t *testing.T, how ...grpc.CallOption) (next func() error) {
	t.Helper()
	stream, err := b.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/book/Pages", how...)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(new(emptypb.Empty)), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	return func() error { return stream.RecvMsg(new(wrapperspb.BytesValue)) }
}

// pagesInARow is a book of n pages, a, b, c...
func pagesInARow(n, size int) *book {
	b := &book{links: make(map[string]string), size: size}
	for i := range n - 1 {
		b.links[string(rune('a'+i))] = string(rune('a' + i + 1))
	}
	return b
}

// TestNextPageIsAskedForWhenThisOneIsThere: not before, pageDelay later, and not at
// all for a client that has left by then. However large the page, or small.
func TestNextPageIsAskedForWhenThisOneIsThere(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 100, 1 << 10, 400 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const pages = 5
				b := pagesInARow(pages, size)
				defer b.open(t, 64<<10)()
				next := b.read(t.Context(), t)
				start := time.Now()
				for want := range pages {
					if err := next(); err != nil {
						t.Fatal(err)
					}
					synctest.Wait() // the page is there, and everybody waits for the pageDelay to end
					if got := int(b.asked.Load()); got != want+1 {
						t.Fatalf("%d pages are asked for when the client has read %d", got, want+1)
					}
				}
				if err := next(); !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				// grpc-go's client gives room back as the application reads; the rest of
				// the time is breaths.
				if took := time.Since(start); took != (pages-1)*pageDelay {
					t.Errorf("%d pages took %v", pages, took)
				}
				if err := <-b.ended; err != nil {
					t.Error(err)
				}

				ctx, leave := context.WithCancel(t.Context())
				b.asked.Store(0)
				if err := b.read(ctx, t)(); err != nil {
					t.Fatal(err)
				}
				leave()
				if err := <-b.ended; fault.As(err) == nil || fault.As(err).Kind != fault.Cancelled {
					t.Errorf("the client left, and the handler ended with %v", err)
				}
				if got := b.asked.Load(); got != 1 {
					t.Errorf("%d pages were asked for, one was read", got)
				}
			})
		})
	}
}

// TestNothingIsAskedForWhileAPageIsNotTaken: a page that does not fit the client's
// window stays, and nothing is asked for meanwhile, for as long as that takes.
func TestNothingIsAskedForWhileAPageIsNotTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := pagesInARow(3, 100<<10) // the window and a half
		defer b.open(t, 64<<10)()
		ctx, leave := context.WithCancel(t.Context())
		next := b.read(ctx, t)
		time.Sleep(10 * time.Minute)
		if got := b.asked.Load(); got != 1 {
			t.Errorf("%d pages were asked for, none was read", got)
		}
		if err := next(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		if got := b.asked.Load(); got != 2 {
			t.Errorf("%d pages were asked for, one was read", got)
		}
		leave()
		err := <-b.ended
		if f := fault.As(err); f == nil || f.Kind != fault.Cancelled || !strings.Contains(f.Detail, "page 2") {
			t.Errorf("the client left, and the handler ended with %v", err)
		}
	})
}

// TestCompressingClient: it gets its pages as they are, because gRPC would not say
// when a compressed one has gone out, and no more is asked for than for any other.
func TestCompressingClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := pagesInARow(5, 200<<10)
		defer b.open(t, 64<<10)()
		next := b.read(t.Context(), t, grpc.UseCompressor(gzip.Name))
		time.Sleep(10 * time.Minute)
		if got := b.asked.Load(); got != 1 {
			t.Errorf("%d pages were asked for, none was read", got)
		}
		var pages int
		for next() == nil {
			pages++
		}
		if err := <-b.ended; err != nil || pages != 5 {
			t.Errorf("%d pages, %v", pages, err)
		}
	})
}

// TestLinksInACircle end the stream: on the page itself as the vendor's last pages
// do, on an earlier one as what cannot be the end.
func TestLinksInACircle(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		links map[string]string
		pages int32
		code  codes.Code
	}{
		{"to itself", map[string]string{"a": "b", "b": "b"}, 2, codes.OK},
		{"of two", map[string]string{"a": "b", "b": "a"}, 2, codes.Internal},
		{"of three, later", map[string]string{"a": "b", "b": "c", "c": "d", "d": "b"}, 4, codes.Internal},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := &book{links: row.links, size: 100}
				defer b.open(t, 64<<10)()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				next := b.read(ctx, t)
				var read int32
				for next() == nil {
					read++
				}
				err := <-b.ended
				if f := fault.As(err); row.code == codes.OK && err != nil || row.code != codes.OK && (f == nil || f.Reason != "PAGES_IN_A_CIRCLE" || failureOf(f, about{}).code != row.code) {
					t.Errorf("the stream ended with %v (%v)", err, status.Code(err))
				}
				if asked := b.asked.Load(); asked != row.pages || read != row.pages {
					t.Errorf("%d pages were asked for, %d read, want %d", asked, read, row.pages)
				}
			})
		})
	}
}
