package raw

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
)

// HTTP are connections over which HTTP/1.1 requests are made, one at a time on
// each, as many as are needed.
type HTTP struct {
	address string
	secure  *tls.Config // nil for plain text

	mu     sync.Mutex
	idle   []*httpConn
	all    map[*httpConn]struct{}
	closed bool
}

// NewHTTP makes none yet; over TLS where secure says how.
func NewHTTP(address string, secure *tls.Config) *HTTP {
	return &HTTP{address: address, secure: secure, all: make(map[*httpConn]struct{})}
}

type httpConn struct {
	net  net.Conn
	done chan func(error)
}

// Send makes a request; body is all of it, as it is on the wire.
func (h *HTTP) Send(body []byte, done func(error)) {
	c, err := h.take()
	if err != nil {
		done(err)
		return
	}
	c.done <- done           // it has room: nothing else is under way here
	_, _ = c.net.Write(body) // the reader finds out
}

func (h *HTTP) take() (*httpConn, error) {
	h.mu.Lock()
	if n := len(h.idle); n > 0 {
		c := h.idle[n-1]
		h.idle = h.idle[:n-1]
		h.mu.Unlock()
		return c, nil
	}
	h.mu.Unlock()
	conn, err := net.Dial("tcp", h.address)
	if err != nil {
		return nil, err
	}
	if h.secure != nil {
		conn = tls.Client(conn, h.secure)
	}
	c := &httpConn{net: conn, done: make(chan func(error), 1)}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	h.all[c] = struct{}{}
	go h.read(c)
	return c, nil
}

// read takes answers until the connection ends.
func (h *HTTP) read(c *httpConn) {
	in := bufio.NewReaderSize(c.net, 32<<10)
	for {
		status, err := answer(in)
		if err != nil {
			_ = c.net.Close()
			h.mu.Lock()
			delete(h.all, c)
			h.mu.Unlock()
			select {
			case done := <-c.done:
				done(err)
			default: // nobody waits
			}
			return
		}
		done := <-c.done
		h.mu.Lock()
		h.idle = append(h.idle, c)
		h.mu.Unlock()
		if status != 200 {
			done(fmt.Errorf("status %d", status))
		} else {
			done(nil)
		}
	}
}

// answer reads one answer whose length is stated and gives its status.
func answer(in *bufio.Reader) (status int, err error) {
	length := -1
	for n := 0; ; n++ {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case n == 0:
			if len(line) < 12 {
				return 0, fmt.Errorf("a status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case len(line) == 0:
			if length < 0 {
				return 0, fmt.Errorf("an answer %d without a length", status)
			}
			_, err = in.Discard(length)
			return status, err
		case len(line) > 15 && bytes.EqualFold(line[:15], []byte("content-length:")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil {
				return 0, err
			}
		}
	}
}

// Close ends the connections.
func (h *HTTP) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for c := range h.all {
		_ = c.net.Close()
	}
}
