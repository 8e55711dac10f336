package rest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Listen lets the connections of a listener be watched for what becomes of the answers
// on them. A server on another listener takes an answer for delivered that it has
// written.
func Listen(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, since: time.Now()}, nil
}

// quietTime is how often a connection is looked at on which an answer is in doubt, and
// quietLooks how often it has to be found without a flaw: a client that leaves instead
// of reading what its system has received resets the connection at once, but may have
// been held up before it leaves. Who closes the connection, or asks on it for something
// else, is not waited for.
const (
	quietTime  = 250 * time.Millisecond
	quietLooks = 4
)

// A connection knows what became of the answers on it. That an answer was written says
// nothing: a client that has given up may have left just before.
type connection struct {
	net.Conn
	since time.Time // it is there
	// refused is told of a request that net/http has refused.
	refused func(*fault.Error, int)
	// head is what is here of a request whose headers have not arrived whole.
	head head
	full atomic.Bool // there was no room for it

	// writing is held while bytes are written, so that what is asked about the socket
	// is asked before or after them.
	writing sync.Mutex
	sent    atomic.Int64 // bytes
	// read counts bytes, too: whole is what it was when the latest request was here, and
	// before when the latest bytes of an answer were not yet written.
	read, whole, before atomic.Int64

	mu     sync.Mutex
	doubts []*doubt // answers that were written
	// looking: a look is to come. There is one at a time, whatever comes and goes until then:
	// two at one moment would take it for quiet.
	looking bool
	reset   bool // by the other side
	ended   bool
	cut     bool  // it ended before the client had all
	last    int64 // what was sent until then
}

// A doubt is about one answer.
type doubt struct {
	settle func(delivered bool)
	quiet  int // looks without a flaw
	// until is what had been read before the answer was written; ahead says that some of it
	// belongs to the next request, which says nothing of the answer then.
	until int64
	ahead bool
}

// SyscallConn lets others look at the socket, too.
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	if s, ok := c.Conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// Read notices the end of the connection.
func (c *connection) Read(p []byte) (int, error) {
	if c.full.Load() {
		// net/http may read once more after an error. What was not taken is missing, so what
		// comes now is not the continuation, even if there is room again.
		return 0, noRoom
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.writing.Lock()
		all, sent := c.confirmed(), c.sent.Load()
		c.writing.Unlock()
		c.end(!all || !errors.Is(err, io.EOF), sent)
	}
	if !c.head.takes(n) {
		c.full.Store(true)
		return 0, noRoom
	}
	return n, err
}

// noRoom is what net/http reads where there is no room for more headers. It closes the
// connection, mostly without a word.
var noRoom = &net.OpError{Op: "read", Err: errHeads}

// Write counts what is sent.
func (c *connection) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if answer, f, status := refusal(p, c.full.Load()); answer != nil {
		if c.refused != nil {
			c.refused(f, status)
		}
		n, err := c.Conn.Write(answer)
		c.sent.Add(int64(n))
		return len(p), err
	}
	c.before.Store(c.read.Load())
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Close ends the connection from here, also in the middle of an answer.
func (c *connection) Close() error {
	all, sent := c.received()
	c.end(!all, sent)
	c.head.ends(true)
	return c.Conn.Close()
}

// received tells whether the client's system has confirmed everything that was sent,
// which is so many bytes, and nothing is being sent.
func (c *connection) received() (all bool, sent int64) {
	if !c.writing.TryLock() {
		return false, 0
	}
	defer c.writing.Unlock()
	return c.confirmed(), c.sent.Load()
}

// confirmed tells it with the lock held that keeps writers out.
func (c *connection) confirmed() bool {
	all, reset := confirmed(c.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = c.reset || reset // a socket tells it once
	return all && !c.reset
}

// end settles all doubts. sent is what the client had been sent when it was looked at: an
// answer that was written since went to nobody.
func (c *connection) end(cut bool, sent int64) {
	c.mu.Lock()
	doubts := c.doubts
	c.doubts = nil
	if !c.ended {
		c.ended, c.cut, c.last = true, cut, sent
	}
	cut = c.cut
	c.mu.Unlock()
	for _, d := range doubts {
		d.settle(!cut)
	}
}

// over tells whether the client has left, as far as its system has said so.
func (c *connection) over() bool {
	c.mu.Lock()
	ended := c.ended
	c.mu.Unlock()
	return ended || left(c.Conn)
}

// asked says that a request is here, with its body.
func (c *connection) asked() { c.whole.Store(c.read.Load()) }

// next says that the client has asked for something else. It has the answers before,
// unless it did not wait for them, or is gone since.
func (c *connection) next() {
	read := c.read.Load()
	if all, _ := c.received(); !all {
		return
	}
	c.settle(false, func(d *doubt) bool { return !d.ahead && read > d.until })
}

// settle settles the doubts that are none any more. With again, it looks again where some
// are left.
func (c *connection) settle(again bool, none func(*doubt) bool) {
	var settled []*doubt
	c.mu.Lock()
	rest := c.doubts[:0]
	for _, d := range c.doubts {
		if none(d) {
			settled = append(settled, d)
		} else {
			rest = append(rest, d)
		}
	}
	c.doubts = rest
	if again {
		if c.looking = len(rest) > 0; c.looking {
			time.AfterFunc(quietTime, c.look)
		}
	}
	c.mu.Unlock()
	for _, d := range settled {
		d.settle(true)
	}
}

// written says that an answer was written. settle is called once, when it is known
// whether the client has it: it has when it then asks for something else, when it closes
// the connection after everything has reached it, and when it leaves the connection
// open for a while after that.
func (c *connection) written(settle func(delivered bool)) {
	c.mu.Lock()
	if !c.ended {
		until := c.before.Load()
		c.doubts = append(c.doubts, &doubt{settle: settle, until: until, ahead: until > c.whole.Load()})
		if !c.looking {
			c.looking = true
			time.AfterFunc(quietTime, c.look)
		}
		c.mu.Unlock()
		return
	}
	delivered := !c.cut && c.sent.Load() == c.last // the client left after the answer, not before
	c.mu.Unlock()
	settle(delivered)
}

// look settles the doubts of a connection that stays open.
func (c *connection) look() {
	all, _ := c.received()
	c.settle(true, func(d *doubt) bool {
		if d.quiet++; !all {
			d.quiet = 0
		}
		return d.quiet >= quietLooks
	})
}

type connectionKey struct{}

// withConnection has the connection in the context of its requests.
func (h *Handler) withConnection(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*connection); ok {
		c.head.of = &h.heads
		c.refused = func(f *fault.Error, status int) { h.tell(&request{r: new(http.Request), began: time.Now()}, f, status) }
		return context.WithValue(ctx, connectionKey{}, c)
	}
	return ctx
}

// connectionOf gives the connection of a request; nil where it is not watched.
func connectionOf(ctx context.Context) *connection {
	c, _ := ctx.Value(connectionKey{}).(*connection)
	return c
}

// delivered settles, now or later, whether the client has the outcome of a write.
func (h *Handler) delivered(r *http.Request, err error, settle func(delivered bool)) {
	c := connectionOf(r.Context())
	switch {
	case err != nil:
		settle(false)
	case c != nil && r.ProtoMajor == 1:
		c.written(settle) // a client that has left already may have read everything
	case r.Context().Err() != nil:
		settle(false)
	case c != nil:
		c.written(settle)
	default:
		settle(true)
	}
}
