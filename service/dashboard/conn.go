package dashboard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
)

// A conn is a connection to the Dashboard or to a proxy, below TLS. It counts
// what has been written, so that an attempt can tell whether any of its request
// left, and it knows whether an idle connection can carry the next request.
type conn struct {
	net.Conn
	written atomic.Int64 // bytes

	mu      sync.Mutex
	changed sync.Cond // reading or closed is another
	reading bool      // somebody waits for bytes
	closed  bool
}

// dialing makes conns of the connections that dial gives.
func dialing(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		inner, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: inner}
		c.changed.L = &c.mu
		return c, nil
	}
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

func (c *conn) Read(p []byte) (int, error) {
	c.set(&c.reading, true)
	n, err := c.Conn.Read(p)
	c.set(&c.reading, false)
	return n, err
}

func (c *conn) Close() error {
	c.set(&c.closed, true)
	return c.Conn.Close()
}

func (c *conn) set(field *bool, value bool) {
	c.mu.Lock()
	*field = value
	c.mu.Unlock()
	c.changed.Broadcast()
}

// usable tells whether a connection that net/http has kept is open and silent.
//
// net/http offers a connection for the next request before its reader has looked
// whether anything stands behind the last answer, and what it finds after the next
// request has begun it takes for the answer to that one. Therefore usable waits until
// the reader waits for bytes, which it does only when it holds none, in plain text
// or of TLS; otherwise net/http closes the connection, which ends the wait, too.
//
// What the peer has closed must not be written to, since nobody can say whether a
// request that went there was executed. net/http learns of the end only when its
// reader gets to run, so the socket itself is looked at. What arrives after that look
// cannot be told from an answer that came early, nor a close from one during the
// request; the attempt then counts as one that may have been executed.
func (c *conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.reading && !c.closed {
		c.changed.Wait()
	}
	return !c.closed && silent(c.Conn)
}

// progress is how far one request has got on its connection.
type progress struct {
	mu      sync.Mutex
	conn    *conn // nil before there is one
	start   int64 // what conn had written by then
	reused  bool  // conn has carried a request before
	stale   bool  // conn could not be used, and was closed before anything was written
	headers bool  // they are complete, in net/http's buffer at the least
}

// hooks are how net/http reports.
func (p *progress) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: p.gotConn, WroteHeaders: p.wroteHeaders}
}

// gotConn is called before a byte of the request is written.
func (p *progress) gotConn(info httptrace.GotConnInfo) {
	c := socket(info.Conn)
	stale := info.Reused && !c.usable()
	if stale {
		_ = c.Close() // net/http has no other way of being told not to write
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.start, p.reused, p.stale, p.headers = c, c.written.Load(), info.Reused, stale, false
}

func (p *progress) wroteHeaders() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.headers = true
}

// passedOver tells whether the request met a kept connection that was over, and
// nothing of it was written there. err is what net/http made of it; an answer on a
// stale connection was there before the request and belongs to no attempt.
func (p *progress) passedOver(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stale || err != nil && p.reused && p.conn.written.Load() == p.start
}

// left tells whether the request may be on the wire, complete enough to be
// executed. net/http reports headers as written when they are in its buffer, so
// that both are asked.
func (p *progress) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conn != nil && p.headers && p.conn.written.Load() > p.start
}

// socket finds our connection below TLS, of which there are two to a host behind a
// proxy that is spoken to over TLS itself.
func socket(c net.Conn) *conn {
	for {
		switch t := c.(type) {
		case *tls.Conn:
			c = t.NetConn()
		case *conn:
			return t
		default:
			// The transport dials through this package alone; another kind of
			// connection is a fault of the program, not of what came in.
			panic("dashboard: a connection that was not dialled here")
		}
	}
}
