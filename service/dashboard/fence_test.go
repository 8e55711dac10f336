package dashboard

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/merakibroker/merakibroker/service/fault"
)

func newReader(c net.Conn) *bufio.Reader { return bufio.NewReader(c) }

const kept = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// net/http sends a GET again by itself when a kept connection turns out to be
// dead. Here it must not: the server reads as many requests as attempts were made.
func TestDeadKeptConnection(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(net.Conn){"closed": func(net.Conn) {}, "reset": reset} {
		overBoth(t, name, func(t *testing.T, start starting) {
			var requests atomic.Int64
			c := start(func(n int, c net.Conn) {
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
	overBoth(t, "", func(t *testing.T, start starting) {
		var requests atomic.Int64
		c := start(func(n int, c net.Conn) {
			if reply(c, kept) {
				requests.Add(1)
			}
		})
		var answered int64
		for i := range 300 {
			r := get("/a")
			if i%2 == 1 {
				r = post("/a", "{}")
			}
			switch a := attempt(t, c, r); {
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
	})
}

// Upstream is HTTP/1.1, also where the server would rather speak HTTP/2.
func TestNoHTTP2(t *testing.T) {
	t.Parallel()
	s, connections := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			t.Errorf("asked by %s", r.Proto)
		}
	}, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	c := client(t, s.URL, trust(s))
	for range 5 {
		expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections; want 1", n)
	}
}
