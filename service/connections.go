package service

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

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
