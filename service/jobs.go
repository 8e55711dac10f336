package service

import (
	"context"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/broker"
)

// handleJob performs the twin that starts a job and sends its states. The caller has
// to be allowed both, the start and the reads, before the job is started.
func (s *Server) handleJob(r *typedRPC, stream grpc.ServerStream) error {
	in := new(frame)
	if err := stream.RecvMsg(in); err != nil {
		in.release()
		return err
	}
	ctx := stream.Context()
	start, plan, err := s.call(ctx, r, in.wire())
	in.release()
	if err != nil {
		return err
	}
	arrivalOf(ctx).holds(len(start.Body))
	job, err := batch.NewJob(s.contract, r.Operation)
	if err != nil {
		return err
	}
	reads := s.rpcs[job.Read.Name]
	readPlan, err := reads.compile()
	if err != nil {
		return err
	}
	poll := s.newCall(reads.Operation)
	poll.ID = start.ID
	if err := s.admit(ctx, reads.request, poll); err != nil {
		return err
	}
	drifts := 0
	send := func(out *frame, err error) error {
		if err != nil {
			return err
		}
		drifts += out.drifts
		return stream.SendMsg(out)
	}
	defer func() {
		if drifts > 0 {
			stream.SetTrailer(metadata.Pairs(headerDrift, strconv.Itoa(drifts)))
		}
	}()
	return job.Run(ctx, start, poll, batch.Steps{
		Start: s.do, Read: s.make, Lifetime: s.lifetime,
		Started: func(ctx context.Context, answer *broker.Answer) error {
			if err := stream.SetHeader(answerHeaders(answer)); err != nil {
				return err
			}
			if r.Descriptor.Output() != s.contract.Operation(r.Operation.GetId()).Descriptor.Output() {
				return nil // the start has an answer of another kind
			}
			return send(s.response(ctx, r, plan, answer))
		},
		Changed: func(ctx context.Context, answer *broker.Answer) error {
			return send(s.response(ctx, reads, readPlan, answer))
		},
	})
}
