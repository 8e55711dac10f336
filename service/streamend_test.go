package service

import (
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/fault"
)

// TestCallerWhoLeftIsCancelled: every function of gRPC's that fails because the
// stream has ended leaves the chain as CANCELLED, never as a failure of the
// broker.
func TestCallerWhoLeftIsCancelled(t *testing.T) {
	t.Parallel()
	for name, use := range map[string]func(grpc.ServerStream) error{
		"SetSendCompressor": func(s grpc.ServerStream) error {
			p := paging{operation: &apiv1.Operation{Id: "getPages"}}
			return p.run(s.Context(), s, new(broker.Call))
		},
		"SendMsg":    func(s grpc.ServerStream) error { return s.SendMsg(new(emptypb.Empty)) },
		"SetHeader":  func(s grpc.ServerStream) error { return s.SetHeader(metadata.Pairs("a", "b")) },
		"SendHeader": func(s grpc.ServerStream) error { return s.SendHeader(metadata.Pairs("a", "b")) },
		"RecvMsg": func(s grpc.ServerStream) error {
			for {
				if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
					return err
				}
			}
		},
		"a context": func(s grpc.ServerStream) error { return s.Context().Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := endOf(t, use); got != codes.Canceled {
				t.Errorf("the call ended as %v", got)
			}
		})
	}
}

// endOf runs a handler behind the chain, after its caller has left, and gives the
// code with which it left the chain.
func endOf(t *testing.T, use func(grpc.ServerStream) error) codes.Code {
	t.Helper()
	s := &Server{log: slog.New(slog.DiscardHandler), idle: newIdleCalls(10, 0), metrics: NewMetrics(), lifetime: context.Background()}
	run := linked([]stage{s.report, s.recover, s.deadline})
	begun, ended := make(chan struct{}), make(chan error, 1)
	server := grpc.NewServer(grpc.ForceServerCodecV2(newPassthrough()), grpc.UnknownServiceHandler(func(srv any, stream grpc.ServerStream) error {
		err := s.stream(run)(srv, stream, &grpc.StreamServerInfo{FullMethod: "/test/Stream"}, func(_ any, in grpc.ServerStream) error {
			close(begun)
			<-stream.Context().Done()
			return use(in)
		})
		ended <- err
		return err
	}))
	l := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = conn.Close()
		server.Stop()
		<-served
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test/Stream")
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	cancel()
	if err := stream.RecvMsg(new(emptypb.Empty)); err == io.EOF {
		t.Error("the stream ended well")
	}
	return status.Code(<-ended)
}

// TestEndedStreamBeforeItsContext: gRPC marks a stream as ended a moment before it
// ends the context of the call, and ends it as cancelled where the deadline did.
func TestEndedStreamBeforeItsContext(t *testing.T) {
	t.Parallel()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, row := range []struct {
		err  error
		want fault.Kind
	}{
		{(&paging{operation: new(apiv1.Operation)}).run(t.Context(), nil, new(broker.Call)), fault.Cancelled}, // no stream at all: SetSendCompressor fails
		{ofCaller(t.Context(), status.Error(codes.Unavailable, "transport is closing")), fault.Cancelled},
		{ofCaller(late, status.Error(codes.Canceled, "context canceled")), fault.DeadlineExceeded},
	} {
		if f := fault.As(row.err); f == nil || f.Kind != row.want {
			t.Errorf("%v, want %v", row.err, row.want)
		}
	}
	if err := ofCaller(t.Context(), io.EOF); err != io.EOF {
		t.Errorf("the end of what the caller sends is %v", err)
	}
	wrong := status.Error(codes.Internal, "grpc: failed to unmarshal the received message")
	if err := ofCaller(t.Context(), wrong); err != wrong {
		t.Errorf("a wrong message is %v", err)
	}
}
