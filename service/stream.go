package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/batch"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// pageDelay is the pause between a page's last byte and the request for the next
// page. The page arrives in it and is decoded, so a client that has found what it
// looked for leaves before the budget pays for another page. A page takes the
// Dashboard 200 ms and more, and the budget of ten a second lets one pass in 100 ms:
// beside these it costs little.
const pageDelay = 10 * time.Millisecond

// handleStream performs a streaming twin: a page a message, as paging.run does it.
func (s *Server) handleStream(r *typedRPC, stream grpc.ServerStream) error {
	in := new(frame)
	if err := stream.RecvMsg(in); err != nil {
		in.release()
		return err
	}
	ctx := stream.Context()
	call, plan, err := s.call(ctx, r, in.wire())
	in.release()
	if err != nil {
		return err
	}
	arrivalOf(ctx).holds(len(call.Body))
	p := paging{
		operation: r.Operation,
		lifetime:  s.lifetime,
		ask:       s.do,
		write: func(ctx context.Context, answer *broker.Answer) (*frame, error) {
			return s.response(ctx, r, plan, answer)
		},
	}
	return p.run(ctx, stream, call)
}

// A paging is a streaming twin at work: how it asks for a page, and writes it as a message.
type paging struct {
	operation *apiv1.Operation
	lifetime  context.Context // of the server
	ask       func(context.Context, *broker.Call) (*broker.Answer, error)
	write     func(context.Context, *broker.Answer) (*frame, error)

	sent, drifts int
	// seen are the pages asked for, as hashes: a stream may have thousands.
	seen map[uint64]struct{}
	seed maphash.Seed
}

// run sends one page after the other. The next one is asked for when the last byte
// of this one has gone out to the client, and pageDelay later. A byte goes out only
// into room that the client has said it has; so for a client that stops reading the
// broker asks for no more as soon as a page does not fit its library's window, and
// at any moment it holds one page of a stream, either on its way in or on its way
// out. How much a library takes before anybody reads it is the library's to say, and
// HTTP/2 gives a server no means to be told: 64 KiB where the window is fixed, up to
// 16 MiB with grpc-go, whose window grows with the connection.
//
// Pages are sent as they are also to a client that compresses: gRPC would send a copy,
// whose end it does not tell.
func (p *paging) run(ctx context.Context, stream grpc.ServerStream, call *broker.Call) error {
	if err := grpc.SetSendCompressor(ctx, encoding.Identity); err != nil {
		return streamEnded(ctx, err) // the only reason: nothing has been sent yet
	}
	defer func() { // the headers are gone with the first page: the trailers have the sum
		if p.drifts > 0 {
			stream.SetTrailer(metadata.Pairs(headerDrift, strconv.Itoa(p.drifts)))
		}
	}()
	for {
		next, passed, err := p.page(ctx, stream, call)
		if err != nil {
			return p.afterPages(err)
		}
		if next == nil || p.beforeRecords(next) {
			return nil
		}
		page, err := call.Page(next)
		switch {
		case err != nil:
			return err
		case page.Query == call.Query:
			return nil // some operations name the last page as the one after it
		case p.repeats(call, page):
			return p.loop()
		}
		select {
		case <-passed:
			if p.sent > 0 {
				pause(ctx, pageDelay)
			}
		case <-ctx.Done():
		case <-p.lifetime.Done():
			return p.afterPages(errStopping)
		}
		if err := ctx.Err(); err != nil {
			return p.unread(err)
		}
		call = page
	}
}

// page asks for one page and gives it to the transport. It is a function of its own
// so that nothing holds the answer, or the message made of it, while run waits: the
// transport lets go of the message by and by, and passed is closed at its end.
func (p *paging) page(ctx context.Context, stream grpc.ServerStream, call *broker.Call) (next *dashboard.Link, passed <-chan struct{}, err error) {
	answer, err := p.ask(ctx, call)
	if err != nil {
		return nil, nil, err
	}
	next = following(answer, p.operation.GetPaging().GetStyle())
	if p.sent > 0 && next != nil && withoutRows(answer.Body) {
		return next, alreadyPassed, nil
	}
	out, err := p.write(ctx, answer)
	if err != nil {
		return nil, nil, err
	}
	p.drifts += out.drifts
	if more := messageHeaders(out); more != nil && p.sent == 0 {
		_ = stream.SetHeader(more) // fails when the client has left, and so will SendMsg
	}
	passed = out.watch()
	if err := stream.SendMsg(out); err != nil {
		return nil, nil, err
	}
	p.sent++
	return next, passed, nil
}

// alreadyPassed stands for the last byte of a page that is not sent.
var alreadyPassed = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// firstRecord is when the vendor's records begin. Links backward lead on before it,
// from one empty page to the next; the vendor's own SDK ends there, too.
var firstRecord = time.Date(2014, time.January, 1, 0, 0, 0, 0, time.UTC)

// beforeRecords tells a link backward that leads to a time before the vendor's records.
func (p *paging) beforeRecords(next *dashboard.Link) bool {
	if p.operation.GetPaging().GetStyle() != apiv1.PagingStyle_PAGING_STYLE_LINK_BACKWARD {
		return false
	}
	at, err := time.Parse(time.RFC3339, next.EndingBefore)
	return err == nil && at.Before(firstRecord)
}

// withoutRows tells a page without rows: an empty list, or an object all of whose
// lists are empty. Such a page tells a reader of the stream nothing, except as the
// first one or the last.
func withoutRows(body []byte) bool {
	if len(body) > 1<<10 {
		return false // what holds no rows is short
	}
	if trimmed := bytes.TrimSpace(body); bytes.Equal(trimmed, []byte("[]")) {
		return true
	}
	var page map[string]json.RawMessage
	if json.Unmarshal(body, &page) != nil {
		return false
	}
	lists := 0
	for _, value := range page {
		var rows []json.RawMessage
		if json.Unmarshal(value, &rows) != nil || rows == nil {
			continue
		}
		if len(rows) > 0 {
			return false
		}
		lists++
	}
	return lists > 0
}

// afterPages is the error of a stream that has sent pages. That this replica stops
// is no reason to begin it anew elsewhere: it can go on from where it was.
func (p *paging) afterPages(err error) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Draining || p.sent == 0 {
		return err
	}
	out := *f
	out.NoRetry = true
	out.Detail = fmt.Sprintf("this replica of the broker is stopping; %d pages have been sent: go on at another one from the page_info of the last", p.sent)
	return &out
}

// unread is the error of a stream that ended while its client had a page to read.
func (p *paging) unread(err error) error {
	f := foreign(err)
	f.Operation, f.NoRetry = p.operation.GetId(), true
	f.Detail += fmt.Sprintf(" after page %d had been sent", p.sent)
	return f
}

// repeats notes the page of a call, and tells whether the next one is among those
// that were before.
func (p *paging) repeats(call, next *broker.Call) bool {
	if p.seen == nil {
		p.seen, p.seed = make(map[uint64]struct{}), maphash.MakeSeed()
	}
	p.seen[maphash.String(p.seed, call.Query)] = struct{}{}
	_, was := p.seen[maphash.String(p.seed, next.Query)]
	return was
}

// loop is the fault of links that lead back to an earlier page. Unlike a link to
// the page itself it is no way to end: whether there are rows that no link leads to,
// nobody can tell, so the stream must not end as if it were complete.
func (p *paging) loop() error {
	return &fault.Error{
		Kind: fault.Malformed, Reason: "PAGES_IN_A_CIRCLE", Operation: p.operation.GetId(), NoRetry: true,
		Detail: fmt.Sprintf("the Dashboard's link to the next page leads back to a page that has been sent already; %d pages have been sent, and whether they are all cannot be told", p.sent),
	}
}

// handleJob performs the twin that starts a job and sends its states. The caller has
// to be allowed both, the start and the reads, before the job is started.
func (s *Server) handleJob(r *typedRPC, stream grpc.ServerStream) error {
	in := new(frame)
	if err := stream.RecvMsg(in); err != nil {
		in.release()
		return err
	}
	ctx := stream.Context()
	start, plan, err := s.call(ctx, r, in.wire())
	in.release()
	if err != nil {
		return err
	}
	arrivalOf(ctx).holds(len(start.Body))
	job, err := batch.NewJob(s.contract, r.Operation)
	if err != nil {
		return err
	}
	reads := s.rpcs[job.Read.Name]
	readPlan, err := reads.compile()
	if err != nil {
		return err
	}
	poll := s.newCall(reads.Operation)
	poll.ID = start.ID
	if err := s.admit(ctx, reads.request, poll); err != nil {
		return err
	}
	drifts := 0
	send := func(out *frame, err error) error {
		if err != nil {
			return err
		}
		drifts += out.drifts
		return stream.SendMsg(out)
	}
	defer func() {
		if drifts > 0 {
			stream.SetTrailer(metadata.Pairs(headerDrift, strconv.Itoa(drifts)))
		}
	}()
	return job.Run(ctx, start, poll, batch.Steps{
		Start: s.do, Read: s.make, Lifetime: s.lifetime,
		Started: func(ctx context.Context, answer *broker.Answer) error {
			if err := stream.SetHeader(answerHeaders(answer)); err != nil {
				return err
			}
			if r.Descriptor.Output() != s.contract.Operation(r.Operation.GetId()).Descriptor.Output() {
				return nil // the start has an answer of another kind
			}
			return send(s.response(ctx, r, plan, answer))
		},
		Changed: func(ctx context.Context, answer *broker.Answer) error {
			return send(s.response(ctx, reads, readPlan, answer))
		},
	})
}
