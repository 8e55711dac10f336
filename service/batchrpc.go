package service

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	brokerv1 "github.com/merakibroker/merakibroker/gen/meraki/broker/v1"
	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/hold"
)

// A batchService serves BatchService.
type batchService struct {
	brokerv1.UnimplementedBatchServiceServer
	*Server
}

// ApplyWrites makes a list of writes. What is wrong with the list is found before
// anything is sent; what is wrong with a write is that write's result.
func (s batchService) ApplyWrites(in *brokerv1.ApplyWritesRequest, stream grpc.ServerStreamingServer[brokerv1.ApplyWritesResponse]) error {
	ctx := stream.Context()
	r := batch.Request{ValidateOnly: in.GetValidateOnly(), Answers: in.GetReadBack()}
	if in.GetTellHolds() {
		r.Held = func(f *fault.Error) error {
			return s.sendResult(ctx, stream, &brokerv1.ApplyWritesResponse{Outcome: &brokerv1.ApplyWritesResponse_Held{Held: s.heldStatus(ctx, f)}})
		}
	}
	rpcs, err := s.writes(ctx, in.GetWrites(), &r)
	if err != nil {
		return err
	}
	arrivalOf(ctx).holds(proto.Size(in) + bodyBytes(r.Writes))
	until, cancel := reserved(ctx)
	defer cancel()
	return s.batches.Apply(until, s.lifetime, r, func(results []batch.Result) error {
		for some := range slices.Chunk(results, readingBack) {
			messages := make([]*brokerv1.ApplyWritesResponse, len(some))
			var reads sync.WaitGroup
			for i, result := range some {
				reads.Go(func() {
					messages[i] = s.written(ctx, rpcs[result.Index], result, in.GetReadBack())
					messages[i].Id = r.Writes[result.Index].ID
				})
			}
			reads.Wait()
			for _, m := range messages {
				if err := s.sendResult(ctx, stream, m); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// mostBodyBytes bounds the bodies of a list together: escapes, and masks that stand for
// every element, can make them many times as long as the list.
const mostBodyBytes = 32 << 20

func bodyBytes(writes []batch.Write) (n int) {
	for _, w := range writes {
		n += len(w.Call.Body)
	}
	return n
}

// readingBack is how many resources are read at once for one list.
const readingBack = 8

// mostReserve is how long before its deadline a list says what is not known, at the most.
const mostReserve = time.Second

// reserved ends a tenth of the time before the deadline, so that there is time to say
// what became of every write.
func reserved(ctx context.Context) (context.Context, context.CancelFunc) {
	at, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, at.Add(-min(mostReserve, time.Until(at)/10)))
}

// writes reads the writes of a list into calls that their caller may make, as far as is
// known.
func (s batchService) writes(ctx context.Context, list []*brokerv1.Write, r *batch.Request) ([]*typedRPC, error) {
	if len(list) > batch.MostWrites {
		return nil, fault.Bad("writes", "the list has %d writes; it takes %d at the most; nothing was sent", len(list), batch.MostWrites)
	}
	rpcs := make([]*typedRPC, len(list))
	bytes := 0
	for i, w := range list {
		call, rpc, err := s.write(ctx, w.GetRequest())
		if err != nil {
			return nil, ofWrite(i, w.GetId(), err)
		}
		if bytes += len(call.Body); bytes > mostBodyBytes {
			return nil, fault.Bad("writes", "the bodies of the first %d writes take more than %d bytes as JSON; send the list in parts; nothing was sent", i+1, mostBodyBytes)
		}
		if call.Repeated && call.Name == "" && !call.RetryWrites {
			return nil, &fault.Error{Kind: fault.OutcomeUnknown, Reason: "REPEATED_WRITE", NoRetry: true,
				Detail: "a proxy or a client library sent this list again by itself, and the first one may have been executed; " +
					"nothing was sent this time: switch that retry off, or send the list under a meraki-idempotency-key"}
		}
		// The key names the list, not each of its writes.
		r.Caller, r.Name = call.Caller, call.Name
		call.Name, call.Repeated = "", false
		rpcs[i] = rpc
		r.Writes = append(r.Writes, batch.Write{ID: w.GetId(), Group: w.GetGroup(), Call: call})
	}
	return rpcs, nil
}

// write reads one write.
func (s batchService) write(ctx context.Context, request *anypb.Any) (*broker.Call, *typedRPC, error) {
	m := s.contract.Request(request.GetTypeUrl())
	switch {
	case m == nil:
		return nil, nil, fault.Bad("request", "request is %q, which is the request message of no operation", clip(request.GetTypeUrl(), 100))
	case m.Operation.GetVerb() == apiv1.Verb_VERB_GET:
		return nil, nil, &fault.Error{Kind: fault.BadRequest, Reason: "NOT_A_WRITE", Field: "request", Operation: m.Operation.GetId(), Detail: "the operation reads, and changes nothing"}
	}
	r := s.rpcs[m.Name]
	call, _, err := s.call(ctx, r, request.GetValue())
	return call, r, err
}

// ofWrite says of a fault which write of the list it is about.
func ofWrite(i int, id string, err error) error {
	f := fault.As(err)
	if f == nil {
		return err
	}
	out := *f
	out.Field = fmt.Sprintf("writes[%d]", i)
	if f.Field != "" {
		out.Field += "." + f.Field
	}
	out.Detail = fmt.Sprintf("writes[%d], with the id %q: %s; nothing of the list was sent", i, clip(id, 40), f.Detail)
	return &out
}

// written is the message of a result.
func (s batchService) written(ctx context.Context, r *typedRPC, result batch.Result, readBack bool) *brokerv1.ApplyWritesResponse {
	out := new(brokerv1.ApplyWritesResponse)
	switch result.State {
	case batch.Done:
		d := &brokerv1.WriteDone{CreatedId: result.Created, Resource: result.Resource, ActionBatchId: result.Batch}
		out.Outcome = &brokerv1.ApplyWritesResponse_Done{Done: d}
		if readBack && r.Operation.GetVerb() != apiv1.Verb_VERB_DELETE {
			var err error
			if d.Response, err = s.readBack(ctx, r, result); err != nil {
				d.ReadBackFailed = s.writeStatus(ctx, r, err)
			}
		}
	case batch.Valid:
		out.Outcome = &brokerv1.ApplyWritesResponse_Valid{Valid: new(brokerv1.WriteValid)}
	case batch.Pending:
		p := &brokerv1.WritePending{ActionBatchId: result.Batch}
		if result.Err != nil {
			p.Why = s.writeStatus(ctx, r, result.Err)
		}
		out.Outcome = &brokerv1.ApplyWritesResponse_Pending{Pending: p}
	case batch.NotTried:
		out.Outcome = &brokerv1.ApplyWritesResponse_NotTried{NotTried: s.writeStatus(ctx, r, result.Err)}
	default:
		out.Outcome = &brokerv1.ApplyWritesResponse_Failed{Failed: s.writeStatus(ctx, r, result.Err)}
	}
	return out
}

// readBack gives the resource that was written: the write's own answer, or a read of it;
// nil where no operation reads it.
func (s batchService) readBack(ctx context.Context, r *typedRPC, result batch.Result) (*anypb.Any, error) {
	answer := result.Answer
	if answer == nil {
		route, err := s.route(http.MethodGet, result.Resource)
		if err != nil {
			return nil, err
		}
		m := s.contract.Operation(route.Operation.GetId())
		if m == nil {
			return nil, nil
		}
		r = s.rpcs[m.Name]
		call := s.newCall(r.Operation)
		call.Path, call.ID = route.Path, route.Owner
		if err := s.admit(ctx, r.request, call); err != nil {
			return nil, err
		}
		if answer, err = s.make(ctx, call); err != nil {
			return nil, err
		}
	}
	plan, err := r.compile()
	if err != nil || len(answer.Body) == 0 {
		return nil, err
	}
	return s.answerMessage(r, plan, answer.Body)
}

// writeStatus is the status with which the write's own RPC would have failed.
func (s batchService) writeStatus(ctx context.Context, r *typedRPC, err error) *brokerv1.WriteStatus {
	f := fault.As(err)
	if f == nil {
		f = foreign(err)
	}
	if f.Operation == "" {
		named := *f
		named.Operation = r.Operation.GetId()
		f = &named
	}
	st, _ := failureOf(f, s.about(ctx, r.Name, f)).leave()
	p := st.Proto()
	return &brokerv1.WriteStatus{Code: p.GetCode(), Message: p.GetMessage(), Details: p.GetDetails()}
}

// heldStatus is the status with which a write that an operator holds would be refused. It
// is of no operation.
func (s batchService) heldStatus(ctx context.Context, f *fault.Error) *brokerv1.WriteStatus {
	held := *f
	held.Operation, held.Detail = "", hold.Waits(f.Detail)
	st, _ := failureOf(&held, s.about(ctx, brokerv1.BatchService_ApplyWrites_FullMethodName, &held)).leave()
	p := st.Proto()
	return &brokerv1.WriteStatus{Code: p.GetCode(), Message: p.GetMessage(), Details: p.GetDetails()}
}

// sendResult sends a message, once there is room for it.
func (s batchService) sendResult(ctx context.Context, stream grpc.ServerStream, m *brokerv1.ApplyWritesResponse) error {
	wire, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	room, err := s.responses.reserve(ctx, len(wire))
	if err != nil {
		return err
	}
	return stream.SendMsg(room.answer(slices.Clip(wire)))
}
