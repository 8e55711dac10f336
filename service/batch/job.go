package batch

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	apiv1 "github.com/merakibroker/merakibroker/gen/meraki/api/v1"
	"github.com/merakibroker/merakibroker/service/broker"
	"github.com/merakibroker/merakibroker/service/contract"
	"github.com/merakibroker/merakibroker/service/fault"
)

// The pace of the polls of a job. The vendor names none; its clients wait 3 to 10 s
// before they look first, and most live tools take some ten seconds. docs/batches.md
// tells users.
const (
	// firstPoll is the wait between the start and the first poll. Each wait is half as
	// long again as the one before, up to longestPoll.
	firstPoll, longestPoll = 2 * time.Second, 5 * time.Second
	// longestJob is how long a job is followed whose caller has set no deadline: some
	// jobs that fail never say so.
	longestJob = 15 * time.Minute
	// mostFailedPolls is after how many polls in a row that failed, each of them tried
	// again by the broker as a read is, the job is followed no more.
	mostFailedPolls = 5
)

// wait is the time before the nth poll, from 1.
func wait(n int) time.Duration {
	d := firstPoll
	for ; n > 1 && d < longestPoll; n-- {
		d += d / 2
	}
	return min(d, longestPoll)
}

// A Job starts something and reads its state until the last.
type Job struct {
	option *apiv1.Job
	start  *apiv1.Operation
	// Read is the RPC of the operation that reads the state.
	Read *contract.Method
}

// NewJob gives the job that an operation starts. The error says why there is none.
func NewJob(c *contract.Contract, start *apiv1.Operation) (*Job, error) {
	j := &Job{option: start.GetJob(), start: start}
	if j.Read = c.Operation(j.option.GetRead()); j.Read == nil {
		return nil, fmt.Errorf("batch: %s starts a job whose state no operation reads (%q)", start.GetId(), j.option.GetRead())
	}
	return j, nil
}

// A Do makes one call.
type Do func(ctx context.Context, call *broker.Call) (*broker.Answer, error)

// Steps are what a job needs of its face.
type Steps struct {
	// Start makes the call that starts the job, once. Read makes a poll.
	Start, Read Do
	// Started takes the answer of the start, Changed each state that differs from the
	// one before. An error of theirs ends the job.
	Started, Changed func(context.Context, *broker.Answer) error
	// Lifetime ends when this replica is about to stop.
	Lifetime context.Context
}

// Run starts the job with one call and polls its state with the other, whose path it
// fills in, until the last state, or until ctx ends. The start is never made twice: a
// fault after it says which job goes on. The error is a *fault.Error, or that of
// Started or Changed.
func (j *Job) Run(ctx context.Context, start, poll *broker.Call, do Steps) error {
	answer, err := do.Start(ctx, start)
	if err != nil {
		return err
	}
	id := property(answer.Body, j.option.GetProperty())
	if id == "" {
		return &fault.Error{
			Kind: fault.OutcomeUnknown, Reason: fault.Malformed.Reason(), Operation: j.start.GetId(), NoRetry: true,
			HTTPStatus: answer.Status, RequestID: answer.RequestID, Attempts: answer.Attempts,
			Detail: "the Dashboard has started the job, but its answer has no " + j.option.GetProperty() + ", so its state cannot be read",
		}
	}
	if err := do.Started(ctx, answer); err != nil {
		return j.left(id, err)
	}
	if ended(j.option.GetEnds(), answer.Body) {
		return nil
	}
	poll.Path = j.path(start.Path, id)
	poll.MaxAge = 0 // a state that was read before is no news
	return j.left(id, j.follow(ctx, poll, answer.Body, do))
}

// path is where the state of a job is read: the parameters of the start's path, and
// the job's id.
func (j *Job) path(start, id string) string {
	filled := make(map[string]string)
	have := strings.Split(start, "/")
	for i, segment := range strings.Split(j.start.GetPath(), "/") {
		if i < len(have) && strings.HasPrefix(segment, "{") {
			filled[segment] = have[i]
		}
	}
	filled["{"+j.option.GetParameter()+"}"] = url.PathEscape(id)
	segments := strings.Split(j.Read.Operation.GetPath(), "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, "{") {
			segments[i] = filled[segment]
		}
	}
	return strings.Join(segments, "/")
}

// follow polls until the job has ended.
func (j *Job) follow(ctx context.Context, poll *broker.Call, before []byte, do Steps) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, longestJob)
		defer cancel()
	}
	failed := 0
	for n := 1; ; n++ {
		if err := pause(ctx, do.Lifetime, wait(n)); err != nil {
			return err
		}
		answer, err := do.Read(ctx, poll)
		switch {
		case err != nil && ctx.Err() == nil && passing(err) && failed < mostFailedPolls-1:
			failed++
			continue
		case err != nil:
			return err
		}
		failed = 0
		if same(before, answer.Body) {
			continue
		}
		if err := do.Changed(ctx, answer); err != nil {
			return err
		}
		if ended(j.option.GetEnds(), answer.Body) {
			return nil
		}
		before = answer.Body
	}
}

// passing tells a failed poll after which the next one may succeed. What was created
// a moment ago may not be found yet.
func passing(err error) bool {
	f := fault.As(err)
	if f == nil {
		return false
	}
	switch f.Kind {
	case fault.RateLimited, fault.BudgetExhausted, fault.Dashboard, fault.Unreachable, fault.Malformed, fault.NotFound:
		return true
	}
	return false
}

// left completes a fault that ended the polls of a job that goes on.
func (j *Job) left(id string, err error) error {
	f := fault.As(err)
	if f == nil {
		return err
	}
	out := *f
	out.NoRetry = true
	out.Operation = j.start.GetId()
	out.Detail = fmt.Sprintf("the job %.80s has been started and goes on, and %s reads its state; it is followed no more: %s", id, j.Read.Operation.GetId(), f.Detail)
	return &out
}

// pause waits, and gives the fault of what ended the wait.
func pause(ctx, lifetime context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		f := fault.Ended("", ctx.Err(), "")
		f.Detail = "the caller left"
		if f.Kind == fault.DeadlineExceeded {
			f.Detail = "its time is over"
		}
		return f
	case <-lifetime.Done():
		return fault.Stopping("")
	}
}
