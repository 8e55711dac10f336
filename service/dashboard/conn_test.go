package dashboard

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// A counted server tells how many connections it has been given.
func counted(t testing.TB, h http.HandlerFunc, change ...func(*httptest.Server)) (s *httptest.Server, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	s = httptest.NewUnstartedServer(h)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	for _, f := range change {
		f(s)
	}
	if s.TLS == nil && !s.EnableHTTP2 {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, connections
}

// Attempts that follow each other have one connection, whatever the answer was, as
// long as it has been read to its end.
func TestConnectionIsKept(t *testing.T) {
	t.Parallel()
	s, connections := counted(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			_, _ = io.WriteString(w, "[")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "]")
		case "/zip":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zip(t, []byte("[1]")))
		case "/nothing":
			w.WriteHeader(204)
		case "/refused":
			w.WriteHeader(404)
			_, _ = io.WriteString(w, `{"errors":["no"]}`)
		default:
			_, _ = io.Copy(w, r.Body)
		}
	})
	c := client(t, s.URL)
	for range 3 {
		for path, want := range map[string]int{"/plain": 200, "/chunked": 200, "/zip": 200, "/nothing": 204, "/refused": 404} {
			for _, r := range []*Request{get(path), post(path, `{"a":1}`)} {
				if a := attempt(t, c, r); a.Status != want {
					t.Errorf("%s %s: %d (%v)", r.Method, path, a.Status, a.Err)
				}
			}
		}
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for attempts one after the other", n)
	}
}

// An answer that has not been read to its end, or one with something behind it,
// must not be taken for the next one.
func TestAnswersAreNotMixed(t *testing.T) {
	t.Parallel()
	const wrong = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[\"wrong\"]"
	for name, first := range map[string]string{
		"one more answer":     kept + wrong,
		"longer than it said": "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + strings.Repeat(" ", 100),
		"an error cut short":  "HTTP/1.1 500 Oops\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000) + wrong,
		"asked to close":      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}" + wrong,
		"of HTTP/1.0":         "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}" + wrong,
		"without a body":      "HTTP/1.1 204 No Content\r\n\r\n" + wrong,
	} {
		overBoth(t, name, func(t *testing.T, start starting) {
			serve := func(n int, c net.Conn) {
				r := newReader(c)
				for text := first; ; text = kept {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					if n > 0 {
						text = kept
					}
					if _, err := io.WriteString(c, text); err != nil {
						return
					}
				}
			}
			for range 10 {
				c := start(serve)
				attempt(t, c, get("/a"))
				if a := attempt(t, c, get("/a")); string(a.Body) != "{}" {
					t.Fatalf("%v: %q (%v)", a.Outcome, a.Body, a.Err)
				}
			}
		})
	}
}

// TLS reads ahead: what it holds is in no buffer that can be looked at. A
// connection on which anything more has come is not used again.
func TestAnswersAreNotMixedOverTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
	t.Cleanup(s.Close)
	large := "HTTP/1.1 200 OK\r\nContent-Length: 10002\r\n\r\n[" + strings.Repeat(" ", 10_000) + "]"
	const wrong = "HTTP/1.1 400 No\r\nContent-Length: 9\r\n\r\n[\"wrong\"]"
	for name, records := range map[string][]string{
		"in one segment": {kept, wrong}, "in one record": {large + wrong}, "nothing more": {kept},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var connections atomic.Int64
			base := raw(t, func(n int, c net.Conn) {
				connections.Add(1)
				lump := &lump{Conn: c}
				secure := tls.Server(lump, &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12})
				if err := secure.Handshake(); err != nil {
					t.Error(err)
				}
				r := newReader(secure)
				for {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					lump.holds = true
					for _, text := range records {
						_, _ = io.WriteString(secure, text)
					}
					lump.flush()
				}
			})
			c := client(t, strings.Replace(base, "http:", "https:", 1), trust(s))
			for range 20 {
				expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
			}
			if n, want := connections.Load(), map[bool]int64{true: 1, false: 20}[name == "nothing more"]; n != want {
				t.Errorf("%d connections for 20 attempts; want %d", n, want)
			}
		})
	}
}

// A lump writes what it has been given at once.
type lump struct {
	net.Conn
	holds bool
	held  []byte
}

func (l *lump) Write(p []byte) (int, error) {
	if !l.holds {
		return l.Conn.Write(p)
	}
	l.held = append(l.held, p...)
	return len(p), nil
}

func (l *lump) flush() {
	_, _ = l.Conn.Write(l.held)
	l.held, l.holds = nil, false
}

// The deadline of a shared read moves when somebody with more time joins; what
// counts is when its context ends.
func TestDeadlineMoves(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") })
	c := client(t, s.URL)
	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true) // on whose connection the next one goes
	expect(t, c.Attempt(moved{t.Context()}, post("/a", "{}")), fault.OK, 200, true)
}

type moved struct{ context.Context }

func (moved) Deadline() (time.Time, bool) { return epoch.AddDate(-10, 0, 0), true }

// The time of an attempt bounds an error's body, too.
func TestErrorBodyWithinTimeout(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(429)
		_, _ = io.WriteString(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	inTime(t, func(most time.Duration) (late bool) {
		c := client(t, s.URL, func(c *Config) { c.Timeout, c.ErrorBodyTimeout = most, time.Hour })
		a := attempt(t, c, get("/a"))
		if a.Status == 0 && (a.Outcome == fault.Timeout || a.Outcome == fault.NotSent) {
			return true
		}
		expect(t, a, fault.Limited, 429, false)
		return false
	})
}

// A connection that the server has closed, or on which it talks unasked, is not
// used again: a write that goes there would end as one that nobody knows about.
func TestIdleConnectionThatIsOver(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"closed": "", "a farewell": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
		overBoth(t, name, func(t *testing.T, start starting) {
			over := make(chan struct{})
			c := start(func(n int, c net.Conn) {
				if !reply(c, kept) {
					t.Error("no request came")
				}
				_, _ = io.WriteString(c, say)
				_ = c.Close()
				over <- struct{}{}
			})
			for _, r := range []*Request{
				post("/a", "{}"), post("/a", "{}"), get("/a"), {Method: "DELETE", Path: "/a"}, {Method: "POST", Path: "/a"}, {Method: "PUT", Path: "/a"},
				post("/a", `["`+strings.Repeat("x", 100_000)+`"]`),
			} {
				expect(t, attempt(t, c, r), fault.OK, 200, true)
				<-over // the kernel knows, since both ends are of this machine
			}
		})
	}
}

// Many kept connections that are over at once are all passed over by one attempt.
func TestAllIdleConnectionsAreOver(t *testing.T) {
	t.Parallel()
	const many = 8
	var here sync.WaitGroup
	here.Add(many)
	var requests atomic.Int64
	s, connections := counted(t, func(_ http.ResponseWriter, r *http.Request) {
		if requests.Add(1) <= many {
			here.Done()
			here.Wait()
		}
	})
	c := client(t, s.URL)
	var done sync.WaitGroup
	for range many {
		done.Go(func() { expect(t, attempt(t, c, get("/a")), fault.OK, 200, true) })
	}
	done.Wait()
	s.CloseClientConnections()
	expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
	if r, n := requests.Load(), connections.Load(); r != many+1 || n != many+1 {
		t.Errorf("%d requests on %d connections; want %d of each", r, n, many+1)
	}
}

// What nobody has used for long is closed, and so is everything by Close, and what
// is used after it.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"by age": 10 * time.Millisecond, "by Close": time.Hour, "after Close": time.Hour, "by other authorities": time.Hour} {
		overBoth(t, name, func(t *testing.T, start starting) {
			closed := make(chan struct{})
			c := start(func(_ int, c net.Conn) {
				reply(c, kept)
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					close(closed)
				}
			}, func(c *Config) { c.IdleTimeout = age })
			if name == "after Close" {
				c.Close()
			}
			expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
			switch name {
			case "by Close":
				c.Close()
			case "by other authorities":
				c.Trust(nil)
			}
			<-closed
		})
	}
}

// A further connection resumes the session of an earlier one.
func TestSessionsAreResumed(t *testing.T) {
	t.Parallel()
	var resumed atomic.Int64
	s, connections := counted(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.TLS.DidResume {
			resumed.Add(1)
		}
	}, (*httptest.Server).StartTLS)
	c := client(t, s.URL, trust(s))
	for range 3 {
		expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
		c.transport.Load().CloseIdleConnections()
	}
	if n, r := connections.Load(), resumed.Load(); n != 3 || r != 2 {
		t.Errorf("%d of %d connections resumed a session; want 2 of 3", r, n)
	}
}

// Authorities can be exchanged, as when their file changes.
func TestTrust(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	c := client(t, s.URL)
	expect(t, attempt(t, c, get("/a")), fault.NotSent, 0, false)
	var config Config
	trust(s)(&config)
	c.Trust(config.RootCAs)
	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
	c.Trust(nil)
	expect(t, attempt(t, c, get("/a")), fault.NotSent, 0, false)
}

// A server may answer before it has read the request, and close then or not.
func TestAnsweredBeforeItWasRead(t *testing.T) {
	t.Parallel()
	large, small := `["`+strings.Repeat("x", 16<<20)+`"]`, `["x"]`
	for name, body := range map[string]string{"large": large, "small": small} {
		overBoth(t, name, func(t *testing.T, start starting) {
			hold := make(chan struct{})
			c := start(func(_ int, c net.Conn) {
				if _, err := http.ReadRequest(newReader(c)); err != nil {
					t.Error(err)
				}
				_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
				<-hold
			})
			a := attempt(t, c, post("/a", body))
			close(hold)
			expect(t, a, fault.Refused, 413, false)
		})
	}
}

// Who leaves while the connection is made has sent nothing.
func TestLeftWhileDialling(t *testing.T) {
	t.Parallel()
	arrived, free := make(chan struct{}), make(chan struct{})
	base := raw(t, func(int, net.Conn) { close(arrived); <-free }) // takes the connection and says nothing of TLS
	defer close(free)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-arrived; cancel() }()
	expect(t, client(t, strings.Replace(base, "http:", "https:", 1)).Attempt(ctx, post("/a", "{}")), fault.Left, 0, false)
}

// A kept connection can carry the next request once its reader waits for bytes.
// Before that it may hold some of its own, and net/http is about to close it.
func TestConnectionWaitsForItsReader(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]func(c *conn){
		"the reader waits": func(c *conn) { _, _ = c.Read(make([]byte, 1)) },
		"closed":           func(c *conn) { _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				defer theirs.Close()
				made, err := dialing(func(context.Context, string, string) (net.Conn, error) { return ours, nil })(t.Context(), "", "")
				if err != nil {
					t.Fatal(err)
				}
				c := made.(*conn)
				defer c.Close()
				go func() { _, _ = theirs.Write([]byte("x")) }()
				if n, err := c.Read(make([]byte, 10)); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				usable := make(chan bool, 1)
				go func() { usable <- c.usable() }()
				synctest.Wait()
				if len(usable) > 0 {
					t.Fatalf("usable %t while the reader has bytes to look at", <-usable)
				}
				go next(c)
				synctest.Wait()
				if got, want := <-usable, name != "closed"; got != want {
					t.Errorf("usable %t; want %t", got, want)
				}
			})
		})
	}
}

// TestManyIdleConnectionsAreKept: after 300 attempts at once 256 connections are kept, so that the
// next ones, as many, dial none.
func TestManyIdleConnectionsAreKept(t *testing.T) {
	t.Parallel()
	const kept, more = 256, 44
	var arrived sync.WaitGroup
	var gate atomic.Pointer[chan struct{}]
	var dropped atomic.Int64
	over := make(chan struct{})
	s, connections := counted(t, func(http.ResponseWriter, *http.Request) {
		open := *gate.Load()
		arrived.Done()
		<-open
	}, func(s *httptest.Server) {
		count := s.Config.ConnState
		s.Config.ConnState = func(conn net.Conn, state http.ConnState) {
			if count(conn, state); state == http.StateClosed && dropped.Add(1) == more {
				close(over)
			}
		}
	})
	c := client(t, s.URL)
	atOnce := func(n int) {
		var wg sync.WaitGroup
		open := make(chan struct{})
		gate.Store(&open)
		arrived.Add(n)
		for range n {
			wg.Go(func() {
				if a := attempt(t, c, get("/x")); a.Status != 200 {
					t.Errorf("%d (%v)", a.Status, a.Err)
				}
			})
		}
		arrived.Wait()
		close(open)
		wg.Wait()
	}
	atOnce(kept + more)
	<-over
	before := connections.Load()
	atOnce(kept)
	if n := connections.Load(); before != kept+more || n != before {
		t.Errorf("%d connections for the first attempts, %d more for the next %d", before, n-before, kept)
	}
}
