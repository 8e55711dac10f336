package dashboard

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/merakibroker/merakibroker/service/fault"
)

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }

const kept = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// net/http sends a GET again by itself when a kept connection turns out to be
// dead. Here it must not: the server reads as many requests as attempts were made.
func TestDeadKeptConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){
		"closed": func(net.Conn) {},
		"reset":  func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			base := raw(t, func(n int, c net.Conn) {
				r := newReader(c)
				for i := range 2 {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					requests.Add(1)
					if i == 0 {
						_, _ = io.WriteString(c, kept)
					}
				}
				end(c) // the second request was read and gets no answer
			})
			c := client(t, base)
			for i, r := range []*Request{get("/a"), get("/a"), get("/a"), post("/a", "{}"), get("/a"), {Method: "POST", Path: "/a"}, get("/a"), {Method: "DELETE", Path: "/a"}} {
				a := attempt(t, c, r)
				if i%2 == 0 {
					expect(t, a, fault.OK, 200, true)
				} else {
					expect(t, a, fault.Reset, 0, true)
				}
				if got := requests.Load(); got != int64(i+1) {
					t.Fatalf("%s: the server read %d requests of %d attempts", r.Method, got, i+1)
				}
			}
		})
	}
}

// A server that closes kept connections whenever it likes reads at most one
// request for each attempt, and one for each that was answered.
func TestClosedWhileIdle(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	base := raw(t, func(n int, c net.Conn) {
		if reply(c, kept) {
			requests.Add(1)
		}
	})
	c := client(t, base)
	var answered int64
	for range 300 {
		switch a := attempt(t, c, get("/a")); {
		case a.Outcome == fault.OK:
			answered++
		case a.Outcome != fault.Reset && a.Outcome != fault.NotSent:
			t.Errorf("%v (%v)", a.Outcome, a.Err)
		}
	}
	for requests.Load() < answered && t.Context().Err() == nil {
		runtime.Gosched() // the server counts an answer after it has sent it
	}
	if got := requests.Load(); got != answered {
		t.Errorf("the server answered %d requests, we have %d answers", got, answered)
	}
}

// The same over TLS, where the bytes are counted below it.
func TestDeadKeptConnectionTLS(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1)%2 == 0 {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "{}")
	}))
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, s.URL, trust(s), func(c *Config) { c.DisableHTTP2 = true })
	for i := range 10 {
		if a := attempt(t, c, get("/a")); i%2 == 0 {
			expect(t, a, fault.OK, 200, true)
		} else {
			expect(t, a, fault.Reset, 0, true)
		}
		if got := requests.Load(); got != int64(i+1) {
			t.Fatalf("the server read %d requests of %d attempts", got, i+1)
		}
	}
}

func trust(s *httptest.Server) func(*Config) {
	return func(c *Config) { c.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs }
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		b, _ := io.ReadAll(r.Body)
		switch {
		case r.ProtoMajor != 2:
			t.Errorf("asked by %s", r.Proto)
		case r.URL.Path == "/abort":
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/cut":
			_, _ = io.WriteString(w, `{"a":`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case r.URL.Path == "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zip(t, []byte("[1]")))
		default:
			_, _ = w.Write(b)
		}
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, s.URL, trust(s))
	for i, step := range []struct {
		r      *Request
		want   fault.Outcome
		status int
	}{
		{get("/a"), fault.OK, 200},
		{post("/a", `{"a":1}`), fault.OK, 200},
		{get("/zip"), fault.OK, 200},
		{get("/abort"), fault.Reset, 0},
		{post("/abort", "{}"), fault.Reset, 0},
		{get("/cut"), fault.Garbled, 200},
		{get("/a"), fault.OK, 200},
	} {
		expect(t, attempt(t, c, step.r), step.want, step.status, true)
		if got := requests.Load(); got != int64(i+1) {
			t.Fatalf("step %d: the server read %d requests", i, got)
		}
	}
}

// An HTTP/2 server that does not take a request says so, and net/http would send
// it again up to seven times, with waits of its own. One attempt is one request.
func TestHTTP2Refusals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		refuse func(f *http2.Framer, stream uint32)
		// What a request with a body ends as: its text tells the reason.
		want  fault.Outcome
		maybe bool
	}{
		{"REFUSED_STREAM", func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) }, fault.NotSent, false},
		{"PROTOCOL_ERROR", func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeProtocol) }, fault.Reset, true},
		{"INTERNAL_ERROR", func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeInternal) }, fault.Reset, true},
		{"GOAWAY", func(f *http2.Framer, stream uint32) { _ = f.WriteGoAway(stream-2, http2.ErrCodeNo, nil) }, fault.NotSent, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := httptest.NewUnstartedServer(nil)
			var requests atomic.Int64
			s.TLS = &tls.Config{NextProtos: []string{"h2"}}
			s.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){
				"h2": func(_ *http.Server, conn *tls.Conn, _ http.Handler) { refusing(conn, &requests, c.refuse) },
			}
			s.StartTLS()
			t.Cleanup(s.Close)
			cl := client(t, s.URL, trust(s))
			// Stream 1 is answered: a first stream that GOAWAY leaves out would be 3.
			expect(t, attempt(t, cl, get("/first")), fault.OK, 204, true)
			n := requests.Load()
			for _, r := range []*Request{get("/a"), post("/a", `{"a":1}`), {Method: "POST", Path: "/a"}} {
				a := attempt(t, cl, r)
				if n++; requests.Load() > n {
					t.Fatalf("%s: the server read %d requests of %d attempts", r.Method, requests.Load(), n)
				}
				if a.Outcome == fault.OK {
					continue // on a new connection, whose first stream is answered
				}
				if len(r.Body) > 0 {
					expect(t, a, c.want, 0, c.maybe)
				} else {
					expect(t, a, fault.Reset, 0, true)
				}
			}
		})
	}
}

// refusing speaks HTTP/2 on a connection: it answers the first request and
// refuses all others.
func refusing(conn net.Conn, requests *atomic.Int64, refuse func(*http2.Framer, uint32)) {
	defer conn.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = f.WritePing(true, frame.Data)
			}
		case *http2.HeadersFrame:
			requests.Add(1)
			if frame.StreamID > 1 {
				refuse(f, frame.StreamID)
				continue
			}
			var b bytes.Buffer
			_ = hpack.NewEncoder(&b).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: frame.StreamID, BlockFragment: b.Bytes(), EndStream: true, EndHeaders: true})
		}
	}
}
