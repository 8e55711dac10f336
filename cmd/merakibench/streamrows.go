package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
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
	var lead, first, all figure.Sample
	rounds := r.number(20, 3)
	page, rows := 0, 0
	for i := range rounds {
		r.progress.says("stream %d of %d", i+1, rounds)
		before := len(s.all())
		got, err := pages(ctx, s, to, 0, streamedPage)
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

	// Clients that read a page and then nothing: how much is asked for all the same.
	n := r.number(40, 10)
	r.progress.says("%d clients that stop reading", n)
	calm, err := to.child.usage()
	if err != nil {
		return err
	}
	before := len(s.all())
	still, cancel := context.WithCancel(ctx)
	defer cancel()
	var under sync.WaitGroup
	ahead := r.length(5*time.Second, 3*time.Second)
	for i := range n {
		// Pages of another size each: the same read would be shared.
		size := uint64(streamedPage - i)
		under.Go(func() { _, _ = pages(still, s, to, 1, size) }) // ends with the context
	}
	if err := pause(ctx, ahead); err != nil {
		return err
	}
	asked := figure.Per(float64(len(s.all())-before), float64(n))
	full, err := to.child.usage()
	if err != nil {
		return err
	}
	cancel()
	under.Wait()
	r.figure("pages asked for a client that stops after the first", asked, figure.Count, figure.AtMost(3))
	r.figure("memory of such a stream, in pages", (full.resident-calm.resident)/float64(n)/float64(page), figure.Count, figure.Aim{})
	r.note("A stream of %d rows in pages of %d, %d KB each as protobuf; %d streams one after the other, then %d at once whose clients take one page and stop.", rows, streamedPage, page/1000, rounds, n)
	r.note("The client's time and the sandbox's are of one clock. The next page is asked for when this one has been given to the connection, so that it is on its way while the client reads. A client that stops reading stops that once its library's window is full; grpc-go's grows with the connection, up to 16 MiB, so here nearly the whole stream is fetched before anybody reads it.")
	return nil
}

// got is what came of a stream.
type got struct {
	begun   time.Time
	at      []time.Time // of each page
	largest int
}

// pages reads a stream: to its end, or as many pages as said and then nothing
// until ctx ends.
func pages(ctx context.Context, s *site, to *replica, stop int, perPage uint64) (*got, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "x-forwarded-client-cert", "URI="+caller{name: "reader"}.identity())
	out := &got{begun: time.Now()}
	stream, err := to.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, streamMethod, grpc.ForceCodec(wire{}), grpc.MaxCallRecvMsgSize(64<<20))
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
