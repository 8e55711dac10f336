// Package raw sends prepared calls over a few connections, as gRPC and as
// HTTP/1.1, with as little of the machine's time as can be: load that costs as
// much as what it measures says little about it. It knows just enough of both
// protocols to talk to servers that keep to them, and gives up on anything else.
package raw

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2/hpack"
)

// A Way is how calls reach somebody. Send makes one and returns at once; done is
// called once, from a goroutine of the way's own, which it must not hold up. body
// is not kept.
type Way interface {
	Send(body []byte, done func(error))
	Close()
}

// GRPC are connections on which one method is called.
type GRPC struct {
	conns []*grpcConn
	next  atomic.Uint64
}

// DialGRPC makes n connections. pairs are names and values of metadata.
func DialGRPC(address, method string, n int, pairs ...string) (*GRPC, error) {
	g := new(GRPC)
	for range n {
		first, later := headers(address, method, pairs)
		c, err := dialGRPC(address, first, later)
		if err != nil {
			g.Close()
			return nil, err
		}
		g.conns = append(g.conns, c)
	}
	return g, nil
}

// headers are the header blocks of a connection's first call, and of every later
// one: as all gRPC libraries do, the first puts each field into the table that both
// ends keep, and the others name its places there.
func headers(address, method string, pairs []string) (first, later []byte) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	all := append([]string{":method", "POST", ":scheme", "http", ":path", method, ":authority", address,
		"content-type", "application/grpc", "te", "trailers"}, pairs...)
	block := func() []byte {
		b.Reset()
		for i := 0; i+1 < len(all); i += 2 {
			_ = e.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}) // a Buffer takes everything
		}
		return bytes.Clone(b.Bytes())
	}
	return block(), block()
}

// Send makes a call; body is the request message.
func (g *GRPC) Send(body []byte, done func(error)) {
	g.conns[g.next.Add(1)%uint64(len(g.conns))].send(body, done)
}

// Close ends the connections. What is on its way ends with an error.
func (g *GRPC) Close() {
	for _, c := range g.conns {
		_ = c.net.Close()
		<-c.over
	}
}

// Of HTTP/2 (RFC 9113).
const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

	frameData, frameHeaders, frameReset, frameSettings = 0, 1, 3, 4
	framePing, frameGoAway, frameWindow                = 6, 7, 8

	flagAck, flagEndStream, flagEndHeaders = 1, 1, 4

	// window is what a server may send before it has to be told to go on; renew
	// is after how much it is told.
	window, renew = 1 << 30, 16 << 20
	largestFrame  = 1 << 20
)

type grpcConn struct {
	net  net.Conn
	over chan struct{}

	mu      sync.Mutex
	header  []byte // of the next call
	later   []byte // of those after it
	out     []byte
	waits   bool // the reader flushes when it has seen all that has come
	stream  uint32
	waiting map[uint32]func(error)
	broken  error
}

func dialGRPC(address string, first, later []byte) (*grpcConn, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	c := &grpcConn{net: conn, header: first, later: later, over: make(chan struct{}), stream: 1, waiting: make(map[uint32]func(error))}
	c.out = append(c.out, preface...)
	c.out = frame(c.out, 12, frameSettings, 0, 0)
	c.out = binary.BigEndian.AppendUint16(c.out, 4) // INITIAL_WINDOW_SIZE
	c.out = binary.BigEndian.AppendUint32(c.out, window)
	c.out = binary.BigEndian.AppendUint16(c.out, 5) // MAX_FRAME_SIZE
	c.out = binary.BigEndian.AppendUint32(c.out, largestFrame)
	c.grow(window)
	if err := c.flush(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	go c.read()
	return c, nil
}

// frame appends a frame's header.
func frame(b []byte, length int, kind, flags byte, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), kind, flags)
	return binary.BigEndian.AppendUint32(b, stream)
}

// grow lets the server send n bytes more on the connection.
func (c *grpcConn) grow(n uint32) {
	c.out = frame(c.out, 4, frameWindow, 0, 0)
	c.out = binary.BigEndian.AppendUint32(c.out, n)
}

// flush writes what is to be sent, with the lock held.
func (c *grpcConn) flush() error {
	_, err := c.net.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *grpcConn) send(body []byte, done func(error)) {
	c.mu.Lock()
	if err := c.broken; err != nil {
		c.mu.Unlock()
		done(err)
		return
	}
	id := c.stream
	c.stream += 2
	c.waiting[id] = done
	c.out = frame(c.out, len(c.header), frameHeaders, flagEndHeaders, id)
	c.out = append(c.out, c.header...)
	c.header = c.later
	c.out = frame(c.out, 5+len(body), frameData, flagEndStream, id)
	c.out = append(c.out, 0) // not compressed
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(body)))
	c.out = append(c.out, body...)
	if !c.waits {
		_ = c.flush() // the reader finds out
	}
	c.mu.Unlock()
}

// read takes frames until the connection ends.
func (c *grpcConn) read() {
	defer close(c.over)
	err := c.frames()
	c.mu.Lock()
	c.broken = fmt.Errorf("the connection to %s has ended: %w", c.net.RemoteAddr(), err)
	left := c.waiting
	c.waiting = nil
	c.mu.Unlock()
	_ = c.net.Close()
	for _, done := range left {
		done(c.broken)
	}
}

func (c *grpcConn) frames() error {
	in := bufio.NewReaderSize(c.net, 256<<10)
	status := "" // of the block just read
	fields := hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == "grpc-status" {
			status = f.Value
		}
	})
	var head [9]byte
	payload := make([]byte, 0, 64<<10)
	taken := 0
	for {
		if in.Buffered() < len(head) {
			c.pause()
		}
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return err
		}
		c.resume()
		length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		kind, flags, stream := head[3], head[4], binary.BigEndian.Uint32(head[5:])
		if kind == frameData {
			if _, err := in.Discard(length); err != nil {
				return err
			}
			if taken += length; taken >= renew {
				c.mu.Lock()
				c.grow(uint32(taken))
				c.mu.Unlock()
				taken = 0
			}
			if flags&flagEndStream != 0 {
				c.end(stream, errors.New("an answer without a status"))
			}
			continue
		}
		payload = append(payload[:0], make([]byte, length)...)
		if _, err := io.ReadFull(in, payload); err != nil {
			return err
		}
		switch kind {
		case frameHeaders:
			if flags&^(flagEndStream|flagEndHeaders) != 0 || flags&flagEndHeaders == 0 {
				return fmt.Errorf("headers with flags %#x, which this client does not know", flags)
			}
			status = ""
			if _, err := fields.Write(payload); err != nil {
				return err
			}
			if flags&flagEndStream != 0 {
				var err error
				if status != "0" {
					err = fmt.Errorf("grpc-status %q", status)
				}
				c.end(stream, err)
			}
		case frameReset:
			c.end(stream, fmt.Errorf("reset with %d", binary.BigEndian.Uint32(payload)))
		case frameGoAway:
			return errors.New("the server goes away")
		case frameSettings, framePing:
			if flags&flagAck == 0 {
				c.acknowledge(kind, payload)
			}
		}
	}
}

// pause sends what calls have been made while frames were read: nothing more is
// there to be read without waiting. resume collects again.
func (c *grpcConn) pause() {
	c.mu.Lock()
	c.waits = false
	if len(c.out) > 0 {
		_ = c.flush() // the next read finds out
	}
	c.mu.Unlock()
}

func (c *grpcConn) resume() {
	c.mu.Lock()
	c.waits = true
	c.mu.Unlock()
}

func (c *grpcConn) acknowledge(kind byte, payload []byte) {
	if kind == frameSettings {
		payload = nil
	}
	c.mu.Lock()
	c.out = frame(c.out, len(payload), kind, flagAck, 0)
	c.out = append(c.out, payload...)
	c.mu.Unlock()
}

func (c *grpcConn) end(stream uint32, err error) {
	c.mu.Lock()
	done := c.waiting[stream]
	delete(c.waiting, stream)
	c.mu.Unlock()
	if done != nil {
		done(err)
	}
}
