package dashboard

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// mostAtOnce bounds the bodies that are sent over connections of our own, in bytes:
// what fits into the socket's buffer has left before the answer is waited for. A
// server may answer a larger one while it is still coming, so that reading has to
// run beside writing; those go through net/http.
const mostAtOnce = 16 << 10

// A connection carries one exchange after the other in HTTP/1.1.
//
// It exists beside net/http's because an attempt is all that an attempt is to
// it: it never sends a request again, it knows to the byte what has left, and the
// attempt's own goroutine does it all. net/http hands each request to one goroutine
// for writing and the answer back from another, which took a third of the processor
// time of a call, and threads that are woken up take longer than that. What is read
// is read by net/http's parser.
type connection struct {
	net.Conn
	raw    syscall.RawConn // of the socket, below TLS; nil where there is none
	reader *bufio.Reader   // of the connection itself
	header int64           // bytes that may still be read of a header; below 0 for no bound
	out    []byte          // what is written
	body   body            // what is read
	since  time.Time       // when it became idle
	until  time.Time       // when the attempt on it ends

	// interrupt ends what is waited for on it, for good.
	interrupt func()
}

// errHeader is why the reading of a header ended.
var errHeader = errors.New("the header of the answer is larger than the bound")

// Read reads from the network, of a header no more than its bound.
func (k *connection) Read(p []byte) (int, error) {
	if k.header < 0 {
		return k.Conn.Read(p)
	}
	if k.header == 0 {
		return 0, errHeader
	}
	n, err := k.Conn.Read(p[:min(int64(len(p)), k.header)])
	k.header -= int64(n)
	return n, err
}

// A body knows whether it has been read to its end, which is where the connection
// can carry the next exchange.
type body struct {
	io.ReadCloser
	ended bool
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// exchange makes an attempt on a connection of the pool. It is false when the
// host turns out to speak HTTP/2; nothing has been sent then.
func (c *Client) exchange(ctx context.Context, a *Answer, p *pool, r *Request, u *url.URL) bool {
	// The context's own end interrupts, for its deadline may move while we wait.
	until := a.Start.Add(c.config.Timeout)
	if err := ctx.Err(); err != nil {
		a.unanswered(ctx, err, false)
		return true
	}
	k, err := p.get(ctx, until)
	if err != nil {
		if errors.Is(err, errHTTP2) {
			return false
		}
		a.unanswered(ctx, err, false)
		return true
	}
	clean := false
	stop := context.AfterFunc(ctx, k.interrupt)
	defer func() {
		if stop() && clean { // else it has been interrupted, or will be
			p.put(k)
		} else {
			_ = k.Close()
		}
	}()
	clean = c.converse(ctx, a, k, p, r, u)
	return true
}

// converse writes the request and reads the answer. It tells whether the
// connection can be used again.
func (c *Client) converse(ctx context.Context, a *Answer, k *connection, p *pool, r *Request, u *url.URL) bool {
	head := k.write(c, p, r, u)
	if n, err := k.Write(k.out); err != nil {
		// Without the end of its header a request cannot be executed.
		a.unanswered(ctx, err, n >= head)
		return false
	}
	resp, err := k.response()
	if err != nil {
		a.unanswered(ctx, err, true)
		return false
	}
	k.body = body{ReadCloser: resp.Body}
	resp.Body = &k.body
	c.take(ctx, a, u, resp, k)
	return k.body.ended && !resp.Close && resp.StatusCode != http.StatusSwitchingProtocols && k.reader.Buffered() == 0
}

// mostKept is up to which size in bytes a connection keeps its buffer.
const mostKept = 4 << 10

// write puts the request into k.out, and tells how much of it is the header. All
// of its parts have been checked: see Client.url.
func (k *connection) write(c *Client, p *pool, r *Request, u *url.URL) (header int) {
	if cap(k.out) > mostKept {
		k.out = nil
	}
	b := append(k.out[:0], r.Method...)
	b = append(b, ' ')
	b = append(b, u.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, p.host...)
	b = append(b, c.fixed...)
	if !r.Key.Zero() {
		b = append(b, "Authorization: "...)
		b = append(b, r.Key.header()...)
		b = append(b, "\r\n"...)
	}
	switch {
	case len(r.Body) > 0:
		b = append(b, "Content-Type: application/json\r\nContent-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		b = append(b, "Content-Length: 0\r\n"...)
	}
	b = append(b, "\r\n"...)
	k.out = append(b, r.Body...)
	return len(b)
}

// mostInterim bounds the 1xx answers before the one that counts.
const mostInterim = 5

// response reads the header of the answer.
func (k *connection) response() (*http.Response, error) {
	k.header = maxResponseHeader
	for range mostInterim + 1 {
		resp, err := http.ReadResponse(k.reader, nil)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			k.header = -1
			return resp, nil
		}
	}
	return nil, errors.New("too many interim answers")
}

// quiet tells whether nothing has come that nobody has read: TLS reads ahead, and
// what it holds is neither in our buffer nor in the socket's.
func (k *connection) quiet() bool {
	if _, ok := k.Conn.(*tls.Conn); !ok {
		return true
	}
	_ = k.SetReadDeadline(time.Unix(1, 0)) // only what is there can come
	_, err := k.reader.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// hurry bounds what is left of the answer.
func (k *connection) hurry(ctx context.Context, d time.Duration) {
	until := time.Now().Add(d)
	if k.until.Before(until) {
		return // the connection knows
	}
	_ = k.SetReadDeadline(until)
	if ctx.Err() != nil { // it may have been interrupted just before
		k.interrupt()
	}
}

// late tells whether err is for want of time.
func (k *connection) late(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// unanswered sorts an attempt that got no answer. maybe: it may have been executed.
func (a *Answer) unanswered(ctx context.Context, err error, maybe bool) {
	a.Err, a.MaybeExecuted = err, maybe
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case !maybe:
		a.Outcome = fault.NotSent
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.Outcome = fault.Timeout
	default:
		a.Outcome = fault.Reset
	}
}
