package dashboard

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

func TestRequestOnTheWire(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got, body = r, string(b)
		w.Header().Set("X-Request-Id", "id-1")
		w.Header().Set("Link", `<https://n1.meraki.com/api/v1/a?startingAfter=2>; rel=next, </prefix/api/v1/a?endingBefore=1>; rel="prev"`)
		_, _ = io.WriteString(w, `[]`)
	})
	c := client(t, s.URL+"/prefix/api/v1")
	r := post("/networks/N%3A1/x%40y", `{"a":1}`)
	r.Query = "serials[]=a&t=%2B"
	a := attempt(t, c, r)
	expect(t, a, fault.OK, 200, true)
	if got.RequestURI != "/prefix/api/v1/networks/N%3A1/x%40y?serials[]=a&t=%2B" || got.Method != "POST" || body != `{"a":1}` {
		t.Errorf("%s %s %s", got.Method, got.RequestURI, body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + secret, "User-Agent": "MerakiBroker/1.0 MerakiBroker", "Accept": "application/json",
		"Accept-Encoding": "gzip", "Content-Type": "application/json", "Content-Length": "7",
	} {
		if v := got.Header[name]; len(v) != 1 || v[0] != want {
			t.Errorf("%s: %q; want %q", name, v, want)
		}
	}
	if len(got.TransferEncoding) > 0 || got.ContentLength != 7 {
		t.Errorf("sent as %v, %d bytes", got.TransferEncoding, got.ContentLength)
	}
	if string(a.Body) != "[]" || a.RequestID != "id-1" || a.Host != s.URL || a.Err != nil || a.Start.IsZero() || a.Duration <= 0 {
		t.Errorf("%+v", a)
	}
	if a.Next == nil || *a.Next != (Link{Host: "https://n1.meraki.com", Path: "/a", Query: "startingAfter=2", StartingAfter: "2"}) {
		t.Errorf("next: %+v", a.Next)
	}
	if a.Prev == nil || *a.Prev != (Link{Path: "/a", Query: "endingBefore=1", EndingBefore: "1"}) {
		t.Errorf("prev: %+v", a.Prev)
	}

	expect(t, attempt(t, c, get("/a")), fault.OK, 200, true)
	if got.ContentLength != 0 || len(got.TransferEncoding) > 0 || len(got.Header["Content-Type"]) > 0 || len(got.Header["Content-Length"]) > 0 {
		t.Errorf("a read was sent with a body: %v %v", got.Header, got.TransferEncoding)
	}
	if a := attempt(t, c, &Request{Method: "GET", Path: "/a"}); a.Outcome != fault.OK || len(got.Header["Authorization"]) > 0 {
		t.Errorf("without a key: %v, %v", a.Outcome, got.Header)
	}
}

func TestUnusableRequests(t *testing.T) {
	t.Parallel()
	s := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("something was sent") })
	c := client(t, s.URL+"/api/v1")
	for name, change := range map[string]func(*Request){
		"no path":               func(r *Request) { r.Path = "" },
		"a relative path":       func(r *Request) { r.Path = "a" },
		"dots":                  func(r *Request) { r.Path = "/a/../../v0" },
		"escaped dots":          func(r *Request) { r.Path = "/%2E%2e/v0" },
		"a broken escape":       func(r *Request) { r.Path = "/%zz" },
		"a newline in a query":  func(r *Request) { r.Query = "a=\r\nX: y" },
		"a space in a query":    func(r *Request) { r.Query = "a=b c" },
		"a fragment":            func(r *Request) { r.Query = "a=b#c" },
		"another method":        func(r *Request) { r.Method = "CONNECT" },
		"a lower-case method":   func(r *Request) { r.Method = "get" },
		"a key with a newline":  func(r *Request) { r.Key = NewKey("a\nb") },
		"a host out of bounds":  func(r *Request) { r.Host = "https://evil.example" },
		"a host with a path":    func(r *Request) { r.Host = "https://n1.meraki.com/x" },
		"plain http at a shard": func(r *Request) { r.Host = "http://n1.meraki.com" },
		"no scheme":             func(r *Request) { r.Host = "n1.meraki.com" },
	} {
		r := get("/a")
		change(r)
		a := attempt(t, c, r)
		expect(t, a, fault.NotSent, 0, false)
		if !errors.Is(a.Err, ErrUnusable) || strings.Contains(a.Err.Error(), "evil") || a.Host == "" {
			t.Errorf("%s: %v, host %q", name, a.Err, a.Host)
		}
	}
}

// zip compresses b.
func zip(t testing.TB, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return z.Bytes()
}

func TestBodies(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	big := []byte(`["` + strings.Repeat("x", limit-4) + `"]`)
	bomb := zip(t, bytes.Repeat([]byte(" "), 4<<20)) // 4 KiB that want to be 4 MiB
	sum := zip(t, []byte("[]"))
	sum[len(sum)-8] ^= 1
	// late says something at the very end of what is read of an error, or beyond by so much.
	late := func(beyond int) []byte { return []byte(strings.Repeat(" ", 64<<10-6+beyond) + `"late"`) }
	for _, c := range []struct {
		name     string
		status   int
		encoding string
		body     []byte
		chunked  bool
		want     fault.Outcome
		bytes    int
		err      error
		messages []string
	}{
		{name: "nothing", status: 200, want: fault.OK},
		{name: "no content", status: 204, want: fault.OK},
		{name: "at the bound", status: 200, body: big, want: fault.OK, bytes: limit},
		{name: "at the bound, length unknown", status: 200, body: big, chunked: true, want: fault.OK, bytes: limit},
		{name: "at the bound, zipped", status: 200, encoding: "gzip", body: zip(t, big), want: fault.OK, bytes: limit},
		{name: "x-gzip", status: 200, encoding: "X-GZIP", body: zip(t, []byte("[]")), want: fault.OK, bytes: 2},
		{name: "identity", status: 200, encoding: "identity", body: []byte("[]"), want: fault.OK, bytes: 2},
		{name: "gzip of nothing", status: 200, encoding: "gzip", want: fault.OK},
		{name: "above the bound", status: 200, body: append(big, ' '), want: fault.Garbled, err: ErrTooLarge},
		{name: "above the bound, length unknown", status: 200, body: append(big, ' '), chunked: true, want: fault.Garbled, err: ErrTooLarge},
		{name: "a gzip bomb", status: 200, encoding: "gzip", body: bomb, want: fault.Garbled, err: ErrTooLarge},
		{name: "said to be gzip", status: 200, encoding: "gzip", body: []byte("[]"), want: fault.Garbled, err: io.ErrUnexpectedEOF},
		{name: "said to be gzip, longer", status: 200, encoding: "gzip", body: []byte(`["0123456789"]`), want: fault.Garbled, err: gzip.ErrHeader},
		{name: "gzip that breaks off", status: 200, encoding: "gzip", body: zip(t, big)[:50], want: fault.Garbled, err: io.ErrUnexpectedEOF},
		{name: "gzip with a wrong sum", status: 200, encoding: "gzip", body: sum, want: fault.Garbled, err: gzip.ErrChecksum},
		{name: "another encoding", status: 200, encoding: "br", body: []byte("[]"), want: fault.Garbled, err: errEncoding},
		{name: "an error's gzip", status: 400, encoding: "gzip", body: zip(t, []byte(`{"errors":["no"]}`)), want: fault.Refused, messages: []string{"no"}},
		{name: "an error's bomb", status: 500, encoding: "gzip", body: bomb, want: fault.ServerError},
		{name: "an error at the bound", status: 502, body: late(0), chunked: true, want: fault.GatewayError, messages: []string{"late"}},
		{name: "an error above the bound", status: 502, body: late(1), chunked: true, want: fault.GatewayError, messages: []string{`"late`}},
		{name: "an error above the bound, length known", status: 502, body: late(1), want: fault.GatewayError, messages: []string{`"late`}},
		{name: "an error in another encoding", status: 403, encoding: "br", body: []byte("xx"), want: fault.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if c.encoding != "" {
					w.Header().Set("Content-Encoding", c.encoding)
				}
				if !c.chunked {
					w.Header().Set("Content-Length", fmt.Sprint(len(c.body)))
				}
				w.WriteHeader(c.status)
				if c.chunked {
					w.(http.Flusher).Flush()
				}
				_, _ = w.Write(c.body)
			})
			cl := client(t, s.URL, func(c *Config) { c.MaxBody = limit })
			for range 2 { // the second with what the pools kept of the first
				a := attempt(t, cl, get("/a"))
				if a.Outcome != c.want || a.Status != c.status || len(a.Body) != c.bytes || !slices.Equal(a.Messages, c.messages) {
					t.Errorf("%v, status %d, %d bytes, %q (%v); want %v, %d, %d, %q", a.Outcome, a.Status, len(a.Body), a.Messages, a.Err, c.want, c.status, c.bytes, c.messages)
				}
				if c.err != nil && !errors.Is(a.Err, c.err) {
					t.Errorf("error %v; want %v", a.Err, c.err)
				}
			}
		})
	}
}

// reply reads one request to its end and writes text.
func reply(c net.Conn, text string) (ok bool) {
	r, err := http.ReadRequest(newReader(c))
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_, _ = io.WriteString(c, text)
	return true
}

func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		want   fault.Outcome
		status int
		maybe  bool
	}{
		{"reset after the request was read", func(c net.Conn) { reply(c, ""); reset(c) }, fault.Reset, 0, true},
		{"closed after the request was read", func(c net.Conn) { reply(c, "") }, fault.Reset, 0, true},
		{"half a header", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\nContent-Le") }, fault.Reset, 0, true},
		{"no HTTP", func(c net.Conn) { reply(c, "SSH-2.0-x\r\n") }, fault.Reset, 0, true},
		{"a header without end", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)) }, fault.Reset, 0, true},
		{"a body cut by its length", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"a\":1}") }, fault.Garbled, 200, true},
		{"a body cut in a chunk", func(c net.Conn) {
			reply(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n")
		}, fault.Garbled, 200, true},
		{"a body cut unnoticed", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\n\r\n{\"a\":[1") }, fault.Garbled, 200, true},
		{"a body reset", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"); reset(c) }, fault.Garbled, 200, true},
		{"a lie about the length", func(c net.Conn) { reply(c, "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\n{}") }, fault.Garbled, 200, true},
		{"an error's body cut", func(c net.Conn) {
			reply(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 100\r\n\r\n{\"errors\":[\"no\",")
		}, fault.Refused, 400, false},
		{"a 100 before", func(c net.Conn) {
			reply(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
		}, fault.OK, 200, true},
		{"a 101", func(c net.Conn) {
			reply(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		}, fault.Garbled, 101, true},
		{"a 101, then silence", func(c net.Conn) {
			reply(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, c) // until the other end closes
		}, fault.Garbled, 101, true},
	} {
		overBoth(t, c.name, func(t *testing.T, start starting) {
			cl := start(func(_ int, conn net.Conn) { c.handle(conn) })
			for _, r := range []*Request{get("/a"), post("/a", `{"a":1}`)} {
				a := attempt(t, cl, r)
				expect(t, a, c.want, c.status, c.maybe)
				if c.want == fault.Refused && (len(a.Messages) != 1 || a.Messages[0] != "no") {
					t.Errorf("messages %q", a.Messages)
				}
				if a.Err != nil && strings.Contains(a.Err.Error(), secret) {
					t.Error("the error shows the key")
				}
			}
		})
	}
}

// Interim answers are passed over, and bounded together with the header that
// counts: without end they are no answer, long before the attempt's time is over.
func TestInterimAnswers(t *testing.T) {
	t.Parallel()
	early := "HTTP/1.1 103 Early Hints\r\nLink: </" + strings.Repeat("x", 1000) + ">\r\n\r\n"
	for name, c := range map[string]struct {
		many int
		want fault.Outcome
	}{"some": {5, fault.OK}, "too many": {maxResponseHeader / 1000, fault.Reset}, "without end": {1 << 30, fault.Reset}} {
		overBoth(t, name, func(t *testing.T, start starting) {
			cl := start(func(_ int, conn net.Conn) {
				reply(conn, "")
				for range c.many {
					if _, err := io.WriteString(conn, early); err != nil {
						return
					}
				}
				_, _ = io.WriteString(conn, kept)
			}, func(c *Config) { c.Timeout = time.Hour })
			if a := attempt(t, cl, post("/a", "{}")); a.Outcome != c.want || !a.MaybeExecuted {
				t.Errorf("%v (%v); want %v", a.Outcome, a.Err, c.want)
			}
		})
	}
}

// A connection that closes while the request is being written: whether anything
// left is a matter of microseconds, and the answer says which it was.
func TestClosedAtOnce(t *testing.T) {
	t.Parallel()
	c := client(t, raw(t, func(int, net.Conn) {}))
	for range 50 {
		a := attempt(t, c, post("/a", "{}"))
		if a.MaybeExecuted {
			expect(t, a, fault.Reset, 0, true)
		} else {
			expect(t, a, fault.NotSent, 0, false)
		}
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	// Nobody listens on the near end of a connection, and nobody else can begin to.
	c, err := net.Dial("tcp", strings.TrimPrefix(serve(t, func(http.ResponseWriter, *http.Request) {}).URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	dead := c.LocalAddr().String()
	tls := httptest.NewUnstartedServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	t.Cleanup(tls.Close)
	for name, base := range map[string]string{
		"refused":                   "http://" + dead,
		"no such name":              "http://no-such-host.invalid",
		"a certificate of no trust": tls.URL,
		"no TLS there":              strings.Replace(serve(t, func(http.ResponseWriter, *http.Request) {}).URL, "http:", "https:", 1),
	} {
		a := attempt(t, client(t, base, func(c *Config) { c.PlainHTTP = true }), post("/a", "{}"))
		if expect(t, a, fault.NotSent, 0, false); a.Err == nil || errors.Is(a.Err, ErrUnusable) {
			t.Errorf("%s: %v", name, a.Err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	n := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n++
		switch r.URL.Path {
		case "/api/v1/shard":
			w.Header().Set("Location", "https://n263.meraki.com/api/v1/shard?a=b")
		case "/api/v1/evil":
			w.Header().Set("Location", "https://evil.example/api/v1/shard")
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(302)
		_, _ = io.WriteString(w, `<html><body>You are being <a href="x">redirected</a>.</body></html>`)
	})
	c := client(t, s.URL+"/api/v1")
	a := attempt(t, c, get("/shard"))
	if expect(t, a, fault.Redirect, 302, false); a.Location == nil || *a.Location != (Target{"https://n263.meraki.com", "/shard", "a=b"}) || a.Refusal != "" {
		t.Errorf("%+v %q", a.Location, a.Refusal)
	}
	a = attempt(t, c, get("/evil"))
	if expect(t, a, fault.Redirect, 302, false); a.Location != nil || !strings.Contains(a.Refusal, "outside") {
		t.Errorf("%+v %q", a.Location, a.Refusal)
	}
	if n != 2 {
		t.Errorf("%d requests for 2 attempts", n)
	}
}

// A shard that was learned is asked below /api/v1, whatever the base's prefix.
func TestShard(t *testing.T) {
	t.Parallel()
	var uri, host string
	s := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { uri, host = r.RequestURI, r.Host }))
	t.Cleanup(s.Close)
	c := client(t, "https://example.com/prefix", trust(s))
	transport := c.transport.Load()
	transport.TLSClientConfig.ServerName = "example.com" // all that the server has a certificate for
	transport.DialContext = dialing(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	})
	for shard, want := range map[string]string{"": "https://example.com/prefix/a", "https://N1.meraki.com:443": "https://n1.meraki.com/api/v1/a"} {
		r := get("/a")
		r.Host = shard
		if a := attempt(t, c, r); a.Outcome != fault.OK || "https://"+host+uri != want || a.Host != "https://"+host {
			t.Errorf("%v at %s%s of %s (%v); want %s", a.Outcome, host, uri, a.Host, a.Err, want)
		}
	}
}
