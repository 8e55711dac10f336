package dashboard

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
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
		for path, want := range map[string]int{"/": 200, "/chunked": 200, "/zip": 200, "/nothing": 204, "/refused": 404} {
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
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := raw(t, func(n int, c net.Conn) {
				r := newReader(c)
				for {
					if _, err := http.ReadRequest(r); err != nil {
						return
					}
					text := kept
					if n == 0 {
						text = first
					}
					if _, err := io.WriteString(c, text); err != nil || n > 0 {
						return
					}
				}
			})
			c := client(t, base)
			attempt(t, c, get("/a"))
			if a := attempt(t, c, get("/a")); string(a.Body) != "{}" {
				t.Errorf("%v: %q (%v)", a.Outcome, a.Body, a.Err)
			}
		})
	}
}

// TLS reads ahead: what it holds is in no buffer that can be looked at.
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
			c := client(t, strings.Replace(base, "http:", "https:", 1), trust(s), func(c *Config) { c.DisableHTTP2 = true })
			for range 3 {
				expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
			}
			if n, want := connections.Load(), map[bool]int64{true: 1, false: 3}[name == "nothing more"]; n != want {
				t.Errorf("%d connections for 3 attempts; want %d", n, want)
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
	c := client(t, s.URL, func(c *Config) { c.Timeout, c.ErrorBodyTimeout = 500*time.Millisecond, time.Hour })
	expect(t, attempt(t, c, get("/a")), fault.Limited, 429, false)
}

// A connection that the server has closed, or on which it talks unasked, is not
// used again: a write that goes there would end as one that nobody knows about.
func TestIdleConnectionThatIsOver(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]string{"closed": "", "a farewell": "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			over := make(chan struct{})
			base := raw(t, func(n int, c net.Conn) {
				if !reply(c, kept) {
					t.Error("no request came")
				}
				_, _ = io.WriteString(c, say)
				_ = c.Close()
				over <- struct{}{}
			})
			c := client(t, base)
			for range 5 {
				expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
				<-over // the kernel knows, since both ends are of this machine
			}
		})
	}
}

// What nobody has used for long is closed, and so is everything by Close.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	for name, age := range map[string]time.Duration{"by age": 10 * time.Millisecond, "by Close": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{})
			base := raw(t, func(_ int, c net.Conn) {
				reply(c, kept)
				if _, err := c.Read(make([]byte, 1)); err == io.EOF {
					close(closed)
				}
			})
			c := client(t, base, func(c *Config) { c.IdleTimeout = age })
			expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
			if age == time.Hour {
				c.Close()
			}
			<-closed
		})
	}
}

// No more are kept than said, and none after Close.
func TestConnectionsKeptAreBounded(t *testing.T) {
	t.Parallel()
	together := make(chan struct{})
	var waiting atomic.Int64
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/together" {
			if waiting.Add(1) == 4 {
				close(together)
			}
			<-together
		}
	})
	c := client(t, s.URL, func(c *Config) { c.MaxIdleConnsPerHost = 2 })
	done := make(chan struct{})
	for range 4 {
		go func() { expect(t, attempt(t, c, get("/together")), fault.OK, 200, true); done <- struct{}{} }()
	}
	for range 4 {
		<-done
	}
	p := c.pools.base
	if n := len(p.idle); n != 2 {
		t.Errorf("%d are kept; want 2", n)
	}
	c.Close()
	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
	if n := len(p.idle); n != 0 {
		t.Errorf("%d are kept after Close", n)
	}
}

// A server may answer a large body before it has read it.
func TestAnsweredBeforeItWasRead(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	base := raw(t, func(_ int, c net.Conn) {
		if _, err := http.ReadRequest(newReader(c)); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
		<-hold
	})
	c := client(t, base)
	a := attempt(t, c, post("/a", `["`+strings.Repeat("x", 16<<20)+`"]`))
	close(hold)
	expect(t, a, fault.Refused, 413, false)
}

// A host that prefers HTTP/2 gets it, after one connection to find out.
func TestHTTP2IsFound(t *testing.T) {
	t.Parallel()
	s, connections := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("asked by %s", r.Proto)
		}
	}, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	c := client(t, s.URL, trust(s))
	for range 5 {
		expect(t, attempt(t, c, post("/a", "{}")), fault.OK, 200, true)
	}
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections; want one to find out, and one", n)
	}
}

// A proxy is asked instead of the host.
func TestProxy(t *testing.T) {
	t.Parallel()
	s, _ := counted(t, func(w http.ResponseWriter, r *http.Request) {
		if r.RequestURI != "http://dashboard.example/api/v1/a" || r.Host != "dashboard.example" {
			t.Errorf("the proxy was asked for %s of %s", r.RequestURI, r.Host)
		}
	})
	proxy, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, "http://dashboard.example/api/v1", func(c *Config) { c.Proxy = http.ProxyURL(proxy) })
	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
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
