package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/tap"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Limits of the server. What a client can make it hold is bounded by them, and by
// request memory, response memory, idle calls and connections.
const (
	// maxHeaderBytes of one call: gRPC clients send well below 8 KiB; JWTs and mesh
	// headers need room.
	maxHeaderBytes = 16 << 10
	// maxHeaderList is what the transport reads. Above it HTTP/2 can only close the
	// connection, and behind a mesh that is everyone's: so it is more than an Envoy
	// lets pass (60 KiB), and what lies between is answered with a status.
	maxHeaderList = 80 << 10
	// defaultRequestBytes is what a request may have, also after it was decompressed,
	// unless the configuration says otherwise: what gRPC's own clients and servers take.
	defaultRequestBytes = 4 << 20
	// maxStreams is for each connection. A sidecar may carry all callers of a node
	// over one; clients and proxies that want more open another, or wait.
	maxStreams = 4000
	// minPing lets clients ping as often as grpc-java and C-core may be told to.
	minPing = 10 * time.Second
	// A connection on which nothing is heard for so long is asked for a sign of
	// life, and closed when none comes.
	askAfter, signOfLife = time.Minute, 20 * time.Second
	// maxAge spreads connections anew over replicas behind a plain TCP balancer;
	// gRPC adds a jitter of a tenth. The grace is longer than the deadline of calls
	// that come without one.
	maxAge      = 30 * time.Minute
	maxAgeGrace = 75 * time.Second
	// maxHandshake bounds connecting, TLS and HTTP/2 settings included.
	maxHandshake = 10 * time.Second
	// streamWorkers are goroutines that are kept for calls, their stacks grown
	// already; calls beyond them have one of their own. Without, growing the stack
	// anew is 6 % of a call's processor time.
	streamWorkers = 64
	// streamWindow and connectionWindow are what a client may send before it is
	// read. Said at all, they keep gRPC from measuring the connection with pings:
	// requests are small, and a large one comes from the same machine or zone.
	streamWindow, connectionWindow = 64 << 10, 1 << 20
)

// limits are the server's options.
func limits(maxRequestBytes int) []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxHeaderListSize(maxHeaderList),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: askAfter, Timeout: signOfLife,
			MaxConnectionAge: maxAge, MaxConnectionAgeGrace: maxAgeGrace,
		}),
		grpc.ConnectionTimeout(maxHandshake),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.InitialWindowSize(streamWindow),
		grpc.InitialConnWindowSize(connectionWindow),
	}
}

// arrive is asked about every call when its headers have been read, before
// anything is done for it.
func (s *Server) arrive(ctx context.Context, info *tap.Info) (context.Context, error) {
	if n := size(info.Header); n > maxHeaderBytes {
		return ctx, statusOf(&fault.Error{
			Kind: fault.BudgetExhausted, Reason: "HEADERS_TOO_LARGE", NoRetry: true,
			Detail: fmt.Sprintf("the call has %d bytes of headers; it may have %d", n, maxHeaderBytes),
		})
	}
	return newArrival(ctx, info.Header), nil
}

// acceptErrorEvery is how often a listener says that it cannot accept: when
// descriptors are at an end it fails many times a second.
const acceptErrorEvery = 10 * time.Second

// Connections bounds the connections of several listeners together. One that has not
// finished its handshake is dropped after ten seconds.
type Connections struct {
	max  int64
	log  *slog.Logger
	open atomic.Int64
}

// NewConnections allows so many connections at once.
func NewConnections(max int, log *slog.Logger) *Connections {
	return &Connections{max: int64(max), log: log}
}

// Limit makes a listener that closes at once what comes when there are too many
// connections: a client that sees that goes to another replica. What keeps it from
// accepting is logged; name says which port that is.
func (c *Connections) Limit(l net.Listener, name string) net.Listener {
	return &listener{Listener: l, of: c, name: name}
}

type listener struct {
	net.Listener
	of   *Connections
	name string

	mu   sync.Mutex
	told time.Time
}

// Accept gives the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			l.tell(err)
			return nil, err
		}
		if l.of.open.Add(1) <= l.of.max {
			return &countedConn{Conn: c, of: l.of}, nil
		}
		l.of.open.Add(-1)
		_ = c.Close()
	}
}

func (l *listener) tell(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(err, net.ErrClosed) || time.Since(l.told) < acceptErrorEvery {
		return
	}
	l.told = time.Now()
	l.of.log.Warn("no connection can be accepted", "port", l.name, "connections", l.of.open.Load(), "error", err)
}

type countedConn struct {
	net.Conn
	of     *Connections
	closed atomic.Bool
}

// Close makes room for another.
func (c *countedConn) Close() error {
	if !c.closed.Swap(true) {
		c.of.open.Add(-1)
	}
	return c.Conn.Close()
}

// SyscallConn lets channelz look at the socket.
func (c *countedConn) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, fmt.Errorf("%T is no socket", c.Conn)
}
