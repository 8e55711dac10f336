package service

import (
	"context"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
)

// Alone gives an RPC of a server as gRPC calls it, with what gRPC makes for it, but
// without a connection: for what the face itself costs.
func (s *Server) Alone(rpc string, header metadata.MD, wire []byte) (call func() error) {
	handler, interceptor, codec := s.unaryHandler(s.rpcs[rpc]), s.unary(linked(s.chain())), newPassthrough()
	addr := &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}
	return func() error {
		ctx, cancel := context.WithTimeout(peer.NewContext(context.Background(), addr), time.Minute)
		defer cancel()
		ctx, err := s.arrive(metadata.NewIncomingContext(ctx, header), &tap.Info{FullMethodName: rpc, Header: header})
		if err != nil {
			return err
		}
		ctx = grpc.NewContextWithServerTransportStream(ctx, &noTransport{})
		reply, err := handler(nil, ctx, func(in any) error { return codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, in) }, interceptor)
		if err != nil {
			return err
		}
		out, err := codec.Marshal(reply)
		out.Free()
		return err
	}
}

// noTransport takes headers as gRPC's own does.
type noTransport struct{ header metadata.MD }

func (*noTransport) Method() string               { return "" }
func (*noTransport) SendHeader(metadata.MD) error { return nil }
func (*noTransport) SetTrailer(metadata.MD) error { return nil }
func (t *noTransport) SetHeader(md metadata.MD) error {
	t.header = metadata.Join(t.header, md)
	return nil
}

// RequestBytes is what requests take at the moment, of all callers.
func (s *Server) RequestBytes() int64 {
	m := s.idle.requests
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bytes
}
