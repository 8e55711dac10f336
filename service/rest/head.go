package rest

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// Of small headers net/http makes seven times their bytes before it has a request, and
// before anyone knows who calls. What a connection may hold without being counted is more
// than most requests have for their headers; what all hold beyond that is bounded.
const (
	freeHead = 4 << 10
	allHeads = 8 << 20
)

var errHeads = errors.New("headers of too many requests are on their way")

// heads is what all connections hold of headers that have not arrived whole, beyond
// freeHead of each, in bytes.
type heads struct{ atomic.Int64 }

// A head is what one connection holds of it.
type head struct {
	of *heads // nil where nothing is counted

	mu   sync.Mutex
	read int64
	over bool // the headers are there
	last bool // no others are waited for, or HTTP/2 bounds them itself
}

// takes counts bytes that were read, and tells whether there is room for them.
func (h *head) takes(n int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.of == nil || h.over {
		return true
	}
	before := max(h.read, freeHead)
	h.read += int64(n)
	more := max(h.read, freeHead) - before
	return h.of.Add(more) <= allHeads || more == 0
}

// begins says that the next headers are waited for.
func (h *head) begins() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = h.last
}

// ends says that the headers are there; with last, that no others follow.
func (h *head) ends(last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.last = true, h.last || last
	if h.of != nil {
		h.of.Add(freeHead - max(h.read, freeHead))
	}
	h.read = 0
}

// watchState notices that a connection waits for its next request.
func watchState(c net.Conn, state http.ConnState) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(*connection); ok && state == http.StateIdle {
		c.head.begins()
	}
}
