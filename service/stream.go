package service

import (
	"fmt"

	"google.golang.org/grpc"

	"github.com/merakibroker/merakibroker/service/dashboard"
	"github.com/merakibroker/merakibroker/service/fault"
)

// handleStream performs a streaming twin: a page a message. The next page is
// asked for once this one has been handed to the transport, while the client
// reads it. SendMsg blocks when the client stops reading and its window is full,
// and so no page is asked for that would have nowhere to go; at any moment the
// broker holds at most two pages of a stream, one in the transport and one being
// fetched or in hand. How much the client's own library takes before anybody reads
// it is the client's to say: 64 KiB where the window is fixed, up to 16 MiB with
// grpc-go, whose window grows with the connection.
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
	for sent := 0; ; sent++ {
		answer, err := s.do(ctx, call)
		if err != nil {
			return afterPages(err, sent)
		}
		out, err := s.response(ctx, r, plan, answer)
		if err != nil {
			return err
		}
		if err := stream.SendMsg(out); err != nil {
			return err
		}
		next := following(answer, r.Operation.GetPaging().GetStyle())
		if next == nil || samePage(call.Path, call.Query, next) {
			return nil
		}
		page := *call
		page.Host, page.Path, page.Query = next.Host, next.Path, next.Query
		call = &page
	}
}

// afterPages is the error of a stream that has sent pages. That this replica stops
// is no reason to begin it anew elsewhere: it can go on from where it was.
func afterPages(err error, sent int) error {
	f := fault.As(err)
	if f == nil || f.Kind != fault.Draining || sent == 0 {
		return err
	}
	out := *f
	out.NoRetry = true
	out.Detail = fmt.Sprintf("this replica of the broker is stopping; %d pages have been sent: go on at another one from the page_info of the last", sent)
	return &out
}

// samePage tells a link that leads back to where it stands: some operations
// answer so on their last page.
func samePage(path, query string, next *dashboard.Link) bool {
	return next.Path == path && next.Query == query
}
