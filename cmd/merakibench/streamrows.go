package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/merakibroker/merakibroker/cmd/merakibench/internal/figure"
	"github.com/merakibroker/merakibroker/service/sandbox"
)

// The rows of the stream: all devices of an organization.
const (
	streamedRows = 5000
	streamedPage = 1000
)

const streamMethod = "/meraki.organizations.v1.OrganizationsService/StreamOrganizationDevices"

func streamRows(ctx context.Context, r *run) error {
	s, err := r.smallSite(sandbox.Options{LimitsOff: true}, streamedRows/100, 100)
	if err != nil {
		return err
	}
	replicas, err := r.replicas(ctx, s, fleet{count: 1, more: unlimited})
	if err != nil {
		return err
	}
	to := replicas[0]
	own, err := r.intake(to) // with the window that grpc-go makes for itself
	if err != nil {
		return err
	}
	var lead, first, all figure.Sample
	rounds := r.number(20, 3)
	page, rows := 0, 0
	for i := range rounds {
		r.progress.says("stream %d of %d", i+1, rounds)
		before := len(s.all())
		got, err := pages(ctx, s, own, 0, streamedPage)
		if err != nil {
			return err
		}
		visits := s.all()[before:]
		if len(visits) < 2 || len(got.at) < 2 {
			return errors.New("the answer has no second page")
		}
		page, rows = got.largest, len(got.at)*streamedPage
		lead = append(lead, visits[1].at.Sub(got.at[0]).Seconds()*1e3)
		first = append(first, got.at[0].Sub(got.begun).Seconds()*1e3)
		all = append(all, got.at[len(got.at)-1].Sub(got.begun).Seconds()*1e3)
	}
	r.measured()
	r.figure("second page asked for so long after the first is at the client, p50", lead.Percentile(50), figure.Millis, figure.AtLeast(0))
	r.figure("first page at the client, p50", first.Percentile(50), figure.Millis, figure.Aim{})
	r.figure("all rows at the client, p50", all.Percentile(50), figure.Millis, figure.Aim{})

	// Clients that read a page and then nothing, of two kinds.
	n := r.number(40, 10)
	fixed, err := r.intake(to, grpc.WithStaticStreamWindowSize(leastWindow), grpc.WithStaticConnWindowSize(maxWindow))
	if err != nil {
		return err
	}
	r.progress.says("%d clients that stop reading, their window fixed", n)
	narrow, err := stalled(ctx, r, s, to, fixed, n)
	if err != nil {
		return err
	}
	r.progress.says("%d clients that stop reading", n)
	wide, err := stalled(ctx, r, s, to, own, n)
	if err != nil {
		return err
	}
	in := func(bytes float64) float64 { return bytes / float64(page) }
	r.figure("pages asked for a client that stops after the first, its window fixed at 64 KiB", narrow.asked, figure.Count, figure.AtMost(2))
	r.figure("pages asked for one whose window grows", wide.asked, figure.Count, figure.Aim{})
	r.figure("of these, pages that are at the client, unread", in(wide.arrived)-1, figure.Count, figure.Aim{})
	r.figure("memory that the broker holds for such a stream, in pages", max(in(narrow.held), in(wide.held)), figure.Count, figure.AtMost(2))
	r.figure("resident memory for such a stream, in pages", max(in(narrow.resident), in(wide.resident)), figure.Count, figure.Aim{})
	r.note("A stream of %d rows in pages of %d, %d KB each as protobuf; %d streams one after the other, then twice %d at once whose clients take one page and stop.", rows, streamedPage, page/1000, rounds, n)
	r.note("The client's time and the sandbox's are of one clock. The next page is asked for 10 ms after the last byte of this one has gone out to the client, into room that the client's library says it has. HTTP/2 has no means to leave a window empty that was offered: with 64 KiB, which is where it begins, that is a part of one page; with grpc-go, whose window grows with the connection up to 16 MiB, it can be all of a stream. These pages are asked for, and in the client's memory.")
	r.note("What the broker holds is its heap after two collections, since the first leaves what is kept for reuse, with the streams less without: one page on its way out, and what a call takes. Resident is what the kernel sees before that, with what passed and has not been collected. Of both, the larger of the two kinds of client.")
	return nil
}

// leastWindow is what HTTP/2 gives a stream unless more is said; maxWindow keeps the
// connection's out of the way.
const leastWindow, maxWindow = 64 << 10, 64 << 20

// An intake is a connection to a replica, and how much has come over it.
type intake struct {
	*grpc.ClientConn
	arrived atomic.Int64
}

// intake makes a connection that ends with the scenario.
func (r *run) intake(to *replica, more ...grpc.DialOption) (*intake, error) {
	out := new(intake)
	var err error
	out.ClientConn, err = grpc.NewClient(to.address, append(more, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			return &counted{c, &out.arrived}, err
		}))...)
	if err != nil {
		return nil, err
	}
	r.closing(func() { _ = out.Close() })
	return out, nil
}

// counted is a connection whose bytes are counted as they are taken from the kernel.
type counted struct {
	net.Conn
	arrived *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.arrived.Add(int64(n))
	return n, err
}

// A standstill is what a stream costs whose client takes one page and stops: pages,
// and bytes.
type standstill struct{ asked, arrived, held, resident float64 }

// stalled opens n such streams.
func stalled(ctx context.Context, r *run, s *site, to *replica, by *intake, n int) (*standstill, error) {
	heap, calm, err := memory(ctx, to)
	if err != nil {
		return nil, err
	}
	before, arrived := len(s.all()), by.arrived.Load()
	still, cancel := context.WithCancel(ctx)
	var under sync.WaitGroup
	defer under.Wait()
	defer cancel()
	for i := range n {
		// Pages of another size each: the same read would be shared.
		size := uint64(streamedPage - i)
		under.Go(func() { _, _ = pages(still, s, by, 1, size) }) // ends with the context
	}
	if err := pause(ctx, r.length(5*time.Second, 3*time.Second)); err != nil {
		return nil, err
	}
	full, err := to.child.usage() // before a collection that only the bench asks for
	if err != nil {
		return nil, err
	}
	var live float64
	for range 2 { // the first collection leaves what pools keep for reuse
		if live, _, err = memory(ctx, to); err != nil {
			return nil, err
		}
	}
	each := 1 / float64(n)
	return &standstill{
		asked:    float64(len(s.all())-before) * each,
		arrived:  float64(by.arrived.Load()-arrived) * each,
		held:     (live - heap) * each,
		resident: (full.resident - calm.resident) * each,
	}, nil
}

// memory is what a replica's heap holds after a collection, in bytes, and what the
// kernel says of it then.
func memory(ctx context.Context, of *replica) (heap float64, all usage, err error) {
	in, err := http.NewRequestWithContext(ctx, http.MethodGet, of.admin+"/debug/pprof/heap?gc=1&debug=1", nil)
	if err != nil {
		return 0, usage{}, err
	}
	answer, err := http.DefaultClient.Do(in)
	if err != nil {
		return 0, usage{}, err
	}
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20) // a line holds a whole stack
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "# HeapAlloc = "); ok {
			if heap, err = strconv.ParseFloat(rest, 64); err != nil {
				return 0, usage{}, err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return 0, usage{}, err
	}
	if heap == 0 {
		return 0, usage{}, errors.New("the daemon does not say what its heap holds")
	}
	all, err = of.child.usage()
	return heap, all, err
}

// got is what came of a stream.
type got struct {
	begun   time.Time
	at      []time.Time // of each page
	largest int
}

// pages reads a stream: to its end, or as many pages as said and then nothing
// until ctx ends.
func pages(ctx context.Context, s *site, conn *intake, stop int, perPage uint64) (*got, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-forwarded-client-cert", "URI="+caller{name: "reader"}.identity())
	out := &got{begun: time.Now()}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, streamMethod, grpc.ForceCodec(wire{}), grpc.MaxCallRecvMsgSize(64<<20))
	if err != nil {
		return nil, err
	}
	in := s.devicesPage(perPage)
	if err := errors.Join(stream.SendMsg(&in), stream.CloseSend()); err != nil {
		return nil, err
	}
	for {
		var page []byte
		if err := stream.RecvMsg(&page); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		out.at = append(out.at, time.Now())
		out.largest = max(out.largest, len(page))
		if stop > 0 && len(out.at) == stop {
			<-ctx.Done()
			return out, nil
		}
	}
}

// devicesPage is the request for an organization's devices, so many a page.
func (s *site) devicesPage(perPage uint64) []byte {
	fields := s.contract.RPC(streamMethod).Descriptor.Input().Fields()
	b := protowire.AppendTag(nil, fields.ByName("organization_id").Number(), protowire.BytesType)
	b = protowire.AppendString(b, s.organization)
	b = protowire.AppendTag(b, fields.ByName("per_page").Number(), protowire.VarintType)
	return protowire.AppendVarint(b, perPage)
}
