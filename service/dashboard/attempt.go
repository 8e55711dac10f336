package dashboard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
)

// ErrUnusable is in the Err of an attempt that was never made, because the
// request cannot stand on the wire or must not go where it points. Trying again
// changes nothing.
var ErrUnusable = errors.New("nothing was sent")

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
	p := c.pool(u)
	a.Host = p.origin
	if len(r.Body) > mostAtOnce || p.general.Load() || !c.exchange(ctx, a, p, r, u) {
		c.roundTrip(ctx, a, r, u)
	}
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

// A carrier is what an answer comes over.
type carrier interface {
	// hurry bounds what is left of the answer.
	hurry(context.Context, time.Duration)
	// late tells whether what was read ended with err for want of time.
	late(err error) bool
}

// take reads an answer.
func (c *Client) take(ctx context.Context, a *Answer, u *url.URL, resp *http.Response, over carrier) {
	limit, ok := c.config.MaxBody, outcomeOf(resp.StatusCode) == fault.OK
	if !ok {
		limit = c.config.MaxErrorBody
		over.hurry(ctx, c.config.ErrorBodyTimeout)
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
			a.unread(ctx, over, err)
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
func (a *Answer) unread(ctx context.Context, over carrier, err error) {
	a.Body, a.Messages, a.Err = nil, nil, err
	switch {
	case errors.Is(err, ErrTooLarge), errors.Is(err, errEncoding):
		a.Outcome = fault.Garbled
	case errors.Is(ctx.Err(), context.Canceled):
		a.Outcome = fault.Left
	case over.late(err):
		a.Outcome = fault.Timeout
	default:
		a.Outcome = fault.Garbled
	}
}
