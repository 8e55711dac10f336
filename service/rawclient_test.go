package service_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"
)

// A rawClient speaks HTTP/2 frame by frame, so that it can do what no gRPC client
// would.
type rawClient struct {
	t      testing.TB
	conn   net.Conn
	framer *http2.Framer
	text   bytes.Buffer
	hpack  *hpack.Encoder
	last   uint32
}

func newRawClient(t testing.TB, address string, settings ...http2.Setting) *rawClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	c := &rawClient{t: t, conn: conn, framer: http2.NewFramer(conn, conn)}
	c.hpack = hpack.NewEncoder(&c.text)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	if err := c.framer.WriteSettingsAck(); err != nil {
		t.Fatal(err)
	}
	return c
}

// begin opens a call and sends no request. The error is the connection's.
func (c *rawClient) begin(rpc string, headers ...string) (stream uint32, err error) {
	c.text.Reset()
	fields := append([]string{
		":method", "POST", ":scheme", "http", ":path", rpc, ":authority", "test",
		"content-type", "application/grpc", "te", "trailers",
	}, headers...)
	for i := 0; i < len(fields); i += 2 {
		if err := c.hpack.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}); err != nil {
			c.t.Fatal(err)
		}
	}
	if c.last == 0 {
		c.last = 1
	} else {
		c.last += 2
	}
	block := c.text.Bytes()
	const most = 16 << 10 // of a frame
	head := block[:min(len(block), most)]
	err = c.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: c.last, BlockFragment: head, EndHeaders: len(head) == len(block)})
	for rest := block[len(head):]; len(rest) > 0 && err == nil; {
		part := rest[:min(len(rest), most)]
		rest = rest[len(part):]
		err = c.framer.WriteContinuation(c.last, len(rest) == 0, part)
	}
	return c.last, err
}

// send sends the request of a call.
func (c *rawClient) send(stream uint32, m proto.Message) error { return c.message(stream, m, true) }

// sendMore sends a request to which others may come.
func (c *rawClient) sendMore(stream uint32, m proto.Message) error {
	return c.message(stream, m, false)
}

func (c *rawClient) message(stream uint32, m proto.Message, last bool) error {
	body, err := proto.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	prefix := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body)))
	return c.framer.WriteData(stream, last, append(prefix, body...))
}

// drainFrames reads all frames until the connection ends, and gives each to f.
func (c *rawClient) drainFrames(f func(http2.Frame)) {
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		f(frame)
	}
}

// statusOf is the gRPC status in a HEADERS frame, as its number, and the reason
// beside it; "" in others.
func statusOf(f http2.Frame) (code, reason string) {
	h, ok := f.(*http2.MetaHeadersFrame)
	if !ok {
		return "", ""
	}
	for _, field := range h.Fields {
		switch field.Name {
		case "grpc-status":
			code = field.Value
		case "meraki-reason":
			reason = field.Value
		}
	}
	return code, reason
}

// describe names a frame for an error.
func describe(f http2.Frame) string {
	switch f := f.(type) {
	case *http2.RSTStreamFrame:
		return "RST_STREAM " + f.ErrCode.String()
	case *http2.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %v %s", f.ErrCode, f.DebugData())
	default:
		return f.Header().Type.String()
	}
}
