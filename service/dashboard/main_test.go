package dashboard

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secret is a key that no output may show.
const secret = "0123456789abcdef0123456789abcdef01234567"

// client makes a Client for a base, closed with the test.
func client(t testing.TB, base string, change ...func(*Config)) *Client {
	t.Helper()
	c := Config{BaseURL: base, Timeout: 10 * time.Second}
	for _, f := range change {
		f(&c)
	}
	cl, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// serve starts an HTTP server, closed with the test.
func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// raw starts a TCP server that gives each connection, with its number from 0, to
// handle and then closes it.
func raw(t testing.TB, handle func(n int, c net.Conn)) (base string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(n, c)
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// get is a read, post a write.
func get(path string) *Request {
	return &Request{Operation: "getThing", Method: "GET", Path: path, Key: NewKey(secret)}
}

func post(path, body string) *Request {
	return &Request{Operation: "createThing", Method: "POST", Path: path, Body: []byte(body), Key: NewKey(secret)}
}

func attempt(t testing.TB, c *Client, r *Request) *Result {
	t.Helper()
	return c.Attempt(context.Background(), r)
}

// expect compares what every test looks at.
func expect(t testing.TB, a *Result, o fault.Outcome, status int, maybe bool) {
	t.Helper()
	if a.Outcome != o || a.Status != status || a.MaybeExecuted != maybe {
		t.Errorf("outcome %v, status %d, maybe executed %t (%v); want %v, %d, %t", a.Outcome, a.Status, a.MaybeExecuted, a.Err, o, status, maybe)
	}
}

// trust makes a client trust a test server, where it speaks TLS.
func trust(s *httptest.Server) func(*Config) {
	return func(c *Config) {
		if s.TLS != nil {
			c.RootCAs = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		}
	}
}

// starting serves connections as raw does, and gives a client of that server.
type starting func(handle func(n int, c net.Conn), change ...func(*Config)) *Client

// overBoth runs a test in plain text and over TLS, where what has been read is not
// what has come, and what has been written is not what has left.
func overBoth(t *testing.T, name string, test func(t *testing.T, start starting)) {
	t.Helper()
	t.Run(name+"/plain text", func(t *testing.T) {
		t.Parallel()
		test(t, func(handle func(int, net.Conn), change ...func(*Config)) *Client {
			return client(t, raw(t, handle), change...)
		})
	})
	t.Run(name+"/TLS", func(t *testing.T) {
		t.Parallel()
		s := httptest.NewTLSServer(http.NotFoundHandler()) // for its certificate
		t.Cleanup(s.Close)
		config := &tls.Config{Certificates: s.TLS.Certificates, MinVersion: tls.VersionTLS12}
		test(t, func(handle func(int, net.Conn), change ...func(*Config)) *Client {
			base := raw(t, func(n int, c net.Conn) {
				secure := tls.Server(c, config)
				if secure.Handshake() == nil {
					handle(n, secure)
				}
				_ = secure.Close()
			})
			return client(t, strings.Replace(base, "http:", "https:", 1), append(change, trust(s))...)
		})
	})
}

// reset makes the end of a connection a reset.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	_ = c.(*net.TCPConn).SetLinger(0)
}
