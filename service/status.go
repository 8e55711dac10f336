package service

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/merakibroker/merakibroker/service/fault"
)

// ErrorInfo's domains: whose reasons these are.
const (
	domainDashboard = "api.meraki.com"
	domainBroker    = "merakibroker"
)

// domainOf tells who gave the reason of a failure: the Dashboard, where its answer is
// what the fault reports, or the broker.
func domainOf(f *fault.Error) string {
	switch f.Kind {
	case fault.BadRequest, fault.KeyRejected, fault.CallerKeyRejected, fault.Forbidden, fault.NotFound, fault.APIDisabled,
		fault.Conflict, fault.RateLimited, fault.Dashboard, fault.Unreachable, fault.OutcomeUnknown, fault.NotImplemented:
		if f.HTTPStatus >= 400 {
			return domainDashboard
		}
	}
	return domainBroker
}

// A meaning is what a kind of fault is to a gRPC caller.
type meaning struct {
	code codes.Code
	// repeat says what layers in front of the broker may do.
	repeat repeat
}

// repeat is the advice that trailers give to meshes and to clients that retry
// by themselves. The broker is the only one that retries, so it is mostly never.
type repeat uint8

const (
	// never: repeating cannot help, or the broker has done it already.
	never repeat = iota
	// asTold: after the delay that RetryInfo names, and not before.
	asTold
	// elsewhere: at once, at another replica; nothing was sent.
	elsewhere
)

// meanings is the table of failures: what happened, and the code. The codes follow
// google.rpc.Code's own comments, and AIP-193 and AIP-194. A kind's reason stands
// in package fault, since every face tells it.
var meanings = map[fault.Kind]meaning{
	fault.Unknown:           {codes.Unknown, never},
	fault.BadRequest:        {codes.InvalidArgument, never},
	fault.KeyRejected:       {codes.FailedPrecondition, never},
	fault.CallerKeyRejected: {codes.Unauthenticated, never},
	fault.Forbidden:         {codes.PermissionDenied, never},
	fault.NotFound:          {codes.NotFound, never},
	fault.APIDisabled:       {codes.NotFound, never},
	fault.Conflict:          {codes.Aborted, never},
	fault.RateLimited:       {codes.ResourceExhausted, asTold},
	fault.BudgetExhausted:   {codes.ResourceExhausted, asTold},
	fault.Dashboard:         {codes.Internal, never},
	fault.Unreachable:       {codes.Unavailable, never},
	fault.OutcomeUnknown:    {codes.Unknown, never},
	fault.NotImplemented:    {codes.Unimplemented, never},
	fault.Malformed:         {codes.Internal, never},
	fault.TooLarge:          {codes.Internal, never},
	fault.RedirectRefused:   {codes.FailedPrecondition, never},
	fault.CallerUnknown:     {codes.Unauthenticated, never},
	fault.CallerNotAllowed:  {codes.PermissionDenied, never},
	fault.DeadlineExceeded:  {codes.DeadlineExceeded, never},
	fault.Cancelled:         {codes.Canceled, never},
	fault.Draining:          {codes.Unavailable, elsewhere},
	fault.Internal:          {codes.Internal, never},
}

// A failure is a fault ready to leave: code, message, details, trailers.
type failure struct {
	fault *fault.Error
	meaning
	// about is what the call was about, as far as it got.
	about about
}

// about is what a failure says of the call besides the fault itself.
type about struct {
	// documentation is the address of the operation's page; empty when there is none.
	documentation string
	// resource is the path that was asked for.
	resource string
	// violations are messages of the Dashboard that name a field of the request.
	violations []violation
}

type violation struct{ field, description string }

// failureOf looks the fault up in the table.
func failureOf(f *fault.Error, a about) *failure {
	m, ok := meanings[f.Kind]
	if !ok {
		m = meanings[fault.Unknown]
	}
	return &failure{fault: readable(f), meaning: m, about: a.readable()}
}

// statusOf is a fault as gRPC takes it where there is no call yet that trailers
// could go along with.
func statusOf(f *fault.Error) error {
	st, _ := failureOf(f, about{}).leave()
	return st.Err()
}

// callerLeft tells the code of a call whose caller does not wait for it any more.
func callerLeft(code codes.Code) bool { return code == codes.Canceled }

// ofCaller turns what gRPC says of receiving or sending a message into a fault where
// it is the caller's leaving. What is wrong with the message itself stays gRPC's, and
// so does io.EOF: the caller has nothing more to send.
func ofCaller(ctx context.Context, err error) error {
	if err == nil || err == io.EOF || fault.As(err) != nil {
		return err
	}
	switch status.Code(err) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return streamEnded(ctx, err)
	}
	if ctx.Err() != nil {
		return streamEnded(ctx, err)
	}
	return err
}

// readable gives the fault with every text in UTF-8: protobuf takes no other, and
// a detail that cannot be encoded would be lost whole.
func readable(f *fault.Error) *fault.Error {
	c := *f
	for _, text := range []*string{&c.Operation, &c.Detail, &c.Field, &c.RequestID, &c.Budget} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
	}
	c.Messages = slices.Clone(f.Messages)
	for i := range c.Messages {
		c.Messages[i] = strings.ToValidUTF8(c.Messages[i], "\uFFFD")
	}
	return &c
}

func (a about) readable() about {
	a.resource = strings.ToValidUTF8(a.resource, "\uFFFD")
	a.documentation = strings.ToValidUTF8(a.documentation, "\uFFFD")
	a.violations = slices.Clone(a.violations)
	for i, v := range a.violations {
		a.violations[i] = violation{strings.ToValidUTF8(v.field, "\uFFFD"), strings.ToValidUTF8(v.description, "\uFFFD")}
	}
	return a
}

// message is the status message: the fault's sentence, then what the Dashboard said.
func (r *failure) message() string {
	text := r.fault.Error()
	if len(r.fault.Messages) > 0 {
		text += ": " + r.fault.Messages[0]
		if n := len(r.fault.Messages) - 1; n > 0 {
			text += fmt.Sprintf(" (and %d more)", n)
		}
	}
	return text
}

// delay is when a next try makes sense, rounded up to a millisecond.
func (r *failure) delay() time.Duration {
	d := r.fault.RetryAfter
	if d <= 0 {
		return 0
	}
	return (d + time.Millisecond - 1).Truncate(time.Millisecond)
}
