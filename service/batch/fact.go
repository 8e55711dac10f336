package batch

import (
	"fmt"
	"slices"
	"time"

	"github.com/merakibroker/merakibroker/service/fault"
	"github.com/merakibroker/merakibroker/service/outcome"
)

// An entry is one of those that the store keeps of a list, in their order. What is in
// one became known together.
type entry struct {
	// Runner is who has written it: one run of the list by one replica.
	Runner string `json:"runner"`
	// Begins: from here on the runner makes the list. Ends: it does so no more.
	Begins  bool         `json:"begins,omitempty"`
	Ends    bool         `json:"ends,omitempty"`
	Results []keptResult `json:"results,omitempty"`
	Facts   []fact       `json:"facts,omitempty"`
}

// A fact is about one batch, or one write that goes by itself. That it may be sent now
// is kept before it is, with the writes in the order of its actions; then its id; and
// then that it is over. A write of it that has no result by then has not been made.
type fact struct {
	Flight       int    `json:"flight"`
	Members      []int  `json:"members,omitempty"`
	Organization string `json:"organization,omitempty"`
	Alone        bool   `json:"alone,omitempty"`
	Batch        string `json:"batch,omitempty"`
	Over         bool   `json:"over,omitempty"`

	kept chan struct{} // closed when it is, or when it cannot be
}

// A keptResult is what became of a write.
type keptResult struct {
	Index   int        `json:"index"`
	State   State      `json:"state"`
	Created string     `json:"created,omitempty"`
	Batch   string     `json:"batch,omitempty"`
	Fault   *keptFault `json:"fault,omitempty"`
}

// A keptFault is why it failed. Messages are the Dashboard's words.
type keptFault struct {
	Kind       uint8         `json:"kind"`
	Reason     string        `json:"reason,omitempty"`
	Operation  string        `json:"operation,omitempty"`
	Detail     string        `json:"detail,omitempty"`
	Status     int           `json:"status,omitempty"`
	Messages   []string      `json:"messages,omitempty"`
	Field      string        `json:"field,omitempty"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
	RequestID  string        `json:"request_id,omitempty"`
}

func keptOf(r Result, messages bool) keptResult {
	out := keptResult{Index: r.Index, State: r.State, Created: r.Created, Batch: r.Batch}
	f := fault.As(r.Err)
	if f == nil && r.Err != nil {
		f = &fault.Error{Kind: fault.Internal, Detail: "the write failed for a reason of the broker's own"}
	}
	if f != nil {
		out.Fault = &keptFault{uint8(f.Kind), f.Reason, f.Operation, f.Detail, f.HTTPStatus, f.Messages, f.Field, f.RetryAfter, f.RequestID}
		if !messages {
			out.Fault.Messages = nil
		}
	}
	return out
}

// result is the other way; path is that of the write.
func (k *keptResult) result(path string) Result {
	r := Result{Index: k.Index, State: k.State, Resource: path, Created: k.Created, Batch: k.Batch}
	if k.Created != "" {
		r.Resource += "/" + k.Created
	}
	if f := k.Fault; f != nil {
		r.Err = &fault.Error{Kind: fault.Kind(f.Kind), Reason: f.Reason, Operation: f.Operation, Detail: f.Detail, HTTPStatus: f.Status,
			Messages: f.Messages, Field: f.Field, RetryAfter: f.RetryAfter, RequestID: f.RequestID}
	}
	return r
}

// A past is what the entries of a list say.
type past struct {
	writes int
	runner string // who makes the list; empty for nobody
	// results are in the order in which they became known; open are the facts of what
	// is not over.
	results []keptResult
	open    map[int]fact
	flights int
}

// add takes note of one entry more.
func (p *past) add(e entry) error {
	p.runner = e.Runner
	if e.Ends {
		p.runner = ""
	}
	for _, r := range e.Results {
		if r.Index < 0 || r.Index >= p.writes {
			return fmt.Errorf("%w: a result of write %d of %d", outcome.ErrUnreadable, r.Index, p.writes)
		}
		p.results = append(p.results, r)
	}
	for _, f := range e.Facts {
		p.flights = max(p.flights, f.Flight)
		was, ok := p.open[f.Flight]
		switch {
		case f.Over:
			delete(p.open, f.Flight)
		case ok && f.Batch != "":
			was.Batch = f.Batch
			p.open[f.Flight] = was
		case len(f.Members) > 0 && slices.Min(f.Members) >= 0 && slices.Max(f.Members) < p.writes:
			p.open[f.Flight] = f
		default:
			return fmt.Errorf("%w: batch %d", outcome.ErrUnreadable, f.Flight)
		}
	}
	return nil
}
