package rest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/access"
	"github.com/merakibroker/merakibroker/service/audit"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/identity"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// A Config is what a Handler is made of. Contract, Broker, Access, Outcomes and Below
// are required.
type Config struct {
	Contract *contract.Contract
	Broker   interface {
		Do(ctx context.Context, c *broker.Call) (*broker.Answer, error)
	}
	// Access says who calls, what they may, and with which key.
	Access   access.Access
	Outcomes *outcome.Keeper
	// Below gives the path and query of an address of the Dashboard's.
	Below func(address string) (string, bool)
	// Hosts are names, beside the one that a request was sent to, by which clients
	// reach the broker or the Dashboard: api.meraki.com.
	Hosts []string
	// MaxRequestBytes bounds a request's body; 4 MiB when 0.
	MaxRequestBytes int
	// Agents are clients whose patience is known, before those of agents.go.
	Agents []Agent
	// Forwarded tells whether a request came through a proxy whose word counts about
	// the address that the client used. Nil for none.
	Forwarded func(*http.Request) bool
	// Observe is told of each answer: its status, the reason where it is a failure,
	// and how long it took. Nil for nobody.
	Observe func(status int, reason string, took time.Duration)
	Log     *slog.Logger
}

// A Handler serves the Dashboard's API over HTTP. It is no ServeMux: that one
// answers doubled addresses with a redirect.
type Handler struct {
	config Config
	agents []Agent
	// requests are those under way, answers those that are being written.
	requests, answers load
	heads             heads
	// working counts the calls that are at the broker.
	working  atomic.Int64
	failures fault.LogSample
}

// New makes a Handler.
func New(c Config) *Handler {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	c.MaxRequestBytes = cmp.Or(c.MaxRequestBytes, usualBody)
	if c.Observe == nil {
		c.Observe = func(int, string, time.Duration) {}
	}
	return &Handler{
		config: c, agents: append(c.Agents[:len(c.Agents):len(c.Agents)], agents...),
		requests: load{caller: callerRequests, all: allRequests, refusal: tooManyRequests},
		answers:  load{caller: callerAnswers, all: allAnswers, refusal: answersNotRead},
	}
}

const (
	// usualDeadline is what a call has whose rule says nothing.
	usualDeadline = time.Minute
	// maxTarget bounds path and query: what the Dashboard's own servers take.
	maxTarget = 16 << 10
	// usualBody bounds a request's body: the largest that the Dashboard documents are
	// images of 1 MB in base64, and action batches.
	usualBody = 4 << 20
)

const (
	// bodyTime is how long a body may take to arrive.
	bodyTime = 30 * time.Second
	// readTime is how long a client may take to read an answer.
	readTime = 2 * time.Minute
	// maxAge is after how long a connection is closed with the answer to its next request. A
	// new one shows its certificate again, to the authorities that count then, and goes to
	// another replica where a balancer says so. The gRPC port has the same.
	maxAge = 30 * time.Minute
	// longestCall is what a rule can give a call for a deadline, and some more.
	longestCall = 11 * time.Minute
)

// ServeHTTP makes one call of a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{w: &answerWriter{ResponseWriter: w}, r: r, began: time.Now()}
	defer h.recover(q)
	if c := connectionOf(r.Context()); c != nil {
		c.head.ends(r.ProtoMajor != 1)
		if r.ProtoMajor == 1 {
			c.next()
		}
		if time.Since(c.since) > maxAge {
			w.Header().Set("Connection", "close") // of HTTP/2 net/http makes a farewell of it
		}
	}
	if r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0) {
		// Where a request has a length and chunks, net/http goes by the chunks, of
		// HTTP/1.0 by the length, and does not say that there was the other. A proxy in
		// front may have gone by that: what follows on the connection is nobody's request.
		w.Header().Set("Connection", "close")
	}
	if r.Body != http.NoBody {
		// It holds for what net/http reads of a body that is refused, too. A recorder in
		// a test has no deadlines.
		_ = http.NewResponseController(w).SetReadDeadline(q.began.Add(bodyTime))
	}
	if f := h.serve(q); f != nil {
		_ = h.fail(q, f) // the client may have left
		if f.Reason == reasonTooLarge {
			h.discardBody(w, r)
		}
	}
}

// An answerWriter gives the client readTime from when its answer is there.
type answerWriter struct {
	http.ResponseWriter
}

// WriteHeader begins the answer.
func (w *answerWriter) WriteHeader(status int) {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(readTime))
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// A request is one on its way through the face.
type request struct {
	w     *answerWriter
	r     *http.Request
	began time.Time
	// caller and operation are empty until they are known.
	caller, operation string
}

// fail answers with a fault.
func (h *Handler) fail(q *request, f *fault.Error) error {
	status := statusOf(f)
	err := writeFault(q.w, status, f)
	h.tell(q, f, status)
	return err
}

// tell counts a failure, and writes it into the log.
func (h *Handler) tell(q *request, f *fault.Error, status int) {
	took := time.Since(q.began)
	h.config.Observe(status, f.ReasonCode(), took)
	write, skipped := h.failures.Admits(f.Kind, time.Now())
	if !write {
		return
	}
	attrs := []any{"method", q.r.Method, "operation", cmp.Or(f.Operation, q.operation), "status", status, "reason", f.ReasonCode(), "took_ms", took.Milliseconds(), "caller", q.caller}
	if skipped > 0 {
		attrs = append(attrs, "skipped_before", skipped)
	}
	h.config.Log.Log(q.r.Context(), f.Kind.Level(), "call failed", append(attrs, f.LogAttrs()...)...)
}

// recover ends a request that met a bug. Nothing that is known says whether a write
// was executed, so the status is not one that clients repeat a write on.
func (h *Handler) recover(q *request) {
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler {
			panic(p)
		}
		h.config.Log.ErrorContext(q.r.Context(), "panic", "method", q.r.Method, "panic", p, "stack", string(debug.Stack()))
		kind := fault.Internal
		if q.r.Method != http.MethodGet {
			kind = fault.OutcomeUnknown
		}
		_ = h.fail(q, &fault.Error{Kind: kind, Detail: "the broker met a bug on the way of the call; its log has the place"})
	}
}

func (h *Handler) serve(q *request) *fault.Error {
	w, r := q.w, q.r
	t, err := h.target(r)
	if err != nil {
		return fault.Bad("path", "%s; nothing was sent", err)
	}
	if f := identity.OtherOrigin(r); f != nil {
		return f
	}
	caller, ownKey, err := h.config.Access.Resolver.ResolveHTTP(r, t.as)
	if err != nil {
		return faultOf(err)
	}
	if f := h.foreignName(r, caller); f != nil {
		return f
	}
	route, err := h.config.Contract.Route(r.Method, t.path)
	if err != nil {
		return fault.Bad("path", "%.80q cannot be sent: %s", t.path, err)
	}
	q.caller, q.operation = caller.ID, route.Operation.GetId()
	leave, f := h.requests.enter(caller.ID, h.bodyBytes(r))
	if f != nil {
		return f
	}
	defer leave()
	name, f := nameOf(r.Header)
	if f != nil {
		return f
	}
	body, f := h.readBody(w.ResponseWriter, r)
	if f != nil {
		return f
	}
	if c := connectionOf(r.Context()); c != nil {
		c.asked()
	}
	call := &broker.Call{Operation: route.Operation, Caller: caller.ID, Path: route.Path, Query: t.query, Body: body, ID: route.Owner, Name: name}
	ask, err := question(caller, route, t.query, body, ownKey)
	if err != nil {
		return named(faultOf(err), call)
	}
	permit, err := h.config.Access.Ask(ask)
	if err != nil {
		return named(faultOf(err), call)
	}
	permit.Allow(call)
	if call.Operation.GetVerb() == apiv1.Verb_VERB_GET {
		answer, f := h.read(q, call)
		if f != nil {
			return named(f, call)
		}
		f, _ = h.reply(q, t, call, answer) // the client may have left
		return f
	}
	if c := connectionOf(r.Context()); r.Context().Err() != nil || r.ProtoMajor == 1 && c != nil && c.over() {
		// It may have asked again since on another connection, and have its answer: what was
		// left lying here would be executed a second time.
		return named(&fault.Error{Kind: fault.Cancelled, Detail: "the client had left before its write was begun; nothing was sent"}, call)
	}
	result, f := h.write(q, call)
	if result == nil {
		return named(f, call)
	}
	// A failure is an outcome, too: it stays until the client has it.
	settle := result.Delivering()
	if f != nil {
		err = h.fail(q, named(f, call))
	} else if f, err = h.reply(q, t, call, result.Answer); f != nil {
		settle(false)
		return f
	}
	if err == nil {
		err = http.NewResponseController(w).Flush()
	}
	h.delivered(r, err, settle)
	return nil
}

// reply writes an answer. The fault is that of a client for which there is no room;
// nothing is written then.
func (h *Handler) reply(q *request, t target, call *broker.Call, answer *broker.Answer) (*fault.Error, error) {
	written, f := h.answers.enter(call.Caller, int64(len(answer.Body)))
	if f != nil {
		f.RequestID, f.Attempts = answer.RequestID, answer.Attempts
		return named(f, call), nil
	}
	defer written()
	err := h.answer(q.w, q.r, t, answer)
	h.config.Observe(answer.Status, "", time.Since(q.began))
	return nil, err
}

// question is what rules and keys are asked about a request. What the contract does
// not know is asked about as the RPC Call is.
func question(caller identity.Caller, route contract.Route, query string, body []byte, ownKey string) (access.Question, error) {
	q := access.Question{Caller: caller, Face: audit.REST, Operation: route.Operation, Owner: route.Owner, Unowned: route.Unowned,
		Path: route.Path, Query: query, Body: body,
		OwnKey: ownKey, OwnKeyField: "Authorization", OwnKeyOptional: true}
	q.Request = identity.Request{RPC: "Call", Read: route.Operation.GetVerb() == apiv1.Verb_VERB_GET}
	if route.Method != nil {
		var err error
		if q.Request, err = identity.NewRequest(route.Method.Name, route.Operation); err != nil {
			return q, err
		}
	}
	q.Request.Priority = identity.Unsaid
	return q, nil
}

// target takes the request line apart. An address in it, as clients of a proxy send
// it, has to be the broker's own.
func (h *Handler) target(r *http.Request) (target, error) {
	if len(r.RequestURI) > maxTarget {
		return target{}, errors.New("path and query take more than 16384 bytes; ask for fewer at once")
	}
	for i := range len(r.RequestURI) {
		if c := r.RequestURI[i]; c <= ' ' || c >= 0x7f {
			return target{}, errors.New("the request line holds a character that has to be escaped")
		}
	}
	_, addressed := h.addressed(r)
	ours := func(host string) bool {
		return strings.EqualFold(host, r.Host) || strings.EqualFold(host, addressed) || h.known(host)
	}
	uri := r.RequestURI
	if host, path, ok := cutAddress(uri); ok && uri[0] != '/' {
		// net/http takes the host from here, so r.Host says nothing about it.
		if !h.known(host) {
			return target{}, errors.New("the request is for another host; this is no proxy")
		}
		uri = path
	}
	return parseTarget(uri, ours)
}

// waits is until when a client waits for an answer, and how long a call has. The client
// has begun to wait before its body was here.
func (h *Handler) waits(q *request, call *broker.Call) (until time.Time, deadline time.Duration) {
	deadline = cmp.Or(call.Deadline, usualDeadline)
	return q.began.Add(min(deadline, patience(h.agents, q.r.UserAgent(), deadline))), deadline
}

// read makes a read within the client's patience.
func (h *Handler) read(q *request, call *broker.Call) (*broker.Answer, *fault.Error) {
	until, _ := h.waits(q, call)
	ctx, cancel := context.WithDeadline(q.r.Context(), until)
	defer cancel()
	h.working.Add(1)
	defer h.working.Add(-1)
	answer, err := h.config.Broker.Do(ctx, call)
	return answer, faultOf(err)
}

// write makes a write so that it goes on when the client has given up. Without a
// result the fault is no outcome of it.
func (h *Handler) write(q *request, call *broker.Call) (*outcome.Result, *fault.Error) {
	until, deadline := h.waits(q, call)
	ctx, cancel := context.WithDeadline(q.r.Context(), until)
	defer cancel()
	h.working.Add(1)
	defer h.working.Add(-1)
	result, err := h.config.Outcomes.Do(ctx, outcome.Write{
		Caller: call.Caller, Operation: call.Operation.GetId(), Name: call.Name,
		Verb: call.Operation.GetVerb(), Path: call.Path, Query: call.Query, Body: call.Body, Finish: time.Now().Add(deadline),
	}, func(ctx context.Context) (*broker.Answer, error) { return h.config.Broker.Do(ctx, call) })
	return result, faultOf(err)
}

// headerIdempotencyKey names a write. It is never sent to the Dashboard.
const headerIdempotencyKey = "Idempotency-Key"

// nameOf gives the name of a write; empty where it has none.
func nameOf(header http.Header) (string, *fault.Error) {
	name := header.Get(headerIdempotencyKey)
	for _, other := range header.Values(headerIdempotencyKey) {
		if other != name {
			return "", fault.Bad(headerIdempotencyKey, "the request has two names that differ; send one; nothing was sent")
		}
	}
	return name, nil
}

// answer writes what came, as it came.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request, t target, a *broker.Answer) error {
	header := w.Header()
	header.Set(headerAttempts, strconv.Itoa(len(a.Attempts)))
	header.Set(headerCache, a.Cache)
	if a.RequestID != "" {
		header.Set("X-Request-Id", a.RequestID)
	}
	if a.Links != "" {
		if links := rewriteLinks(a.Links, h.base(r, t), h.config.Below); links != "" {
			header.Set("Link", links)
		}
	}
	if len(a.Body) == 0 {
		if a.Status != http.StatusNoContent {
			header.Set("Content-Length", "0")
		}
		w.WriteHeader(a.Status)
		return nil
	}
	header.Set("Content-Type", "application/json; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, err := w.Write(a.Body)
	return err
}

// named gives a fault the operation that it does not know.
func named(f *fault.Error, call *broker.Call) *fault.Error {
	f.Operation = cmp.Or(f.Operation, call.Operation.GetId())
	return f
}

// faultOf gives the fault of an error; nil for none.
func faultOf(err error) *fault.Error {
	if err == nil {
		return nil
	}
	if f := fault.As(err); f != nil {
		out := *f
		return &out
	}
	return &fault.Error{Kind: fault.Internal, Detail: "the broker failed; its log has the cause", Cause: err}
}
