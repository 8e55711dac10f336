package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// ErrUnusable is in the Err of an attempt that was never made, because the
// request cannot stand on the wire or must not go where it points. Trying again
// changes nothing.
var ErrUnusable = errors.New("nothing was sent")

// Causes with which an attempt's context ends of our own accord.
var (
	errTimeout  = errors.New("no answer within the attempt's time")
	errSlowBody = errors.New("an error's body did not come in time")
)

// Attempt makes one HTTP request and says how it ended; it never returns nil.
// ctx ends it early: cancelled, the outcome is Left; past its deadline, Timeout.
func (c *Client) Attempt(ctx context.Context, r *Request) *Answer {
	a := &Answer{Start: time.Now()}
	defer func() { a.Duration = time.Since(a.Start) }()

	u, err := c.url(r)
	if err != nil {
		a.Outcome, a.Host, a.Err = fault.NotSent, c.hosts.origin(), err
		return a
	}
	a.Host = u.Scheme + "://" + u.Host

	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if deadline, ok := ctx.Deadline(); !ok || deadline.Sub(a.Start) > c.config.Timeout {
		defer time.AfterFunc(c.config.Timeout, func() { cancel(errTimeout) }).Stop()
	}
	w := &watch{cancel: cancel}
	resp, err := c.transport.RoundTrip(c.request(httptrace.WithClientTrace(inner, w.hooks()), r, u))
	if err != nil {
		a.broken(ctx, inner, w, err)
		return a
	}
	defer resp.Body.Close()
	c.take(ctx, inner, cancel, a, u, resp)
	return a
}

// url is where r goes, or why it must not go there.
func (c *Client) url(r *Request) (*url.URL, error) {
	u := &url.URL{Scheme: c.hosts.scheme, Host: c.hosts.base, RawQuery: r.Query}
	prefix := c.hosts.prefix
	if r.Host != "" {
		h, err := url.Parse(r.Host)
		if err != nil || h.Path != "" || h.RawQuery != "" {
			return nil, unusable("the host to ask is not scheme://host")
		}
		if reason := c.hosts.refuse(h); reason != "" {
			return nil, unusable("the host to ask " + reason)
		}
		if c.hosts.hostOf(h) != "" {
			u.Scheme, u.Host, prefix = h.Scheme, bareHost(h), apiRoot
		}
	}
	path, err := url.PathUnescape(prefix + r.Path)
	if err != nil || r.Path == "" || r.Path[0] != '/' || dotted(r.Path) || !cleanQuery(r.Query) {
		return nil, unusable("the path or the query cannot stand in a URL")
	}
	switch r.Method {
	case http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete:
	default:
		return nil, unusable("the method is none of GET, PUT, POST and DELETE")
	}
	if !r.Key.Zero() && !printable(r.Key.header()) {
		return nil, unusable("the key has characters that no key has")
	}
	u.Path, u.RawPath = path, prefix+r.Path
	return u, nil
}

func unusable(why string) error { return fmt.Errorf("%s: %w", why, ErrUnusable) }

// request builds the HTTP request. Its GetBody stays nil, so that net/http has
// nothing with which to send a body again.
func (c *Client) request(ctx context.Context, r *Request, u *url.URL) *http.Request {
	h := make(http.Header, 5)
	h["Accept"], h["Accept-Encoding"], h["User-Agent"] = c.accept, c.encoding, c.agent
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
func (a *Answer) broken(ctx, inner context.Context, w *watch, err error) {
	a.Err = err
	a.MaybeExecuted = w.maybe(inner.Err() != nil)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case !a.MaybeExecuted:
		a.Outcome = fault.NotSent
	case w.repeated():
		a.Outcome, a.Err = fault.Reset, errAgain
	case inner.Err() != nil:
		a.Outcome = fault.Timeout
	case refusedStream(err):
		a.Outcome, a.MaybeExecuted = fault.NotSent, false
	default:
		a.Outcome = fault.Reset
	}
}

// take reads an answer.
func (c *Client) take(ctx, inner context.Context, cancel context.CancelCauseFunc, a *Answer, u *url.URL, resp *http.Response) {
	limit, ok := c.config.MaxBody, outcomeOf(resp.StatusCode) == fault.OK
	if !ok {
		limit = c.config.MaxErrorBody
		slow := time.AfterFunc(c.config.ErrorBodyTimeout, func() { cancel(errSlowBody) })
		defer slow.Stop()
	}
	body, err := c.reader.read(resp, limit, ok)

	r := classify(resp.StatusCode, resp.Header, body, a.Start)
	a.Outcome, a.Status, a.Body = r.outcome, resp.StatusCode, body
	a.Messages, a.RequestID = r.messages, r.requestID
	a.RetryAfter, a.HasRetryAfter = r.retryAfter, r.hasRetryAfter
	a.MaybeExecuted, a.Err = r.maybeExecuted, r.err
	switch {
	case ok:
		if err != nil {
			a.unread(ctx, inner, err)
			return
		}
		next, prev := links(resp.Header["Link"])
		if next != "" {
			a.Next = c.hosts.link(u, next)
		}
		if prev != "" {
			a.Prev = c.hosts.link(u, prev)
		}
	case a.Outcome == fault.Redirect:
		a.Location, a.Refusal = c.hosts.target(u, resp.Header.Get("Location"))
	}
}

// unread sorts a 2xx whose body could not be read to its end. Of any other
// answer the status is enough.
func (a *Answer) unread(ctx, inner context.Context, err error) {
	a.Body, a.Messages, a.Err = nil, nil, err
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, errEncoding):
		a.Outcome = fault.Garbled
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case inner.Err() != nil:
		a.Outcome = fault.Timeout
	default:
		a.Outcome = fault.Garbled
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
