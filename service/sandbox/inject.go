package sandbox

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// foreignHost is the target of a redirect that nobody may follow with the key. The
// top-level domain is reserved (RFC 2606): the name never resolves.
const foreignHost = "https://dashboard.invalid"

// inject answers a request as the fault says. The vendor's telemetry does not have
// a 502, a 504, and what was lost before it was executed.
func (s *Sandbox) inject(w http.ResponseWriter, c *request, a *response, f *Fault) {
	ctx := c.r.Context()
	delay := time.Duration(f.Delay)
	if a == nil {
		a = &response{status: http.StatusOK}
	}
	switch f.Kind {
	case FaultDelay:
		if !wait(ctx, delay) {
			s.finish(c, 0, false)
			return
		}
		s.finish(c, a.status, false)
		write(w, a, c.id)
	case FaultSlow:
		s.finish(c, a.status, false)
		writeSlowly(w, c, a, delay)
	case FaultReset:
		s.finish(c, 0, !f.After)
		abort(w)
	case FaultClose:
		s.finish(c, 0, !f.After)
		closeConn(w)
	case FaultHang:
		if delay == 0 {
			delay = time.Minute
		}
		stayed := wait(ctx, delay)
		s.finish(c, 0, !f.After)
		if stayed {
			closeConn(w)
		}
	case FaultCut, FaultCutChunked, FaultResetMiddle:
		s.finish(c, 0, false)
		s.breakOff(w, c, a, f)
	case FaultRedirect:
		a := redirect(c, f)
		s.finish(c, a.status, false)
		write(w, a, c.id)
	default:
		a = damaged(a, f)
		if f.Gzip {
			w.Header().Set("Content-Encoding", "gzip")
			a.body = compress(a.body)
		}
		s.finish(c, a.status, a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout)
		if a.ctype == "-" {
			writeUntyped(w, a, c.id)
			return
		}
		write(w, a, c.id)
	}
}

// damaged gives an answer the status and body of the fault.
func damaged(a *response, f *Fault) *response {
	out := *a
	out.cacheable = false
	if f.Status != 0 {
		out.status = f.Status
		if f.Body == "" && f.Status >= 400 {
			out.body, out.ctype = nil, ""
		}
	}
	if b := bodyNamed(f.Body); b != nil || out.status >= 400 && f.Status != 0 {
		if b == nil {
			b = bodyNamed("errors")
		}
		out.body, out.ctype, out.link = []byte(b.text(strconv.Itoa(out.status)+" "+http.StatusText(out.status))), b.ctype, ""
		if out.status == http.StatusTooManyRequests && f.Body == "" {
			out.body = refusal(out.status, saysTooMany).body
		}
	}
	if f.ContentType != "" {
		out.ctype = f.ContentType
	}
	out.retryAfter = f.RetryAfter
	return &out
}

func redirect(c *request, f *Fault) *response {
	target := c.s.opts.Shard
	switch f.Target {
	case "", "shard":
		if target == "" {
			target = c.otherName()
		}
	case "foreign":
		target = foreignHost
	case "loop":
		target = c.origin()
	default:
		target = f.Target
		if u, err := url.Parse(f.Target); err == nil && u.Path != "" && u.Path != "/" {
			return redirectTo(f.Status, f.Target)
		}
		target = strings.TrimSuffix(target, "/")
	}
	return redirectTo(f.Status, target+c.r.URL.RequestURI())
}

func redirectTo(status int, location string) *response {
	return &response{
		status: max(status, http.StatusFound), ctype: "text/html; charset=utf-8", location: location,
		body: []byte(`<html><body>You are being <a href="` + location + `">redirected</a>.</body></html>`),
	}
}

// otherName is this server under another name, which is another host to a client.
func (c *request) otherName() string {
	host, port, err := net.SplitHostPort(c.r.Host)
	if err != nil {
		host, port = c.r.Host, ""
	}
	other := "localhost"
	if host == "localhost" {
		other = "127.0.0.1"
	}
	if port != "" {
		other = net.JoinHostPort(other, port)
	}
	if c.r.TLS != nil {
		return "https://" + other
	}
	return "http://" + other
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // into memory: cannot fail
	_ = z.Close()
	return b.Bytes()
}

// writeUntyped sends an answer without a Content-Type; net/http would guess one.
func writeUntyped(w http.ResponseWriter, a *response, id string) {
	w.Header()["Content-Type"] = nil
	w.Header().Set("X-Request-Id", id)
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// slowParts is the number of parts in which a slow body comes.
const slowParts = 8

func writeSlowly(w http.ResponseWriter, c *request, a *response, d time.Duration) {
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("X-Request-Id", c.id)
	if a.link != "" {
		h.Set("Link", a.link)
	}
	if len(a.body) > 0 {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	flush := http.NewResponseController(w)
	for i := range slowParts {
		from, to := len(a.body)*i/slowParts, len(a.body)*(i+1)/slowParts
		if _, err := w.Write(a.body[from:to]); err != nil {
			return
		}
		_ = flush.Flush() // not every writer can
		if !wait(c.r.Context(), d/slowParts) {
			return
		}
	}
}

// breakOff sends the head and a part of the body, and then ends the connection.
func (s *Sandbox) breakOff(w http.ResponseWriter, c *request, a *response, f *Fault) {
	conn, out := hijack(w)
	if conn == nil {
		return
	}
	defer closing(conn, f.Kind == FaultResetMiddle)
	body := a.body
	if len(body) < 2 {
		body = []byte(`{"errors":[]}`) // a 204 has nothing to cut
	}
	half := body[:len(body)/2]
	head := "HTTP/1.1 " + strconv.Itoa(max(a.status, http.StatusOK)) + " " + http.StatusText(a.status) + "\r\nContent-Type: application/json; charset=utf-8\r\nX-Request-Id: " + c.id + "\r\n"
	if a.status == http.StatusNoContent {
		head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
	}
	_, _ = out.WriteString(head)
	if f.Kind == FaultCutChunked {
		_, _ = out.WriteString("Transfer-Encoding: chunked\r\n\r\n" + strconv.FormatInt(int64(len(half)), 16) + "\r\n")
		_, _ = out.Write(half)
		_, _ = out.WriteString("\r\n")
	} else {
		_, _ = out.WriteString("Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")
		_, _ = out.Write(half)
	}
	_ = out.Flush()
}

// abort resets the connection.
func abort(w http.ResponseWriter) {
	if conn, _ := hijack(w); conn != nil {
		closing(conn, true)
	}
}

// closeConn closes the connection in good order, without an answer.
func closeConn(w http.ResponseWriter) {
	if conn, _ := hijack(w); conn != nil {
		closing(conn, false)
	}
}

// closing ends a connection: with a reset where the transport knows such a thing.
func closing(conn net.Conn, reset bool) {
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// hijack takes the connection out of the server's hands. Where that cannot be
// done, net/http's own way of ending a request without an answer serves.
func hijack(w http.ResponseWriter) (net.Conn, *bufio.Writer) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // caught by net/http, documented there; HTTP/2 has no other
	}
	return conn, rw.Writer
}
