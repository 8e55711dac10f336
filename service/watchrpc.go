package service

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/transcode"
	"github.com/merakibroker/merakibroker/service/watch"
)

// watchPart is how large the documents of one message of a watch are at the most, about:
// a client takes messages of 4 MiB unless it is told otherwise.
const watchPart = 1 << 20

// A watchService serves WatchService.
type watchService struct {
	brokerv1.UnimplementedWatchServiceServer
	*Server
}

// Watch sends the state of a read, and each new one that differs. A caller who may make
// the read may watch it.
func (s watchService) Watch(in *brokerv1.WatchRequest, stream grpc.ServerStreamingServer[brokerv1.WatchResponse]) error {
	ctx := stream.Context()
	m := s.contract.Request(in.GetRequest().GetTypeUrl())
	if m == nil {
		return fault.Bad("request", "request is %q, which is the request message of no operation", clip(in.GetRequest().GetTypeUrl(), 100))
	}
	r := s.rpcs[m.Name]
	plan, err := r.compile()
	if err != nil {
		return &fault.Error{Kind: fault.Internal, Operation: m.Operation.GetId(), Detail: "the broker failed; its log has the cause", Cause: err}
	}
	w, err := s.watches.Open(ctx, watch.Request{
		Operation: m.Operation, Age: in.GetAge().AsDuration(), Whole: in.GetWhole(),
		Ask: func(ctx context.Context) (*broker.Call, error) {
			call, _, err := s.call(ctx, r, in.GetRequest().GetValue())
			return call, err
		},
	})
	if err != nil {
		return err
	}
	defer w.Close()
	for {
		u, err := w.Next(ctx)
		if err != nil {
			return err
		}
		if err := s.sendUpdate(ctx, stream, r, plan, u); err != nil {
			return err
		}
	}
}

// sendUpdate sends an update part by part. The next part, and the next state, wait until
// this one has gone out to the client.
func (s watchService) sendUpdate(ctx context.Context, stream grpc.ServerStream, r *typedRPC, plan *transcode.Plan, u *watch.Update) error {
	asked := timestamppb.New(u.Asked)
	sent := false
	for p := range u.Parts(watchPart) {
		sent = true
		room, err := s.responses.reserve(ctx, len(p.Changed)+len(p.Removed))
		if err != nil {
			return named(err, r.Operation.GetId())
		}
		out := &brokerv1.WatchResponse{Whole: p.Whole, More: p.More, AskedTime: asked}
		if out.Changed, err = s.answerMessage(r, plan, p.Changed); err == nil {
			out.Removed, err = s.answerMessage(r, plan, p.Removed)
		}
		if err == nil {
			err = s.pass(ctx, stream, room, out)
		} else {
			room.release()
		}
		if err != nil {
			return err
		}
	}
	if sent {
		return nil
	}
	out := &brokerv1.WatchResponse{AskedTime: asked}
	if f := u.Trouble; f != nil {
		out.Trouble = &brokerv1.WatchTrouble{Reason: f.ReasonCode(), Message: readable(f).Error()}
	}
	return s.pass(ctx, stream, nil, out)
}

// answerMessage is a document as the response message of its operation; nil for none.
func (s *Server) answerMessage(r *typedRPC, plan *transcode.Plan, document []byte) (*anypb.Any, error) {
	if document == nil {
		return nil, nil
	}
	wire, err := plan.Response(nil, document, nil, func(path string, d transcode.Drift) {
		s.drift.Add(r.Operation.GetId(), path, uint8(d), time.Now())
		s.metrics.drift(r.Operation.GetId(), d)
	})
	if err != nil {
		return nil, named(err, r.Operation.GetId())
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/" + string(r.Descriptor.Output().FullName()), Value: wire}, nil
}

// pass sends a message and waits until it has gone out.
func (s watchService) pass(ctx context.Context, stream grpc.ServerStream, room *reservation, m *brokerv1.WatchResponse) error {
	wire, err := proto.Marshal(m)
	if err != nil {
		room.release()
		return err
	}
	out := room.answer(slices.Clip(wire))
	passed := out.watch()
	if err := stream.SendMsg(out); err != nil {
		return err
	}
	select {
	case <-passed:
	case <-ctx.Done():
	}
	return nil
}
