package sandbox

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/merakibroker/merakibroker/service/sandbox/document"
	"github.com/merakibroker/merakibroker/service/sandbox/inventory"
)

// mostBody bounds a request's body, in bytes.
const mostBody = 4 << 20

// A request is one HTTP request on its way through the sandbox.
type request struct {
	s       *Sandbox
	r       *http.Request
	now     time.Time // when it was counted
	sent    string    // the path below /api/v1, with the slash in front, as it was asked for
	path    string    // the same as the document has it
	address string    // who pays for an egress address: its name
	route   *route    // nil: no such operation
	params  []document.Param
	at      inventory.Entity
	known   bool // the organization, network and device of the path exist
	allowed map[string]bool
	body    []byte
	doc     any // the body, read
	org     *orgState
	id      string // X-Request-Id

	values       url.Values
	store        [6]document.Param
	extraTime    time.Duration    // how long it takes beside the latency
	later        func() *response // gives the answer when that time is over; nil: there is an answer at once
	job          *job             // what a POST started
	created      string           // the id of what a POST made
	undocumented bool             // AnyPath answers it
	inBatch      bool             // an action of a batch
	done         func()           // when it is over
	// underway says that the answer will change by itself, and is not to be cached.
	underway bool
}

// A response is what goes back, before a fault gets at it.
type response struct {
	status         int
	body           []byte
	ctype          string // empty: JSON
	link           string
	location       string
	retryAfter     string
	cacheable      bool // the same until the organization changes
	notInTelemetry bool // never reached the Dashboard: absent from its telemetry
	unnamed        bool // as the error of a batch, it does not name the action
}

func (s *Sandbox) requestID() string {
	return strconv.FormatUint(document.Mix(s.opts.Seed^s.serial.Add(1))|1<<63, 16)
}

// api serves one request below /api/v1.
func (s *Sandbox) api(w http.ResponseWriter, r *http.Request, rest, listener string) {
	path := "/" + strings.Trim(plainPath(rest), "/")
	c := &request{s: s, r: r, sent: path, path: path, id: s.requestID(), address: s.addressOf(r, listener)}
	if r.Body != nil && r.ContentLength != 0 {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBody))
		if err != nil {
			write(w, refusal(http.StatusRequestEntityTooLarge, "The body is too large or broke off"), c.id)
			return
		}
		c.body = body
	}
	times := s.Times()
	if j := time.Duration(times.Jitter); j > 0 && !wait(r.Context(), s.upTo(j)) {
		return // left before it arrived
	}
	s.settle()
	s.locate(c)
	a := s.screen(c)
	if a == nil {
		a = s.redirectToShard(c)
	}
	if s.opts.Observe != nil {
		s.observe(c)
	}
	if s.opts.Now().UnixNano() < s.outage.Load() {
		s.finish(c, 0, true)
		abort(w)
		return
	}
	var f *Fault
	if a == nil {
		f = s.faults.next(c)
		if f.executes() {
			a = s.execute(c)
		}
		if !wait(r.Context(), time.Duration(times.Latency)+c.extraTime) {
			s.finish(c, 0, !f.executes())
			return
		}
		if c.later != nil {
			a = c.later()
		}
		if a != nil {
			a = s.onWire(c, a)
		}
	}
	if f != nil {
		s.inject(w, c, a, f)
		return
	}
	s.finish(c, a.status, a.notInTelemetry)
	write(w, a, c.id)
}

// wait lets time pass. It gives false when the client leaves first.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// locate finds the operation and whose budget pays for it.
func (s *Sandbox) locate(c *request) {
	c.at = inventory.Nowhere()
	var values [6]string
	verb := verbOf(c.r.Method)
	if verb >= 0 {
		var v []string
		c.route, v = s.router.find(verb, c.path[1:], values[:0])
		if c.route != nil {
			c.bind(c.route, v)
		}
	}
	c.known = true
	if c.route == nil {
		s.locateUndocumented(c, verb)
	} else {
		s.locateParameters(c)
	}
	c.org = s.orgState(c.at.Org)
}

// bind gives the parameters of a route their values.
func (c *request) bind(r *route, values []string) {
	c.route, c.params = r, c.store[:0]
	for i, name := range r.params {
		c.params = append(c.params, document.Param{Name: name, Value: values[i]})
	}
}

// locateParameters finds what the parameters of the path name.
func (s *Sandbox) locateParameters(c *request) {
	for i, p := range c.params {
		at, ok := c.at, true
		switch p.Name {
		case "organizationId":
			at, ok = s.inventory.Organization(p.Value)
		case "networkId":
			at, ok = s.inventory.Network(p.Value)
		case "serial":
			at, ok = s.inventory.Device(p.Value)
		default:
			continue
		}
		if i > 0 {
			ok = ok && at.Org == c.at.Org
			if !ok && !strings.HasPrefix(c.path, "/organizations/") {
				continue // below a network a serial may be one of another kind
			}
		}
		c.known = c.known && ok
		if ok {
			c.at = at
		}
	}
}

func (s *Sandbox) observe(c *request) {
	a := Arrival{Method: c.r.Method, Path: c.sent, Query: c.r.URL.RawQuery, Header: c.r.Header, Body: c.body, Time: c.now}
	if c.route != nil {
		a.Operation = c.route.op.GetId()
	}
	s.opts.Observe(a)
}

func (c *request) query() url.Values {
	if c.values == nil {
		c.values, _ = url.ParseQuery(c.r.URL.RawQuery)
	}
	return c.values
}

func (c *request) queryValue(name string) string {
	if c.r.URL.RawQuery == "" {
		return ""
	}
	return c.query().Get(name)
}

// base is the scheme and host for links: LinkBase, or what the client used.
func (c *request) base() string {
	if b := c.s.opts.LinkBase; b != "" {
		return b
	}
	return c.origin()
}

func (c *request) origin() string {
	if c.r.TLS != nil {
		return "https://" + c.r.Host
	}
	return "http://" + c.r.Host
}

func (c *request) param(name string) string {
	for _, p := range c.params {
		if p.Name == name {
			return p.Value
		}
	}
	return ""
}

// object is the body as an object, empty when there is none.
func (c *request) object() map[string]any {
	if o, ok := c.doc.(map[string]any); ok {
		return o
	}
	return map[string]any{}
}

// refusal is an error as the vendor words them: a list of messages.
func refusal(status int, messages ...string) *response {
	return &response{status: status, body: document.Encode(map[string]any{"errors": messages})}
}

// pageNotFound answers a path that is no operation: with a page, not with JSON.
func pageNotFound() *response {
	return &response{status: http.StatusNotFound, ctype: "text/html; charset=utf-8", body: []byte(htmlNotFound)}
}

// write sends an answer as it is.
func write(w http.ResponseWriter, a *response, id string) {
	h := w.Header()
	h["X-Request-Id"] = []string{id}
	if len(a.body) > 0 {
		ctype := a.ctype
		if ctype == "" {
			ctype = "application/json; charset=utf-8"
		}
		h["Content-Type"] = []string{ctype}
	}
	if a.link != "" {
		h["Link"] = []string{a.link}
	}
	if a.location != "" {
		h["Location"] = []string{a.location}
	}
	if a.retryAfter != "" {
		h["Retry-After"] = []string{a.retryAfter}
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body))}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that has left is not the sandbox's concern
}
