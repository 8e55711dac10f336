package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/merakibroker/merakibroker/service/contract/canonical"
)

// A Request is one HTTP request to be made.
type Request struct {
	// Operation is the vendor's operationId, for errors.
	Operation string
	// Method is GET, PUT, POST or DELETE.
	Method string
	// Host is scheme://host of a learned shard or of a redirect's target; empty
	// for the configured base.
	Host string
	// Path is below /api/v1, filled and escaped: /organizations/123/devices.
	Path string
	// Query is encoded, without the question mark.
	Query string
	// Body is JSON; nil for none.
	Body []byte
	Key  Key
}

// ErrUnusable is in the Err of an attempt that was never made, because the
// request cannot stand on the wire or must not go where it points. Trying again
// changes nothing.
var ErrUnusable = errors.New("nothing was sent")

func unusable(why string) error { return fmt.Errorf("%s: %w", why, ErrUnusable) }

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
	if err != nil || !canonical.Is(r.Path) || !cleanQuery(r.Query) {
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

// request builds the HTTP request, which net/http never sends a second time by
// itself. What it would repeat on a kept connection that broke is a GET without a
// body, a request with an Idempotency-Key header, and a body that GetBody gives
// again: the GET has a body of no bytes, and there is no such header and no GetBody.
func (c *Client) request(ctx context.Context, r *Request, u *url.URL) *http.Request {
	h := make(http.Header, 5)
	h["Accept"], h["Accept-Encoding"], h["User-Agent"] = []string{"application/json"}, []string{"gzip"}, []string{c.config.UserAgent}
	if !r.Key.Zero() {
		h["Authorization"] = []string{r.Key.header()}
	}
	req := &http.Request{
		Method: r.Method, URL: u, Host: u.Host, Header: h, Close: c.closed.Load(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	switch {
	case len(r.Body) > 0:
		h["Content-Type"] = []string{"application/json"}
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
		req.ContentLength = int64(len(r.Body))
	case r.Method == http.MethodGet:
		// Any body but nil and NoBody. Its encoding is named because net/http would
		// read from the body otherwise, to find out whether it is empty, and send
		// the request in chunks if that took longer than 200 ms.
		req.Body = io.NopCloser(http.NoBody)
		req.TransferEncoding = []string{"identity"}
	}
	return req.WithContext(ctx)
}
