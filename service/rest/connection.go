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
	return &connection{Conn: c}, nil
}

// quietTime is how often a connection is looked at on which an answer is in doubt, and
// quietLooks how often it has to be found without a flaw: a client that leaves instead
// of reading what its system has received resets the connection at once.
const (
	quietTime  = 100 * time.Millisecond
	quietLooks = 2
)

// A connection knows what became of the answers on it. That an answer was written says
// nothing: a client that has given up may have left just before.
type connection struct {
	net.Conn
	// refused is told of a request that net/http has refused.
	refused func(*fault.Error, int)
	// head is what is here of a request whose headers have not arrived whole.
	head head
	full atomic.Bool // there was no room for it

	// writing is held while bytes are written, so that what is asked about the socket
	// is asked before or after them.
	writing sync.Mutex
	sent    atomic.Int64 // bytes

	mu     sync.Mutex
	doubts []*doubt // answers that were written
	reset  bool     // by the other side
	ended  bool
	cut    bool  // it ended before the client had all
	last   int64 // what was sent until then
}

// A doubt is about one answer.
type doubt struct {
	settle func(delivered bool)
	quiet  int // looks without a flaw
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
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		c.writing.Lock()
		all := c.confirmed()
		c.writing.Unlock()
		c.end(!all || !errors.Is(err, io.EOF))
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
	n, err := c.Conn.Write(p)
	c.sent.Add(int64(n))
	return n, err
}

// Close ends the connection from here, also in the middle of an answer.
func (c *connection) Close() error {
	c.end(!c.received())
	c.head.ends(true)
	return c.Conn.Close()
}

// received tells whether the client's system has confirmed everything that was sent,
// and nothing is being sent.
func (c *connection) received() bool {
	if !c.writing.TryLock() {
		return false
	}
	defer c.writing.Unlock()
	return c.confirmed()
}

// confirmed tells it with the lock held that keeps writers out.
func (c *connection) confirmed() bool {
	all, reset := confirmed(c.Conn)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = c.reset || reset // a socket tells it once
	return all && !c.reset
}

// end settles all doubts.
func (c *connection) end(cut bool) {
	c.mu.Lock()
	doubts := c.doubts
	c.doubts = nil
	if !c.ended {
		c.ended, c.cut, c.last = true, cut, c.sent.Load()
	}
	cut = c.cut
	c.mu.Unlock()
	for _, d := range doubts {
		d.settle(!cut)
	}
}

// next says that the client has asked for something else after its answers.
func (c *connection) next() {
	c.mu.Lock()
	doubts := c.doubts
	c.doubts = nil
	c.mu.Unlock()
	for _, d := range doubts {
		d.settle(true)
	}
}

// written says that an answer was written. settle is called once, when it is known
// whether the client has it: it has when it asks for something else, when it closes
// the connection after everything has reached it, and when it leaves the connection
// open for a while after that.
func (c *connection) written(settle func(delivered bool)) {
	c.mu.Lock()
	if !c.ended {
		c.doubts = append(c.doubts, &doubt{settle: settle})
		if len(c.doubts) == 1 {
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
	all := c.received()
	var settled []*doubt
	c.mu.Lock()
	rest := c.doubts[:0]
	for _, d := range c.doubts {
		if d.quiet++; !all {
			d.quiet = 0
		}
		if d.quiet >= quietLooks {
			settled = append(settled, d)
		} else {
			rest = append(rest, d)
		}
	}
	if c.doubts = rest; len(rest) > 0 {
		time.AfterFunc(quietTime, c.look)
	}
	c.mu.Unlock()
	for _, d := range settled {
		d.settle(true)
	}
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
