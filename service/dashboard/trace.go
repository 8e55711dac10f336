package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"
)

// errAgain stops net/http from sending a request a second time.
var errAgain = errors.New("the connection broke before there was an answer")

// A conn counts what has been written to it, so that an attempt can tell whether
// any of its bytes left.
type conn struct {
	net.Conn
	written atomic.Int64
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// counting makes dial give connections that count.
func counting(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: c}, nil
	}
}

// A watch follows one attempt through net/http. It answers whether the request
// may have reached the Dashboard, and it is the fence that keeps one attempt to
// one request on the wire: net/http sends a GET again by itself when a kept
// connection turns out to be dead (and over HTTP/2 anything without a body when
// the server says that it did not take it), which would be a request that nobody
// has paid for.
type watch struct {
	inner  context.Context // of the attempt
	cancel context.CancelCauseFunc
	slow   *time.Timer // ends an error's body

	mu      sync.Mutex
	conn    *conn
	start   int64 // what conn had written when we got it
	h2      bool
	got     bool // a connection
	headers bool // complete, in net/http's buffer at the least
	fenced  bool
}

// hooks are how net/http tells the watch.
func (w *watch) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{GotConn: w.gotConn, WroteHeaders: w.wroteHeaders}
}

// gotConn is called before a byte of the request is written.
func (w *watch) gotConn(info httptrace.GotConnInfo) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fenced || w.left() {
		w.fenced = true
		w.cancel(errAgain)
		if _, h2 := unwrap(info.Conn); !h2 {
			// HTTP/1.1 would write before it looks at the context. HTTP/2 looks
			// first, and its connection carries the requests of others.
			_ = info.Conn.Close()
		}
		return
	}
	w.conn, w.h2 = unwrap(info.Conn)
	w.start = 0
	if w.conn != nil {
		w.start = w.conn.written.Load()
	}
	w.got, w.headers = true, false
}

func (w *watch) wroteHeaders() {
	w.mu.Lock()
	w.headers = true
	w.mu.Unlock()
}

// left tells whether the request may be on the wire, complete enough to be
// executed. Callers hold w.mu.
func (w *watch) left() bool {
	if !w.got || !w.headers {
		return false
	}
	// net/http reports headers as written when they are in its buffer; over
	// HTTP/1.1 the connection is ours alone, so its count tells more.
	return w.h2 || w.conn == nil || w.conn.written.Load() > w.start
}

// maybe tells whether the Dashboard may have received the request. cancelled:
// the context has ended, in which case HTTP/2 reports a request as not written
// while it is being written.
func (w *watch) maybe(cancelled bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fenced || w.left() || cancelled && w.got && w.h2
}

// hurry bounds what is left of the answer.
func (w *watch) hurry(_ context.Context, d time.Duration) {
	w.slow = time.AfterFunc(d, func() { w.cancel(errSlowBody) })
}

func (w *watch) calm() {
	if w.slow != nil {
		w.slow.Stop()
	}
}

// late tells whether the attempt has ended for want of time.
func (w *watch) late(error) bool { return w.inner.Err() != nil }

// repeated tells whether net/http was kept from sending the request again.
func (w *watch) repeated() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fenced
}

// unwrap finds the counting connection below TLS, and whether HTTP/2 runs on it.
func unwrap(c net.Conn) (counted *conn, h2 bool) {
	if t, ok := c.(*tls.Conn); ok {
		h2 = t.ConnectionState().NegotiatedProtocol == "h2"
		c = t.NetConn()
	}
	counted, _ = c.(*conn)
	return counted, h2
}
