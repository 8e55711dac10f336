package dashboard

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Causes with which an attempt's context ends of our own accord.
var (
	errTimeout  = errors.New("no answer within the attempt's time")
	errSlowBody = errors.New("an error's body did not come in time")
)

// roundTrip makes an attempt through net/http.
func (c *Client) roundTrip(ctx context.Context, a *Answer, r *Request, u *url.URL) {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Also where the context's deadline is nearer, for that may move.
	defer time.AfterFunc(time.Until(a.Start.Add(c.config.Timeout)), func() { cancel(errTimeout) }).Stop()
	w := &watch{inner: inner, cancel: cancel}
	resp, err := c.transport.RoundTrip(c.request(httptrace.WithClientTrace(inner, w.hooks()), r, u))
	if err != nil {
		a.broken(ctx, w, err)
		return
	}
	defer resp.Body.Close()
	defer w.calm()
	c.take(ctx, a, u, resp, w)
}

// request builds the HTTP request. Its GetBody stays nil, so that net/http has
// nothing with which to send a body again.
func (c *Client) request(ctx context.Context, r *Request, u *url.URL) *http.Request {
	h := make(http.Header, 5)
	h["Accept"], h["Accept-Encoding"], h["User-Agent"] = []string{"application/json"}, []string{"gzip"}, []string{c.config.UserAgent}
	if !r.Key.Zero() {
		h["Authorization"] = []string{r.Key.header()}
	}
	req := &http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: h,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if len(r.Body) > 0 {
		h["Content-Type"] = []string{"application/json"}
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
		req.ContentLength = int64(len(r.Body))
	}
	return req.WithContext(ctx)
}

// broken sorts an attempt that got no answer.
func (a *Answer) broken(ctx context.Context, w *watch, err error) {
	a.Err = err
	a.MaybeExecuted = w.maybe(w.inner.Err() != nil)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case !a.MaybeExecuted:
		a.Outcome = fault.NotSent
	case w.repeated():
		a.Outcome, a.Err = fault.Reset, errAgain
	case w.inner.Err() != nil:
		a.Outcome = fault.Timeout
	case refusedStream(err):
		a.Outcome, a.MaybeExecuted = fault.NotSent, false
	default:
		a.Outcome = fault.Reset
	}
}

// refusedStream tells whether an HTTP/2 server said that it did not take the
// request: by a reset with REFUSED_STREAM, or by GOAWAY.
func refusedStream(err error) bool {
	// net/http gives no other sign of the two than its text, and only to a
	// request that it does not send again. Not recognized is the safe side.
	text := err.Error()
	return strings.Contains(text, "REFUSED_STREAM") || strings.Contains(text, "graceful shutdown GOAWAY")
}
