package service

import (
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
)

// maxConnections at once. Each costs some 40 KiB, and one that has not finished
// its handshake is dropped after ten seconds.
const maxConnections = 10_000

// limited makes a listener that closes at once what comes when there are too many
// connections: a client that sees that goes to another replica.
func limited(l net.Listener, most int64) net.Listener { return &listener{Listener: l, most: most} }

type listener struct {
	net.Listener
	most int64
	open atomic.Int64
}

// Accept gives the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &countedConn{Conn: c, of: l}, nil
		}
		l.open.Add(-1)
		_ = c.Close()
	}
}

type countedConn struct {
	net.Conn
	of     *listener
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
