package sandbox

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind is how a request goes wrong.
type FaultKind string

// The kinds. Those that say "after" execute the request first; so do delays and
// everything that damages an answer.
const (
	// FaultStatus answers Status with Body. After: executed first. Status 0 with
	// After: the real answer, changed by Gzip, ContentType or Body.
	FaultStatus FaultKind = "status"
	// FaultDelay answers as it would have, Delay later.
	FaultDelay FaultKind = "delay"
	// FaultSlow sends the body in parts over Delay.
	FaultSlow FaultKind = "slow"
	// FaultCut announces more bytes than come.
	FaultCut FaultKind = "cut"
	// FaultCutChunked breaks off a chunked body.
	FaultCutChunked FaultKind = "cut-chunked"
	// FaultReset resets the connection without an answer. After: executed first.
	FaultReset FaultKind = "reset"
	// FaultResetMiddle resets the connection in the middle of the answer.
	FaultResetMiddle FaultKind = "reset-middle"
	// FaultClose closes the connection without an answer. After: executed first.
	FaultClose FaultKind = "close"
	// FaultHang never answers: until Delay (a minute where 0) or the client leaves.
	FaultHang FaultKind = "hang"
	// FaultRedirect sends Status (302 where 0) with a Location. Target: "shard"
	// (where empty), "foreign", "loop", or an address.
	FaultRedirect FaultKind = "redirect"
)

// A Fault is one thing that goes wrong. Its JSON is what POST /_sim/faults takes.
type Fault struct {
	Kind   FaultKind `json:"kind"`
	Status int       `json:"status,omitempty"`
	// Body is one of BodyShapes; "errors" where empty.
	Body        string `json:"body,omitempty"`
	ContentType string `json:"contentType,omitempty"`
	Gzip        bool   `json:"gzip,omitempty"`
	// RetryAfter is the header as it is; none where empty.
	RetryAfter string   `json:"retryAfter,omitempty"`
	Delay      Duration `json:"delay,omitempty"`
	Target     string   `json:"target,omitempty"`
	// After lets the request take effect first.
	After bool `json:"after,omitempty"`
}

// Duration is a time.Duration that JSON writes as text ("150ms").
type Duration time.Duration

// MarshalText writes the text.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads it.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as 150ms", b)
	}
	*d = Duration(v)
	return nil
}

// executes says whether the request takes effect under the fault.
func (f *Fault) executes() bool {
	if f == nil {
		return true
	}
	switch f.Kind {
	case FaultStatus, FaultReset, FaultClose, FaultHang:
		return f.After
	case FaultRedirect:
		return false
	}
	return true
}

// check refuses a fault that cannot be.
func (f *Fault) check() error {
	switch f.Kind {
	case FaultStatus:
		if f.Status == 0 && !f.After {
			return fmt.Errorf("sandbox: a fault of kind %q needs a status, or after", f.Kind)
		}
	case FaultDelay, FaultSlow, FaultCut, FaultCutChunked, FaultReset, FaultResetMiddle, FaultClose, FaultHang:
	case FaultRedirect:
		if u, err := url.Parse(f.Target); err != nil || (u.Scheme == "" && f.Target != "" && f.Target != "shard" && f.Target != "foreign" && f.Target != "loop") {
			return fmt.Errorf("sandbox: a redirect leads to shard, foreign, loop or an address, not to %q", f.Target)
		}
	default:
		return fmt.Errorf("sandbox: there is no fault of kind %q", f.Kind)
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("sandbox: %d is not the status of an answer", f.Status)
	}
	if f.Body != "" && bodyNamed(f.Body) == nil {
		return fmt.Errorf("sandbox: there is no body %q; there are %s", f.Body, strings.Join(BodyShapes(), ", "))
	}
	return nil
}

// A Mix is faults that hit requests at random.
type Mix struct {
	// Share of the requests that go wrong, 0 to 1.
	Share float64
	// Kinds to draw from, with weights; EveryFault, each as likely, where empty.
	Kinds []Weighted
}

// Weighted is a fault and how likely it is among the others.
type Weighted struct {
	Fault
	Weight float64
}

// Alike gives faults that are as likely, each, as any other of them.
func Alike(faults []Fault) []Weighted {
	out := make([]Weighted, len(faults))
	for i, f := range faults {
		out[i] = Weighted{f, 1}
	}
	return out
}

func (m *Mix) check() error {
	if m.Share < 0 || m.Share > 1 {
		return fmt.Errorf("sandbox: the share of faults is between 0 and 1, not %g", m.Share)
	}
	for i := range m.Kinds {
		if err := m.Kinds[i].check(); err != nil {
			return err
		}
		if m.Kinds[i].Weight < 0 {
			return fmt.Errorf("sandbox: the weight of a fault is below zero")
		}
	}
	return nil
}

// A Script is a list of faults: each matching request meets the next of them. A
// script that is used up is gone.
type Script struct {
	// What it matches: all that are given.
	Operation string `json:"operation,omitempty"`
	Method    string `json:"method,omitempty"`
	Path      string `json:"path,omitempty"` // what the path below /api/v1 begins with
	// Skip lets so many matching requests pass first.
	Skip int `json:"skip,omitempty"`
	// Times repeats the whole list; 0 is once, negative for ever.
	Times  int     `json:"times,omitempty"`
	Faults []Fault `json:"faults"`

	at int
}

func (x *Script) matches(c *request) bool {
	if x.Operation != "" && (c.route == nil || c.route.op.GetId() != x.Operation) {
		return false
	}
	return (x.Method == "" || x.Method == c.r.Method) && strings.HasPrefix(c.path, x.Path)
}

type faults struct {
	mu      sync.Mutex
	mix     Mix
	total   float64
	random  *rand.Rand
	scripts []*Script
}

func newFaults(o Options) *faults {
	f := &faults{random: rand.New(rand.NewPCG(o.Seed, 0xfa017))}
	f.set(o.Faults)
	return f
}

func (f *faults) set(m Mix) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Share > 0 && len(m.Kinds) == 0 {
		m.Kinds = Alike(EveryFault())
	}
	f.mix, f.total = m, 0
	for _, k := range m.Kinds {
		f.total += k.Weight
	}
}

// next gives the fault that a request meets; nil for none. Scripts go first.
func (f *faults) next(c *request) *Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, x := range f.scripts {
		if !x.matches(c) {
			continue
		}
		if x.Skip > 0 {
			x.Skip--
			continue
		}
		out := &x.Faults[x.at]
		if x.at++; x.at == len(x.Faults) {
			x.at = 0
			switch {
			case x.Times > 1:
				x.Times--
			case x.Times >= 0:
				f.scripts = append(f.scripts[:i:i], f.scripts[i+1:]...)
			}
		}
		return out
	}
	if f.mix.Share <= 0 || f.random.Float64() >= f.mix.Share {
		return nil
	}
	at := f.random.Float64() * f.total
	for i := range f.mix.Kinds {
		if at -= f.mix.Kinds[i].Weight; at < 0 {
			return &f.mix.Kinds[i].Fault
		}
	}
	return nil
}

// AddScript adds faults by script.
func (s *Sandbox) AddScript(x Script) error {
	if len(x.Faults) == 0 {
		return fmt.Errorf("sandbox: a script without faults")
	}
	if x.Operation != "" && s.router.byID[x.Operation] == nil {
		return fmt.Errorf("sandbox: there is no operation %q", x.Operation)
	}
	x.Faults = append([]Fault(nil), x.Faults...)
	for i := range x.Faults {
		if err := x.Faults[i].check(); err != nil {
			return err
		}
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.scripts = append(s.faults.scripts, &x)
	return nil
}

// SetFaults replaces the faults that hit requests at random.
func (s *Sandbox) SetFaults(m Mix) error {
	if err := m.check(); err != nil {
		return err
	}
	s.faults.set(m)
	return nil
}

// ClearFaults ends all scripts and random faults, and the outage.
func (s *Sandbox) ClearFaults() {
	s.outage.Store(0)
	s.faults.set(Mix{})
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.scripts = nil
}

// Outage resets every connection for so long; zero ends it.
func (s *Sandbox) Outage(d time.Duration) {
	s.outage.Store(s.opts.Now().Add(d).UnixNano())
}

// TransientFaults are those that go away when the same is asked again.
func TransientFaults() []Fault {
	return []Fault{
		{Kind: FaultStatus, Status: http.StatusTooManyRequests, RetryAfter: "1"},
		{Kind: FaultStatus, Status: http.StatusTooManyRequests, Body: "html"},
		{Kind: FaultStatus, Status: http.StatusInternalServerError},
		{Kind: FaultStatus, Status: http.StatusInternalServerError, Body: "html", After: true},
		{Kind: FaultStatus, Status: http.StatusBadGateway, Body: "html"},
		{Kind: FaultStatus, Status: http.StatusBadGateway, Body: "html", After: true},
		{Kind: FaultStatus, Status: http.StatusServiceUnavailable},
		{Kind: FaultStatus, Status: http.StatusServiceUnavailable, Body: "html", RetryAfter: "1", After: true},
		{Kind: FaultStatus, Status: http.StatusGatewayTimeout, Body: "html"},
		{Kind: FaultStatus, Status: http.StatusGatewayTimeout, Body: "html", After: true},
		{Kind: FaultReset},
		{Kind: FaultReset, After: true},
		{Kind: FaultClose},
		{Kind: FaultClose, After: true},
		{Kind: FaultResetMiddle},
		{Kind: FaultCut},
		{Kind: FaultCutChunked},
		{Kind: FaultStatus, Status: http.StatusRequestTimeout},
	}
}

// EveryFault is one of every kind.
func EveryFault() []Fault {
	out := TransientFaults()
	for _, status := range [...]int{400, 401, 403, 404, 405, 406, 409, 410, 411, 412, 413, 414, 415, 422, 501} {
		out = append(out, Fault{Kind: FaultStatus, Status: status})
	}
	return append(out,
		Fault{Kind: FaultDelay, Delay: Duration(20 * time.Millisecond)},
		Fault{Kind: FaultSlow, Delay: Duration(20 * time.Millisecond)},
		Fault{Kind: FaultStatus, After: true, Gzip: true},
		Fault{Kind: FaultStatus, After: true, ContentType: "text/html"},
		Fault{Kind: FaultStatus, Status: http.StatusOK, Body: "html", After: true},
		Fault{Kind: FaultStatus, Status: http.StatusOK, Body: "broken", After: true},
		Fault{Kind: FaultRedirect},
		Fault{Kind: FaultRedirect, Status: http.StatusTemporaryRedirect},
		Fault{Kind: FaultRedirect, Status: http.StatusPermanentRedirect},
		Fault{Kind: FaultRedirect, Target: "foreign"},
	)
}

// Pages that the proxy in front of the Dashboard sends, or its web site.
const (
	htmlTooMany = "<html>\r\n<head><title>429 Too Many Requests</title></head>\r\n<body>\r\n<center><h1>429 Too Many Requests</h1></center>\r\n" +
		"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	htmlNotFound = "<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n" +
		"<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head><title>Page not found</title></head>\n<body><h1>This page does not exist.</h1></body>\n</html>\n"
)

// A bodyShape is a body that an answer carries in place of its own.
type bodyShape struct {
	name, ctype string
	text        func(status string) string
}

func says(text string) func(string) string { return func(string) string { return text } }

// bodies are the shapes of error bodies, those seen in the wild and those that a
// client has to survive anyway. The text gets the status in words.
var bodies = []bodyShape{
	{"errors", "", func(s string) string { return `{"errors":["` + s + `","a second message"]}` }},
	{"errors-empty", "", says(`{"errors":[]}`)},
	{"errors-object", "", says(`{"errors":{"name":["is too long","is not free"],"vlan":["is unknown"]}}`)},
	{"errors-objects", "", says(`{"errors":[{"serial":"Q2XX-XXXX-XXXX","errors":["Device already claimed"]},{"message":"Something else"}]}`)},
	{"errors-string", "", func(s string) string { return `{"errors":"` + s + `"}` }},
	{"error", "", func(s string) string { return `{"error":"` + s + `"}` }},
	{"error-description", "", func(s string) string { return `{"error":"invalid_request","error_description":"` + s + `"}` }},
	{"message", "", func(s string) string { return `{"message":"` + s + `"}` }},
	{"string", "", func(s string) string { return `"` + s + `"` }},
	{"null", "", says("null")},
	{"number", "", says("42")},
	{"html", "text/html", func(s string) string {
		return "<html>\r\n<head><title>" + s + "</title></head>\r\n<body>\r\n<center><h1>" + s + "</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	}},
	{"html-page", "text/html; charset=utf-8", func(string) string {
		return htmlNotFound + "<!--" + strings.Repeat(" nothing to see ", 330) + "-->\n"
	}},
	{"text", "text/plain", func(s string) string { return s + "\n" }},
	{"space", "text/html; charset=utf-8", says(" ")},
	{"empty", "", says("")},
	{"wrong-type", "text/html; charset=utf-8", func(s string) string { return `{"errors":["` + s + `"]}` }},
	{"no-type", "-", func(s string) string { return `{"errors":["` + s + `"]}` }},
	{"broken", "", says(`{"errors":["an end that never co`)},
	{"long", "", func(s string) string { return `{"errors":["` + strings.Repeat(s+" \u00e9\u4e16 ", 4000) + `"]}` }},
	{"many", "", func(s string) string {
		return `{"errors":[` + strings.Repeat(`"`+s+`",`, 2000) + `"the last"]}`
	}},
	{"api-disabled", "", says(`{"errors":["` + saysDisabled + `"]}`)},
	{"batches", "", says(`{"errors":["` + saysBatches + `"]}`)},
	{"concurrent", "", says(`{"errors":["This may be due to concurrent requests to delete networks."]}`)},
}

// BodyShapes names the shapes of bodies that a fault may have.
func BodyShapes() []string {
	out := make([]string, len(bodies))
	for i, b := range bodies {
		out[i] = b.name
	}
	return out
}

func bodyNamed(name string) *bodyShape {
	i := slices.IndexFunc(bodies, func(b bodyShape) bool { return b.name == name })
	if i < 0 {
		return nil
	}
	return &bodies[i]
}
