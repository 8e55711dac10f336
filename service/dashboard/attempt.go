package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// Causes with which an attempt's context ends of our own accord.
var (
	errTimeout  = errors.New("no answer within the attempt's time")
	errSlowBody = errors.New("an error's body did not come in time")
)

// Attempt makes one HTTP request and says how it ended; it never returns nil.
// ctx ends it early: cancelled, the outcome is Left; past its deadline, Timeout.
func (c *Client) Attempt(ctx context.Context, r *Request) *Result {
	a := &Result{Start: time.Now()}
	defer func() {
		a.Duration = time.Since(a.Start)
		a.Err = r.Key.mask().err(a.Err)
	}()

	u, err := c.url(r)
	if err != nil {
		a.Outcome, a.Host, a.Err = fault.NotSent, c.hosts.origin, err
		return a
	}
	a.Host = c.hosts.originOf(u)
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Also where the context's deadline is nearer, for that may move.
	defer time.AfterFunc(c.config.Timeout, func() { cancel(errTimeout) }).Stop()

	var p progress
	resp, err := c.send(httptrace.WithClientTrace(inner, p.hooks()), &p, r, u)
	if err != nil {
		a.unanswered(ctx, inner, p.left(), err)
		return a
	}
	defer resp.Body.Close()
	if outcomeOf(resp.StatusCode) != fault.OK {
		defer time.AfterFunc(c.config.ErrorBodyTimeout, func() { cancel(errSlowBody) }).Stop()
	}
	c.take(ctx, inner, a, r.Key.mask(), u, resp)
	return a
}

// send puts one request on the wire, and reads the header of what comes back. A
// kept connection that turns out to be over before anything was written is passed
// over. There are finitely many of those, and a new one is not passed over.
func (c *Client) send(ctx context.Context, p *progress, r *Request, u *url.URL) (*http.Response, error) {
	for {
		resp, err := c.transport.Load().RoundTrip(c.request(ctx, r, u))
		if !p.passedOver(err) {
			return resp, err
		}
		if err == nil {
			_ = resp.Body.Close() // of what was there before the request
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// unanswered sorts an attempt that got no answer. maybe: it may have been executed.
func (a *Result) unanswered(ctx, inner context.Context, maybe bool, err error) {
	a.Err, a.MaybeExecuted = err, maybe
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case !maybe:
		a.Outcome = fault.NotSent
	case inner.Err() != nil:
		a.Outcome = fault.Timeout
	default:
		a.Outcome = fault.Reset
	}
}

// take reads an answer. inner is the attempt's own context, which ends with ctx.
// Nothing of it goes on before m has replaced the attempt's own secret in it.
func (c *Client) take(ctx, inner context.Context, a *Result, m *mask, u *url.URL, resp *http.Response) {
	limit, ok := c.config.MaxBody, outcomeOf(resp.StatusCode) == fault.OK
	if !ok {
		limit = c.config.MaxErrorBody
	}
	body, err := c.reader.read(resp, limit, ok)

	if ok {
		body = m.answer(body)
	}
	r := classify(resp.StatusCode, resp.Header, body, a.Start, m)
	a.Outcome, a.Status = r.outcome, resp.StatusCode
	a.Messages, a.RequestID = r.messages, r.requestID
	a.RetryAfter, a.HasRetryAfter = r.retryAfter, r.hasRetryAfter
	a.MaybeExecuted, a.Err = r.maybeExecuted, r.err
	switch {
	case ok && err != nil:
		a.unread(ctx, inner, err)
	case a.Outcome == fault.OK:
		a.Body = body
		a.Links = m.text(linkHeader(resp.Header["Link"]))
		next, prev := links(resp.Header["Link"])
		if next != "" {
			a.Next = c.hosts.link(u, m.text(next))
		}
		if prev != "" {
			a.Prev = c.hosts.link(u, m.text(prev))
		}
	case a.Outcome == fault.Redirect:
		location := resp.Header.Get("Location")
		if m.text(location) != location {
			a.Refusal = "leads to a place that is named by the key"
			return
		}
		a.Location, a.Refusal = c.hosts.target(u, location)
	}
}

// unread sorts a 2xx whose body could not be read to its end. Of any other
// answer the status is enough.
func (a *Result) unread(ctx, inner context.Context, err error) {
	a.Messages, a.Err = nil, err
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
